"""Linear corruptions and their noise: ``x_t = C_t x_0 + sigma_t n`` (Soft diffusion, arXiv 2209.05442, sections 3 and
5).

An operator is diagonal in an orthonormal basis of its own: blur in the DCT-II, which reflects at the borders; a mask in
the pixels. So it is its own adjoint, and operators of one kind commute. A schedule says how strong it is at level t; a
process is an operator with a schedule for its strength and one for its noise. Images are (B, C, N, N), levels and
strengths (B,).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from featdiff.errors import UserError
from featdiff.kinds.corruptions import Corruption as CorruptionRow
from featdiff.kinds.corruptions import Rise


class Corruption(Protocol):
    """A family of linear operators on square images, one for each strength; strength 0 changes nothing."""

    def apply(self, x: Tensor, strength: Tensor) -> Tensor:
        """``C x``, each image by its own strength."""
        ...

    def adjoint(self, y: Tensor, strength: Tensor) -> Tensor:
        """``C' y``."""
        ...

    def to_basis(self, x: Tensor) -> Tensor:
        """The coefficients of ``x`` in the orthonormal basis in which the operators are diagonal."""
        ...

    def gains(self, strength: Tensor, size: int) -> Tensor:
        """The operators' diagonals in that basis, of shape (B, 1, size, size)."""
        ...

    def check(self, strongest: float, size: int) -> None:
        """Refuse a strength that makes no sense on images of ``size`` x ``size`` pixels."""
        ...


class Identity:
    """No corruption but the noise."""

    def apply(self, x: Tensor, strength: Tensor) -> Tensor:
        return x

    adjoint = apply

    def to_basis(self, x: Tensor) -> Tensor:
        return x

    def gains(self, strength: Tensor, size: int) -> Tensor:
        return strength.new_ones(len(strength), 1, size, size)

    def check(self, strongest: float, size: int) -> None:
        """Any strength will do."""


