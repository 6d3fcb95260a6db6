"""Settings of a training, and of the model that comes of it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from featdiff.settings.base import Compile, Count, Name, Positive, Precision, Seed, Settings
from featdiff.settings.corruption import CorruptionRow
from featdiff.settings.network import Network


class LogNormalNoise(Settings):
    """``log sigma ~ N(mean, std^2)`` (Karras et al. 2022)."""

    kind: Literal["lognormal"]
    mean: float = -1.0
    std: Positive = 1.2


class SquaredUniformNoise(Settings):
    """``sigma = maximum * u^2`` with ``u ~ U(0, 1)``: the paper's law."""

    kind: Literal["squared-uniform"]
    maximum: Positive = 1.0


class LinearDecay(Settings):
    """Constant, then linear to zero over the last ``fraction`` of training."""

    kind: Literal["linear"]
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.4


class HalvingDecay(Settings):
    """Halved ``times`` times at equal distances: the paper's schedule."""

    kind: Literal["halving"]
    times: Count = 9


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
    partner_noise: Literal["same", "clean", "between"] = Field(
        "same",
        description=(
            "The partners' noise level: the image's own, none, or between: none for half of the groups, for the others "
            "a share of each image's own level, drawn evenly."
        ),
    )
    partner_gradient: bool = Field(True, description="Let the gradient flow through the partners' features.")
    partner_loss: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Weight of the partners' own unconditional denoising loss; 0 is the paper's."
    )
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of images whose label is hidden; of networks with condition: label alone."
    )
    target_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Share of images that are matched to nothing, so that the network also gives the mixture's score; "
        "of networks with condition: feature alone, whose samples classifier-free guidance can then lead.",
    )
    flip: bool = Field(True, description="Mirror training images left-right at random.")
    precision: Precision = "bf16"
    compile: Compile = "auto"
    deterministic: bool = Field(
        True,
        description=(
            "On a GPU: the same command, the same bits. Off, cuDNN may choose faster algorithms. CPUs always are."
        ),
    )
    micro_batch: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description=(
            "Images on the device at once, of each process; a batch is put together of "
            "several. Without it, all of them."
        ),
    )
    save_every: Count = Field(
        20000, description="Images between two resume states.", json_schema_extra={"changes_bits": False}
    )
    previews: Annotated[int, Field(ge=0)] = Field(
        12,
        description=(
            "Looks at samples over the whole training, at most: fewer where they would take more than about a "
            "hundredth of it. 0 for none."
        ),
        json_schema_extra={"changes_bits": False},
    )

    @property
    def clean_targets(self) -> bool:
        """Whether the network learns from the features of clean images, so that one centroid serves all levels."""
        return self.partner_noise != "same"

    @model_validator(mode="after")
    def _check(self) -> "Training":
        if self.batch % (self.partners + 1):
            raise ValueError(
                f"batch ({self.batch}) must be a multiple of partners + 1 ({self.partners + 1}): groups share a class"
            )
        if self.micro_batch and (self.batch % self.micro_batch or self.micro_batch % (self.partners + 1)):
            raise ValueError(
                f"micro_batch ({self.micro_batch}) must divide batch ({self.batch}) and be a multiple of partners + 1 "
                f"({self.partners + 1})"
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
