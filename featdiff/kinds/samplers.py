"""Every sampler: its settings, the levels it stops at, and the function of :mod:`featdiff.diffusion` that it runs."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from featdiff.kinds.base import Kind, Table
from featdiff.settings.base import Count, Positive

if TYPE_CHECKING:
    from torch import Tensor

    from featdiff.diffusion.corruptions import Process
    from featdiff.diffusion.denoiser import Sampler as Run


class Sampler(Kind):
    """From noise, or a fully corrupted image, to a sample."""

    noisy: ClassVar[bool] = False  # whether it draws noise on its way
    corruptions: ClassVar[bool] = False  # whether it undoes a corruption, too

    def evaluations(self, start: float, end: float) -> int:
        """How many network evaluations a batch takes between these noise levels, without those that a guidance adds."""
        raise NotImplementedError

    def levels(self, process: Process, chosen: Tensor | None) -> Tensor:
        """The levels (n,) it stops at, float64 and falling, from ``process.noise.high`` to ``process.noise.low``.

        Of a model with a corruption they go from 1 to 0; ``chosen`` are then those chosen for its data set.
        """
        raise NotImplementedError

    def function(self, process: Process) -> Run:
        """The sampler ``run(denoiser, x, levels, noise, condition) -> sample``
        (:class:`featdiff.diffusion.denoiser.Sampler`)."""
        raise NotImplementedError


class Discrete(Sampler):
    """A sampler of ``steps`` noise levels spaced as in Karras et al. (rho = 7)."""

    steps: Annotated[int, Field(ge=2)] = 40
    rho: Positive = 7.0

    def evaluations(self, start: float, end: float) -> int:
        return self.steps

    def levels(self, process: Process, chosen: Tensor | None) -> Tensor:
        from featdiff.diffusion.levels import karras

        return karras(process.noise.high, process.noise.low, self.steps, rho=self.rho)


class Ddpm(Discrete):
    """Ancestral steps (arXiv 2006.11239), on levels spaced as in Karras et al."""

    kind: Literal["ddpm"]
    label = "DDPM"
    noisy = True

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.samplers import ddpm

        return ddpm


class DdpmPosterior(Discrete):
    """DDPM whose steps add the posterior's own variance, estimated from each image (Analytic-DPM, arXiv 2201.06503)."""

    kind: Literal["ddpm-posterior"]
    label = "DDPM, posterior variance"
    noisy = True
    bound: Positive = Field(0.25, description="Largest variance of a pixel; that of pixels in [0, 1] is 1/4.")

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.stochastic_samplers import ddpm_posterior

        return partial(ddpm_posterior, bound=self.bound)


class Ddim(Discrete):
    """DDIM without noise (arXiv 2010.02502), on levels spaced as in Karras et al."""

    kind: Literal["ddim"]
    label = "DDIM"

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.samplers import ddim

        return ddim


class Heun(Discrete):
    """Heun's second-order steps (arXiv 2206.00364), two evaluations each, on levels spaced as in Karras et al."""

    kind: Literal["heun"]
    label = "Heun"

    def evaluations(self, start: float, end: float) -> int:
        return 2 * self.steps - 1

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.samplers import heun

        return heun


