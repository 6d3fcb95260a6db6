"""Settings of corruptions (arXiv 2209.05442), and of how their levels are chosen for a data set."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from featdiff.settings.base import Count, Positive, Seed, Settings


class Rise(Settings):
    """Even in the logarithm from ``low`` at level 0 to ``high`` at level ``until``, constant after."""

    low: Positive = 0.01
    high: Positive
    until: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not be above high ({self.high}): it is the value at level 0")
        return self


class NoiseRise(Rise):
    """The noise beside a corruption: the paper's."""

    high: Positive = 0.1
    until: Annotated[float, Field(gt=0, le=1)] = 0.25


class IdentityCorruption(Settings):
    """Noise alone, on levels from 0 to 1: what soft diffusion is compared with."""

    kind: Literal["identity"]
    noise: Rise = Rise(high=5.0)


class BlurCorruption(Settings):
    """Gaussian blur with reflecting borders and a little noise (arXiv 2209.05442); its width grows with the level."""

    kind: Literal["blur"]
    width: Rise = Field(Rise(high=8.0), description="Standard deviation in pixels.")
    noise: NoiseRise = Field(NoiseRise(), description="Standard deviation of the noise.")


class MaskCorruption(Settings):
    """A soft radial mask and a little noise: the pixel at radius r is multiplied by ``exp(-strength exp(-r^2 / 2))``."""

    kind: Literal["mask"]
    strength: Rise = Field(Rise(high=1000.0), description="r is in quarters of a side.")
    noise: NoiseRise = Field(NoiseRise(), description="Standard deviation of the noise.")


CorruptionRow = Annotated[IdentityCorruption | BlurCorruption | MaskCorruption, Field(discriminator="kind")]


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
