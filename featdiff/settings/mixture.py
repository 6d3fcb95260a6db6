"""Settings of the guidance study on exact Gaussian mixtures (arXiv 2403.01639)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from featdiff.kinds.samplers import SAMPLERS, Ddpm, Discrete, Heun
from featdiff.settings.base import Count, Name, Positive, Seed, Settings
from featdiff.settings.network import Network
from featdiff.settings.training import LogNormalNoise, Training

Vector = Annotated[tuple[float, ...], Field(min_length=1)]
Matrix = Annotated[tuple[Vector, ...], Field(min_length=1)]
Strengths = Annotated[tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...], Field(min_length=1)]
Paths = Annotated[int, Field(ge=100, description="Paths, or points, a result is averaged over.")]


class MixtureLaw(Settings):
    """A Gaussian mixture; featdiff/mixture checks what it must satisfy."""

    means: Matrix = Field(description="One row a component.")
    covariance: Matrix | None = Field(None, description="Shared by all components; the identity if neither is given.")
    covariances: Annotated[tuple[Matrix, ...], Field(min_length=1)] | None = Field(None, description="One a component.")
    weights: Vector | None = Field(None, description="Summing to one; equal if not given.")
    classes: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, description="The class of each component.")

    @model_validator(mode="after")
    def _check(self) -> "MixtureLaw":
        if self.covariance is not None and self.covariances is not None:
            raise ValueError("give covariance (shared) or covariances (one a component), not both")
        return self


class GuidanceCase(Settings):
    """Classifier-free guidance to one class of a mixture, by DDIM and DDPM in the Ornstein-Uhlenbeck process."""

    law: MixtureLaw
    target: Annotated[int, Field(ge=0, description="The class guided to.")] = 0
    etas: Strengths = Field((0.0, 0.5, 1.0, 2.0, 5.0, 10.0), description="Strengths; 0 is the conditional model.")
    time: Positive = Field(10.0, description="End of the forward process.")
    steps: Count = Field(2000, description="Euler steps.")
    paths: Paths = 20_000
    neighbours: Count = Field(5, description="k of the nearest-neighbour entropy.")
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> "GuidanceCase":
        if self.etas[0] != 0 or list(self.etas) != sorted(set(self.etas)):
            raise ValueError(f"etas must start at 0 (what the others are compared with) and rise, got {self.etas}")
        return self


class SplittingRow(Settings):
    """Coarse steps of one size, at several strengths."""

    sampler: Literal["ddim", "ddpm"]
    step: Annotated[float, Field(gt=0, le=1)]
    etas: Strengths


class Splitting(Settings):
    """The phase shift: three aligned means -mu, 0, mu of unit variance, guided to the centre in coarse steps."""

    mu: Positive = 2.0
    time: Positive = 10.0
    rows: tuple[SplittingRow, ...] = (
        SplittingRow(sampler="ddpm", step=0.1, etas=(5.0, 10.0, 15.0, 20.0)),
        SplittingRow(sampler="ddpm", step=0.025, etas=(20.0, 40.0, 50.0, 80.0)),
        SplittingRow(sampler="ddim", step=0.1, etas=(20.0, 60.0, 80.0, 100.0)),
    )
    paths: Paths = 4000
    seed: Seed = 0


class Neighbours(Settings):
    """Results of neighbouring papers, by the package's samplers on exact denoisers."""

    scales: tuple[Annotated[float, Field(gt=0.5)], ...] = Field(
        (1.0, 1.5, 2.0, 4.0), description="g = 1 + eta of Bradley and Nakkiran's two Gaussians."
    )
    gaussian_steps: Annotated[int, Field(ge=2)] = 2000
    gaussian_paths: Paths = 20_000
    uniform_etas: Strengths = Field((0.0, 1.0, 3.0, 7.0, 15.0), description="w of Chidambaram's uniform mixture.")
    uniform_steps: Annotated[int, Field(ge=2)] = 200
    uniform_paths: Paths = 10_000
    plane_points: Paths = Field(10_000, description="Samples of each kind of guidance in the plane.")
    plane_strength: Positive = Field(3.0, description="Guidance strength in the plane; 1 is none.")
    plane_blurs: tuple[Positive, Positive] = Field(
        (0.06, 0.1), description="Deviation by which the model, and the weak model of autoguidance, blur the truth."
    )
    plane_interval: tuple[Positive, Positive] = Field((0.05, 0.4), description="Noise levels of limited guidance.")
    seed: Seed = 0