class HeunChurn(Discrete):
    """Heun's steps with fresh noise before each (arXiv 2206.00364, algorithm 2), two evaluations each.

    The default raises each level by a tenth in 20 steps, a twentieth in 40.
    """

    kind: Literal["heun-churn"]
    label = "stochastic Heun"
    noisy = True
    churn: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        2.0, description="S_churn: a level is raised by churn / steps of itself, at most by .41."
    )
    low: Annotated[float, Field(ge=0)] = Field(0.0, description="Lowest level that is raised: S_tmin.")
    high: Positive | None = Field(None, description="Highest level that is raised: S_tmax.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.high is not None and self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self

    def evaluations(self, start: float, end: float) -> int:
        return 2 * self.steps - 1

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.stochastic_samplers import heun_churn

        high = math.inf if self.high is None else self.high
        return partial(heun_churn, churn=self.churn, low=self.low, high=high)


class DpmSolver(Discrete):
    """DPM-Solver++(2M) (arXiv 2211.01095), on levels spaced as in Karras et al."""

    kind: Literal["dpm++2m"]
    label = "DPM-Solver++(2M)"

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.samplers import dpm_solver_2m

        return dpm_solver_2m


class DpmSolverSde(Discrete):
    """Second-order steps of the stochastic equation, SDE-DPM-Solver++(2M) (arXiv 2211.01095), one evaluation each."""

    kind: Literal["dpm++2m-sde"]
    label = "DPM-Solver++(2M) SDE"
    noisy = True

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.stochastic_samplers import dpm_solver_sde

        return dpm_solver_sde


class Ascent(Sampler):
    """Stochastic coarse-to-fine ascent (the paper's algorithm): needs no schedule, estimates sigma by itself."""

    kind: Literal["ascent"]
    label = "ascent"
    noisy = True
    step: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="h, the share of the residual removed a step.")
    noise: Annotated[float, Field(gt=0, le=1)] = Field(0.5, description="beta; 1 adds no noise.")
    max_steps: Count = 2000

    def evaluations(self, start: float, end: float) -> int:
        contraction = -math.log1p(
            -self.noise * self.step
        )  # of sigma in a step, if the network is right: it is known only at the end
        return min(self.max_steps, math.ceil(math.log(start / end) / contraction))

    def levels(self, process: Process, chosen: Tensor | None) -> Tensor:
        import torch

        return torch.tensor([process.noise.high, process.noise.low], dtype=torch.float64)

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.samplers import ascent

        return partial(ascent, step=self.step, beta=self.noise, max_steps=self.max_steps)


class SoftSampler(Sampler):
    """A sampler of soft diffusion, for any corruption (arXiv 2209.05442), on ``steps`` levels."""

    corruptions = True
    steps: Annotated[int, Field(ge=2)] = 40
    spacing: Literal["chosen", "linear", "cosine", "logarithmic"] = Field(
        "chosen", description="Chosen for the data set, or how the corruption's strength is spaced."
    )
    nu: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="Share of fresh noise; of soft-ddim alone.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nu and self.kind != "soft-ddim":
            raise ValueError(f"nu is a setting of soft-ddim, not of {self.kind}")
        return self

    def evaluations(self, start: float, end: float) -> int:
        return self.steps

    def levels(self, process: Process, chosen: Tensor | None) -> Tensor:
        from featdiff.diffusion.level_selection import interpolated
        from featdiff.diffusion.levels import spaced

        if chosen is not None and self.spacing == "chosen":
            return interpolated(chosen, self.steps)
        return spaced(process, self.steps, self.spacing)


class Naive(SoftSampler):
    """The clean estimate corrupted anew (arXiv 2209.05442): loses variance, what momentum is compared with."""

    kind: Literal["naive"]
    label = "naive"
    noisy = True

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.soft_samplers import naive

        return partial(naive, process=process)


class Momentum(SoftSampler):
    """The momentum sampler of soft diffusion (arXiv 2209.05442), for any corruption."""

    kind: Literal["momentum"]
    label = "momentum"
    noisy = True

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.soft_samplers import momentum

        return partial(momentum, process=process)


class Flow(SoftSampler):
    """Euler steps of the probability flow, for any corruption."""

    kind: Literal["flow"]
    label = "flow"

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.soft_samplers import flow

        return partial(flow, process=process)


class SoftDdim(SoftSampler):
    """DDIM for any corruption; ``nu`` is its share of fresh noise."""

    kind: Literal["soft-ddim"]
    label = "soft DDIM"

    def function(self, process: Process) -> Run:
        from featdiff.diffusion.soft_samplers import soft_ddim

        return partial(soft_ddim, process=process, nu=self.nu)


SAMPLERS = Table(
    "sampler",
    Sampler,
    Ddpm,
    DdpmPosterior,
    Ddim,
    Heun,
    HeunChurn,
    DpmSolver,
    DpmSolverSde,
    Ascent,
    Naive,
    Momentum,
    Flow,
    SoftDdim,
)
