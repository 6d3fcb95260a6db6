"""Settings of a set of samples: sampler, guidance, and the line between two classes."""

from typing import Annotated

from pydantic import Field, model_validator

from featdiff.kinds.guidance import GUIDANCE, Guidance
from featdiff.kinds.samplers import SAMPLERS, Sampler
from featdiff.settings.base import Compile, Count, Name, Positive, Precision, Seed, Settings


class Sampling(Settings):
    """One set of samples."""

    model: Name
    guidance: Annotated[Guidance, GUIDANCE.field()]
    sampler: Annotated[Sampler, SAMPLERS.field()]
    images: Count = Field(description="Images a class; with no guidance, images in all.")
    sigma_start: Positive = Field(
        5.0, description="First noise level; a model with a corruption starts at its level 1."
    )
    sigma_end: Positive = Field(0.01, description="Last noise level; a model with a corruption ends at its level 0.")
    shards: Annotated[int, Field(ge=1, le=10000)] = Field(1, description="Jobs the sampling is scattered over.")
    batch: Count = Field(64, description="Images in one network call; on a GPU 512 or more is faster.")
    precision: Precision = "fp32"
    compile: Compile = "auto"
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> "Sampling":
        if self.sigma_end >= self.sigma_start:
            raise ValueError(f"sigma_end ({self.sigma_end}) must be below sigma_start ({self.sigma_start})")
        return self


Share = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]


class Between(Settings):
    """Images along the line between two classes' centroids, and past them: ``(1 - a) first + a second``."""

    sampling: Name = Field(
        description="A feature-guided row of samplings, which lends model, sampler, strength and seed."
    )
    first: Annotated[str, Field(min_length=1)]
    second: Annotated[str, Field(min_length=1)]
    shares: Annotated[tuple[Share, ...], Field(min_length=2)] = Field(
        (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
        description="a, rising; 0 is the first class, 1 the second.",
    )
    images: Annotated[int, Field(ge=2)] = Field(
        96, description="Images at each share, each from the same noise at all of them."
    )

    @model_validator(mode="after")
    def _check(self) -> "Between":
        if self.first == self.second:
            raise ValueError(f"first and second are both '{self.first}': there is nothing between a class and itself")
        if list(self.shares) != sorted(set(self.shares)):
            raise ValueError(f"shares must rise, got {list(self.shares)}")
        return self


class BetweenSpec(Settings):
    """All that determines the images between two classes besides the model."""

    between: Between
    sampling: Sampling
