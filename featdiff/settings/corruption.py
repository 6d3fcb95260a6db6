"""Settings of corruptions (arXiv 2209.05442), and of how their levels are chosen for a data set."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from featdiff.kinds.corruptions import CORRUPTIONS, Corruption
from featdiff.settings.base import Count, Positive, Seed, Settings

CorruptionRow = Annotated[Corruption, CORRUPTIONS.field()]


class Levels(Settings):
    """How corruption levels are chosen for a data set, and what its fully corrupted images look like."""

    candidates: Annotated[int, Field(ge=2, le=4096)] = 256
    nodes: Annotated[int, Field(ge=2)] = Field(32, description="Levels on the chosen path.")
    eps: Positive | None = Field(None, description="Largest hop; without, bisected until the path has so many nodes.")
    distance: Literal["sliced", "gaussian"] = Field(
        "sliced", description="Wasserstein-2: exact along random lines, or of fitted Gaussians in closed form."
    )
    relative: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="Power of the noise that a hop is divided by; 0 is the paper's, 1 measures hops in units of it.",
    )
    projections: Count = 128
    images: Annotated[int, Field(ge=2)] = Field(512, description="Training images the distances are measured on.")
    start_images: Annotated[int, Field(ge=2)] = Field(4096, description="Training images the start is fitted to.")
    start_rank: Count = Field(32, description="Directions in which the start's covariance is not white.")
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nodes > self.candidates:
            raise ValueError(f"nodes ({self.nodes}) must not be more than candidates ({self.candidates})")
        return self


class LevelsSpec(Settings):
    """All that determines the levels of a data set besides its images."""

    corruption: CorruptionRow
    levels: Levels
