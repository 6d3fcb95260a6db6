"""Every corruption: its settings, and the process of :mod:`featdiff.diffusion.corruptions` that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from featdiff.kinds.base import Kind, Table
from featdiff.settings.base import Positive, Settings

if TYPE_CHECKING:
    from featdiff.diffusion.corruptions import Process


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


class Corruption(Kind):
    """What becomes of an image on the levels from 0 (clean) to 1."""

    strength_label: ClassVar[str] = "strength"  # on an axis

    def misfit(self, size: int) -> str:
        """Which setting is wrong for images of ``size`` x ``size`` pixels, and why; empty if none is."""
        return ""

    def process(self, size: int) -> Process:
        """The process on images of ``size`` x ``size`` pixels."""
        raise NotImplementedError


class IdentityCorruption(Corruption):
    """Noise alone, on levels from 0 to 1: what soft diffusion is compared with."""

    kind: Literal["identity"]
    label = "noise alone"
    strength_label = "noise σ"
    noise: Rise = Rise(high=5.0)

    def process(self, size: int) -> Process:
        from featdiff.diffusion.corruptions import pure_noise, schedule

        return pure_noise(schedule(self.noise))


class BlurCorruption(Corruption):
    """Gaussian blur with reflecting borders and a little noise (arXiv 2209.05442); its width grows with the level."""

    kind: Literal["blur"]
    label = "Gaussian blur"
    strength_label = "blur width (pixels)"
    width: Rise = Field(Rise(high=8.0), description="Standard deviation in pixels.")
    noise: NoiseRise = Field(NoiseRise(), description="Standard deviation of the noise.")

    def misfit(self, size: int) -> str:
        if self.width.high <= size:
            return ""
        return f"width.high ({self.width.high:g} pixels) is wider than the images of {size} pixels"

    def process(self, size: int) -> Process:
        from featdiff.diffusion.corruptions import GaussianBlur, schedule, soft

        return soft(GaussianBlur(), schedule(self.width), schedule(self.noise), size=size)


class MaskCorruption(Corruption):
    """A soft radial mask and a little noise: the pixel at radius r is multiplied by ``exp(-strength exp(-r^2 /
    2))``."""

    kind: Literal["mask"]
    label = "soft mask"
    strength_label = "strength of the mask"
    strength: Rise = Field(Rise(high=1000.0), description="r is in quarters of a side.")
    noise: NoiseRise = Field(NoiseRise(), description="Standard deviation of the noise.")

    def process(self, size: int) -> Process:
        from featdiff.diffusion.corruptions import SoftMask, schedule, soft

        return soft(SoftMask(), schedule(self.strength), schedule(self.noise), size=size)


CORRUPTIONS = Table("corruption", Corruption, IdentityCorruption, BlurCorruption, MaskCorruption)