class GaussianBlur:
    """Gaussian blur with reflecting borders; the strength is its standard deviation in pixels.

    Multiplies the orthonormal DCT-II coefficients by ``exp(-(f_i^2 + f_j^2) s^2 / 2)`` with ``f_i = pi i / N``, here as
    one matrix that acts on rows and columns. Blurs of s and s' make one of ``sqrt(s^2 + s'^2)``.
    """

    def apply(self, x: Tensor, strength: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # the noise is finer than bf16 resolves
            x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            line = self.line(strength.to(x), x.shape[-1])[:, None]
            return line @ x @ line

    adjoint = apply

    def line(self, strength: Tensor, size: int) -> Tensor:
        """The blur of one row of pixels, symmetric, of shape (B, size, size)."""
        basis = cosines(size, strength.dtype, strength.device)
        return (basis.T * self._line_gains(strength, size)[:, None]) @ basis

    def to_basis(self, x: Tensor) -> Tensor:
        basis = cosines(x.shape[-1], x.dtype, x.device)
        return basis @ x @ basis.T

    def gains(self, strength: Tensor, size: int) -> Tensor:
        line = self._line_gains(strength, size)
        return line[:, None, :, None] * line[:, None, None, :]

    def check(self, strongest: float, size: int) -> None:
        if strongest > size:
            raise UserError(
                f"a blur of {strongest:g} pixels is wider than an image of {size}: nothing but its mean is left from "
                f"about {size / 2:g} on; lower the blur's maximum to at most {size}"
            )

    def _line_gains(self, strength: Tensor, size: int) -> Tensor:
        frequencies = torch.arange(size, dtype=strength.dtype, device=strength.device) * (math.pi / size)
        return torch.exp(-(frequencies**2) * (strength**2 / 2)[:, None])


class SoftMask:
    """A radial fade: the pixel at radius r from the centre is multiplied by ``exp(-strength exp(-r^2 / 2))``.

    r is in quarters of a side, so the fade starts in the middle and eats outwards. Strengths of two masks add.
    """

    def apply(self, x: Tensor, strength: Tensor) -> Tensor:
        return x * self.gains(strength.to(x), x.shape[-1])

    adjoint = apply

    def to_basis(self, x: Tensor) -> Tensor:
        return x

    def gains(self, strength: Tensor, size: int) -> Tensor:
        return torch.exp(-strength.view(-1, 1, 1, 1) * _bump(size, strength.dtype, strength.device))

    def check(self, strongest: float, size: int) -> None:
        """Any strength will do."""


@cache
def cosines(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The orthonormal DCT-II as a matrix (frequency, pixel)."""
    i = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi / size * i[:, None] * (i + 0.5)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(device, dtype)


@cache
def _bump(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    place = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / (size / 4)
    return torch.exp(-(place[:, None] ** 2 + place**2) / 2).to(device, dtype)


def matrix(corruption: Corruption, strength: float, size: int) -> Tensor:
    """The operator as a dense matrix (size^2, size^2) in float64, acting on flattened images of one channel."""
    eye = torch.eye(size**2, dtype=torch.float64).view(-1, 1, size, size)
    return corruption.apply(eye, torch.full((size**2,), float(strength), dtype=torch.float64)).flatten(1).T


# --- schedules and processes ----------------------------------------------------------------------------------------


class Schedule(Protocol):
    """A number that grows with the level t, from ``low`` to ``high``."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...

    def __call__(self, t: Tensor) -> Tensor: ...

    def inverse(self, value: Tensor) -> Tensor:
        """The smallest level at which the schedule has this value."""
        ...


@dataclass(frozen=True)
class Geometric:
    """Even in the logarithm from ``low`` at t = 0 to ``high`` at t = ``until``, constant after; levels are in [0, 1].

    The paper's noise goes from .01 to .10 until t = .25. ``low = high`` is constant.
    """

    low: float
    high: float
    until: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.high < math.inf and 0 < self.until <= 1):
            raise UserError(
                f"a schedule rises from above 0, within levels 0 to 1: got {self.low} to {self.high} until {self.until}"
            )

    def __call__(self, t: Tensor) -> Tensor:
        return self.low * torch.exp((t / self.until).clamp(0, 1) * math.log(self.high / self.low))

    def inverse(self, value: Tensor) -> Tensor:
        if self.low == self.high:
            return torch.zeros_like(value)
        return self.until * (value / self.low).log().clamp(min=0) / math.log(self.high / self.low)


@dataclass(frozen=True)
class ItsLevel:
    """The level itself, between ``low`` and ``high``: the convention of variance-exploding diffusion."""

    low: float = 0.0
    high: float = math.inf

    def __call__(self, t: Tensor) -> Tensor:
        return t

    def inverse(self, value: Tensor) -> Tensor:
        return value


@dataclass(frozen=True)
class Process:
    """``x_t = C_t x_0 + sigma_t n``: an operator, its strength at t, and the noise's standard deviation at t."""

    corruption: Corruption
    strength: Schedule
    noise: Schedule

    def apply(self, x: Tensor, t: Tensor) -> Tensor:
        """``C_t x``."""
        return self.corruption.apply(x, self.strength(t))

    def adjoint(self, y: Tensor, t: Tensor) -> Tensor:
        """``C_t' y``."""
        return self.corruption.adjoint(y, self.strength(t))

    def sigma(self, t: Tensor) -> Tensor:
        """``sigma_t``, of the shape of ``t``."""
        return self.noise(t)

    def corrupt(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """``x_t`` for clean images ``x`` and unit noise ``z``."""
        return self.apply(x, t) + self.sigma(t).view(-1, *[1] * (x.ndim - 1)) * z


def variance_exploding(low: float = 0.0, high: float = math.inf) -> Process:
    """``x_t = x_0 + t n`` for levels t between ``low`` and ``high``: plain denoising."""
    itself = ItsLevel(low, high)
    return Process(Identity(), itself, itself)


def pure_noise(noise: Schedule) -> Process:
    """``x_t = x_0 + sigma_t n`` with a schedule of its own."""
    return Process(Identity(), noise, noise)


def process(row: CorruptionRow | None, *, size: int) -> Process:
    """The process of a row of ``corruptions`` on images of ``size`` x ``size`` pixels; without one, plain noise."""
    return variance_exploding() if row is None else row.process(size)


def schedule(row: Rise) -> Geometric:
    """The schedule that the settings describe."""
    return Geometric(row.low, row.high, row.until)


def soft(corruption: Corruption, strength: Schedule, noise: Schedule, *, size: int) -> Process:
    """A process on images of ``size`` x ``size`` pixels; refuses a corruption they do not allow."""
    corruption.check(strength.high, size)
    return Process(corruption, strength, noise)
