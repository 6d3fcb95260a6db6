"""Every measure of a set of images: its name in the tables, its name for people, which way is better, and how it is
computed.

Those of features take a pair of sets of features; the others are computed by :mod:`featdiff.evaluation.measure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from featdiff.kinds.base import Table

if TYPE_CHECKING:
    import numpy as np

    from featdiff.evaluation.influence import Draw, Influences
    from featdiff.evaluation.manifold import Manifold
    from featdiff.evaluation.selection import Side
    from featdiff.settings.evaluation import Evaluation


@dataclass(frozen=True)
class Pair:
    """Features of real images (N, D) and of those measured (N, D), float32, one draw of each."""

    real: np.ndarray
    generated: np.ndarray
    settings: Evaluation
    subsets: np.random.Generator  # of the kernel distance alone
    sides: tuple[Side, Side]  # the rows of both in their archives

    @cached_property
    def manifold(self) -> Manifold:
        """The four measures that share their distances."""
        from featdiff.evaluation.manifold import manifold

        return manifold(real=self.real, generated=self.generated, neighbours=self.settings.neighbours)

    @cached_property
    def frechet(self) -> Influences:
        """The Frechet distance and how far each image moves it."""
        from featdiff.evaluation.influence import influences

        return influences(self.real, self.generated)

    @cached_property
    def frechet_limit(self) -> Influences | None:
        """The distance at infinitely many images, where there are as many images as features at least."""
        from featdiff.evaluation.influence import extrapolated

        if min(len(self.real), len(self.generated)) < self.real.shape[1]:
            return None
        return extrapolated(self.real, self.generated, self.frechet)

    def moved_by(self, moved: Influences) -> Draw:
        """What the interval of a value needs of this draw, without its features."""
        from featdiff.evaluation.influence import Draw

        real, generated = self.sides
        return Draw((real.rows, generated.rows), (real.strata, generated.strata), moved)


class Measure:
    """A number of a set of images, of each class and over all. The docstring's first paragraph is its line in the
    report.

    ``better`` is "low", "high", "real" (as close to real test images as possible) or "none" (it judges nothing); the
    report shows ``scale`` times the value.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    better: ClassVar[Literal["low", "high", "real", "none"]]
    digits: ClassVar[int]
    scale: ClassVar[float] = 1.0
    shown: ClassVar[bool] = True  # in the report's table

    @classmethod
    def called(cls) -> str:
        """The name in the tables."""
        return cls.name


class FeatureMeasure(Measure):
    """A measure of features against those of real training images."""

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        """The values of one draw, mostly one: the number in the table is the mean over all draws, its spread their
        deviation. None at all where the draw is too small for the measure."""
        raise NotImplementedError

    @staticmethod
    def influences(pair: Pair) -> Influences | None:
        """How far each image of the draw moves its value, for the interval; None where that is not known."""
        return None


class Frechet(FeatureMeasure):
    """Distance between Gaussians fitted to network features."""

    name = "frechet"
    label = (
        "Frechet distance"  # with the extractor's name before it where there is one: featdiff.reporting.tables.title
    )
    better = "low"
    digits = 1

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        return [pair.frechet.value]

    @staticmethod
    def influences(pair: Pair) -> Influences | None:
        return pair.frechet


class FrechetFloor(Measure):
    """Frechet distance of as many real training images to as many others: what the count alone makes of it."""

    name = "frechet_floor"
    label = "Frechet floor"
    better = "none"
    digits = 1


class FrechetInfinity(FeatureMeasure):
    """Frechet distance extrapolated to infinitely many images, where there are as many images as features."""

    name = "frechet_infinity"
    label = "Frechet at N → ∞"
    better = "low"
    digits = 1

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        return [] if pair.frechet_limit is None else [pair.frechet_limit.value]

    @staticmethod
    def influences(pair: Pair) -> Influences | None:
        return pair.frechet_limit


class Kid(FeatureMeasure):
    """Kernel distance of the same features; unbiased, so it may be below zero."""

    name = "kid"
    label = "KID ×1000"
    better = "low"
    digits = 1
    scale = 1000.0

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        from featdiff.evaluation.kernel import kid

        count, size = pair.settings.kid_subsets, pair.settings.kid_subset_size
        strata = (pair.sides[0].strata, pair.sides[1].strata)
        found = kid(pair.real, pair.generated, subsets=count, size=size, generator=pair.subsets, strata=strata)
        return found.tolist()


class Precision(FeatureMeasure):
    """Share of images that lie among real ones."""

    name = "precision"
    label = "Precision"
    better = "real"
    digits = 2

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        return [pair.manifold.precision]


class Recall(FeatureMeasure):
    """Share of real images that lie among these."""

    name = "recall"
    label = "Recall"
    better = "real"
    digits = 2

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        return [pair.manifold.recall]


class Density(FeatureMeasure):
    """How many real neighbourhoods an image lies in; 1 is expected."""

    name = "density"
    label = "Density"
    better = "real"
    digits = 2

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        return [pair.manifold.density]


class Coverage(FeatureMeasure):
    """Share of real neighbourhoods that hold one of these."""

    name = "coverage"
    label = "Coverage"
    better = "real"
    digits = 2

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        return [pair.manifold.coverage]


class Vendi(FeatureMeasure):
    """Effective number of different images."""

    name = "vendi"
    label = "Vendi"
    better = "real"
    digits = 1

    @staticmethod
    def values(pair: Pair) -> Sequence[float]:
        from featdiff.evaluation.diversity import vendi_score

        return [vendi_score(pair.generated)]


class ClassAccuracy(Measure):
    """Share taken for their class by a judge trained on real images."""

    name = "class_accuracy"
    label = "Class accuracy"
    better = "high"
    digits = 3


class ClassShare(Measure):
    """Share of images without a class that the judge takes for this one."""

    name = "class_share"
    label = "Class share"
    better = "real"
    digits = 3


class NearestTraining(Measure):
    """Median pixel distance (root mean square) to the nearest training image."""

    name = "nearest_training"
    label = "Nearest training"
    better = "real"
    digits = 3


class NearestTrainingTest(Measure):
    """Nearest training of as many real test images."""

    name = "nearest_training_test"
    label = "Nearest training, test images"
    better = "real"
    digits = 3
    shown = False  # the row of real test images has it


class CopiedShare(Measure):
    """Share nearer to a training image than 5% of test images are; 0.05 is expected."""

    name = "copied_share"
    label = "Copied share"
    better = "real"
    digits = 3


class NetworkEvaluations(Measure):
    """Network evaluations an image."""

    name = "network_evaluations"
    label = "Cost"
    better = "low"
    digits = 0


MEASURES = Table(
    "measure",
    Measure,
    Frechet,
    FrechetFloor,
    FrechetInfinity,
    Kid,
    Precision,
    Recall,
    Density,
    Coverage,
    Vendi,
    ClassAccuracy,
    ClassShare,
    NearestTraining,
    NearestTrainingTest,
    CopiedShare,
    NetworkEvaluations,
)
