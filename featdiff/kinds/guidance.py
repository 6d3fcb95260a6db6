"""Every kind of guidance: its settings, which models it can guide, and the denoiser that it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from featdiff.errors import UserError
from featdiff.kinds.base import Kind, Table
from featdiff.settings.base import Count, Name, Positive, Settings

if TYPE_CHECKING:
    from featdiff.diffusion.denoiser import Denoiser
    from featdiff.models.guided import Model

Strength = Annotated[float, Field(ge=0, le=100)]
Interval = Annotated[
    tuple[Annotated[float, Field(ge=0)], Positive] | None,
    Field(description="Noise levels (low, high] at which the strength acts; elsewhere it is 1 (arXiv 2404.07724)."),
]


class Guidance(Kind):
    """How a sample is led to its class."""

    conditions: ClassVar[tuple[str, ...]] = ()  # that a model may have to be guided so; any if empty
    told: ClassVar[bool] = True  # whether each sample is of a class that it is led to

    def models(self) -> tuple[str, ...]:
        """Rows of models that it needs beside the one that is sampled from: none, or a weaker one."""
        return ()

    def renamed(self, new: Callable[[str], str]) -> Self:
        """The same with other rows of models."""
        return self

    def guided(self, model: Model, weak: Model | None) -> Denoiser:
        """A denoiser whose condition is a class label; ``model.told()`` is the model told the class, and None is no
        class."""
        raise NotImplementedError


class NoGuidance(Guidance):
    """The model as it is, told nothing: unconditional samples, or those of its only class."""

    kind: Literal["none"]
    label = "no guidance"
    told = False

    def guided(self, model: Model, weak: Model | None) -> Denoiser:
        return model.counted


class StrongGuidance(Guidance):
    """Guidance with a strength; 1 is the model told its class. Elsewhere than in ``interval`` it is 1."""

    interval: Interval = None
    strength: Strength = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.interval and self.interval[0] >= self.interval[1]:
            raise ValueError(f"interval must rise, got {list(self.interval)}")
        return self


class Examples(Settings):
    """Classes given by example images alone: their centroids are means over training images of another data set."""

    dataset: Name
    images: Count = Field(description="Example images a class, drawn by centroids.seed; all if there are fewer.")


class CentroidGuidance(StrongGuidance):
    """Guidance of a network that is told features, to centroids: of its own classes, or of examples of others."""

    conditions = ("feature",)
    examples: Examples | None = Field(None, description="Guide to these classes, which the model need not know.")


class FeatureGuidance(CentroidGuidance):
    """Match the class centroid; strengths beyond 1 extrapolate past it, away from the mean of the classes."""

    kind: Literal["feature"]
    label = "feature guidance"

    def guided(self, model: Model, weak: Model | None) -> Denoiser:
        return model.told(self.strength)


class DifferenceGuidance(CentroidGuidance):
    """``D(mean) + strength (D(class) - D(mean))``, away from what the network says of the mean of all centroids.

    Takes no training of its own; 1 is feature guidance at half the cost.
    """

    kind: Literal["difference"]
    label = "guidance by difference"
    strength: Strength = 1.5

    def guided(self, model: Model, weak: Model | None) -> Denoiser:
        from featdiff.diffusion.guidance import difference

        return difference(model.told(), model.to_middle(), strength=self.strength)


class ClassifierFreeGuidance(StrongGuidance):
    """``D(none) + strength (D(class) - D(none))``; 1 is the conditional model at half the cost (arXiv 2207.12598).

    The class is a label, or the centroid where a share of the training had no target (``target_dropout``).
    """

    kind: Literal["classifier-free"]
    label = "classifier-free guidance"
    conditions = ("feature", "label")

    def guided(self, model: Model, weak: Model | None) -> Denoiser:
        from featdiff.diffusion.guidance import classifier_free

        return classifier_free(model.told(), strength=self.strength)


class Autoguidance(StrongGuidance):
    """``D_weak + strength (D - D_weak)``, both told the class, by a less trained or smaller model (arXiv
    2406.02507)."""

    kind: Literal["autoguidance"]
    label = "autoguidance"
    conditions = ("feature", "label")
    weak: Name = Field(description="The weaker model: another row of models, of the same data set and condition.")
    strength: Strength = 2.0

    def models(self) -> tuple[str, ...]:
        return (self.weak,)

    def renamed(self, new: Callable[[str], str]) -> Self:
        return self.model_copy(update={"weak": new(self.weak)})

    def guided(self, model: Model, weak: Model | None) -> Denoiser:
        from featdiff.diffusion.guidance import autoguidance

        if weak is None:
            raise UserError("autoguidance needs a weaker model: give --weak")
        return autoguidance(model.told(), weak.told(), strength=self.strength)


GUIDANCE = Table(
    "guidance", Guidance, NoGuidance, FeatureGuidance, DifferenceGuidance, ClassifierFreeGuidance, Autoguidance
)