class Convergence(Settings):
    """Every sampler against the exact conditional law of a random mixture with classes."""

    dims: tuple[Count, ...] = (2, 20)
    components: Annotated[int, Field(ge=2)] = 5
    steps: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=2)] = (16, 32, 64, 128, 256)
    points: Paths = 10_000
    projections: Count = 50
    redraws: Annotated[int, Field(ge=2, description="Exact sets drawn for the sampling error.")] = 40
    sigma_start: Positive = 80.0
    sigma_end: Positive = 0.002
    time: Positive = Field(6.0, description="End of the Ornstein-Uhlenbeck process for its own samplers.")
    seed: Seed = 0


class Bridge(Settings):
    """A feature-guided network trained on samples of a mixture of small images, against the exact denoiser and law."""

    side: Annotated[int, Field(ge=4, le=32, description="Side of the images, in pixels.")] = 8
    weights: Annotated[tuple[Vector, ...], Field(min_length=2)] = Field(
        ((1.0,), (0.7, 0.3), (0.5, 0.5)), description="One row a class: the weights of its components."
    )
    shift: Positive = Field(0.1, description="Height of the gratings that are the components' means.")
    contrast: Positive = Field(0.08, description="Deviation of a pixel around its component's mean.")
    length: Positive = Field(2.0, description="Correlation length of the texture, in pixels.")
    images_per_class: Annotated[int, Field(ge=100)] = 5000
    network: Network = Network(widths=(24, 48), noise_embedding=32)
    training: Training = Training(
        images=60_000,
        batch=64,
        partners=7,
        partner_noise="clean",
        noise=LogNormalNoise(kind="lognormal", mean=-1.4, std=1.2),
        flip=False,
        precision="fp32",
    )
    sigmas: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    points: Paths = Field(800, description="Test points, and samples of each sampler, a class.")
    redraws: Annotated[int, Field(ge=2, description="Sets of exact draws that the samples are compared with.")] = 20
    samplers: Annotated[tuple[Annotated[Discrete, SAMPLERS.field(Discrete)], ...], Field(min_length=1)] = (
        Ddpm(kind="ddpm", steps=40),
        Heun(kind="heun", steps=20),
    )
    sigma_start: Positive = 3.0
    sigma_end: Positive = 0.005
    sampling_batch: Count = 250
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> "Bridge":
        for row in self.weights:
            if min(row) <= 0 or abs(sum(row) - 1) > 1e-6:
                raise ValueError(f"weights of a class must be positive and sum to one, got {list(row)}")
        if self.shift + 4.5 * self.contrast > 0.5:
            raise ValueError(
                "shift + 4.5 contrast must not exceed 0.5, or pixels leave [0, 1] and the law is not exact"
            )
        if self.training.flip:
            raise ValueError("training.flip must be false: mirrored images are not of the law")
        factor = self.network.patch * 2 ** (len(self.network.widths) - 1)
        if self.side % factor:
            raise ValueError(f"side ({self.side}) must be a multiple of {factor}, the network's smallest scale")
        return self


class MixtureStudy(Settings):
    """What guidance does, on laws that are known exactly."""

    cases: dict[Name, GuidanceCase] = Field(description="The confidence and entropy studies.")
    splitting: Splitting = Splitting()
    neighbours: Neighbours = Neighbours()
    convergence: Convergence = Convergence()
    bridge: Bridge | None = Field(None, description="A network trained on a mixture; without it, none is.")
