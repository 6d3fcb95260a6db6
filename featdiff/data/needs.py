"""What the rows of a project need of a data set: judged when its images are counted, before anything is trained.

Whatever a later step would refuse because of counts or names of classes is refused here, with the setting that asks for
more and the value that would do.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from featdiff.errors import UserError
from featdiff.evaluation.sizes import LEAST, compared
from featdiff.settings.base import Count, Settings, parse

RESERVED = {"all": "the rows over all classes", "mean of classes": "the rows of means"}  # in the tables of measures
SHOWN = 10  # problems named in one message
Counted = Mapping[str, Mapping[str, int]]
"""Images of each class, by split: ``{"cats": {"train": 6, "test": 2}}``."""


class Group(Settings):
    """A training on groups of one class: ``partners`` and one more. ``setting`` is the row of trainings."""

    setting: str
    partners: Count
    batch: Count
    micro_batch: Count | None = None


class Drawn(Settings):
    """A set of samples: so many of each class or, with ``of_class`` false, without a class."""

    setting: str
    images: Count
    of_class: bool


class Needs(Settings):
    """What the rows of a project need of one data set."""

    dataset: str
    whole: Annotated[bool, Field(description="One image of the source makes one image, not several patches.")]
    most: Count | None = Field(None, description="The data set's max_images_per_class.")
    images: Count = Field(description="evaluation.images")
    images_all: Count | None = Field(None, description="evaluation.images_all")
    groups: tuple[Group, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    classes: Mapping[str, str] = Field({}, description="Classes that settings name, by the setting.")

    def problems(self, counts: Counted) -> list[str]:
        """A sentence for each shortfall: the class, the number there, the number needed, the setting that asks for it
        and what would do. Empty where all can be trained, drawn and measured."""
        named = [
            f"{setting} names the class '{name}', which is not there; classes: {', '.join(list(counts)[:SHOWN])}"
            for setting, name in self.classes.items()
            if name not in counts
        ]
        reserved = [
            f"a class is called '{name}', which is the name of {what} in the tables: rename the class"
            for name, what in RESERVED.items()
            if name in counts
        ]
        short = [*self._splits(counts), *self._groups(counts)]
        return [*named, *reserved, *(short or self._comparisons(counts))]

    def _splits(self, counts: Counted) -> list[str]:
        """Measures need two images of each class in both splits."""
        return [
            f"class '{name}' has {has[split]} {words} image(s), and the measures (evaluation) need {LEAST}: "
            + self._more(split, has)
            for name, has in counts.items()
            for split, words in (("train", "training"), ("test", "test"))
            if has[split] < LEAST
        ]

    def _more(self, split: str, has: Mapping[str, int]) -> str:
        row, total = f"datasets.{self.dataset}", sum(has.values())
        if split == "train":
            return "add images" + (f" or lower {row}.test_fraction" if total >= 2 * LEAST else "")
        if not self.whole:
            return f"add photographs, lower {row}.layout.test_stride or raise {row}.test_fraction"
        if total < 2 * LEAST:
            return f"add images, {2 * LEAST} a class at least"
        return f"set {row}.test_fraction to {math.ceil(100 * LEAST / total) / 100:g}, or add images"

    def _groups(self, counts: Counted) -> list[str]:
        """Groups hold different images of one class; the value that would do is that of the smallest class."""
        smallest = min(has["train"] for has in counts.values())
        found = []
        for group in self.groups:
            fit = _partners(group, smallest)
            for name, has in counts.items():
                if (there := has["train"]) > group.partners:
                    continue
                found.append(
                    f"class '{name}' has {there} training image(s), and {group.setting}.partners of {group.partners} "
                    f"needs {group.partners + 1}: " + self._enough(group, there, fit)
                )
        return found

    def _enough(self, group: Group, there: int, fit: int | None) -> str:
        ways = [] if fit is None else [f"set it to {fit}"]
        if self.most == there:
            ways.append(f"set datasets.{self.dataset}.max_images_per_class to {group.partners + 1}")
        return " or ".join([*ways, "add images"])

    def _comparisons(self, counts: Counted) -> list[str]:
        """Samples must be as many as are compared."""
        smallest = min(min(has.values()) for has in counts.values())
        sizes = compared(images=self.images, images_all=self.images_all, smallest=smallest, classes=len(counts))
        if sizes.refused:
            return [sizes.refused]
        found = []
        for drawn in self.drawn:
            needed = sizes.one if drawn.of_class else max(sizes.one, sizes.all)
            if drawn.images < needed:
                setting = "images" if needed == sizes.one else "images_all"
                what = "images of each class are" if drawn.of_class else "images are"
                fewer = f", or evaluation.{setting} to {drawn.images}" if drawn.images >= LEAST else ""
                found.append(
                    f"{drawn.setting}.images is {drawn.images}, and {needed} {what} compared: set it to {needed}{fewer}"
                )
        return found


def _partners(group: Group, images: int) -> int | None:
    """The most partners that a class of so many images allows and that divide the batch with the image itself; None if
    there are none."""
    sizes = [group.batch, *([group.micro_batch] if group.micro_batch else [])]
    fit = [size for size in range(2, images + 1) if all(n % size == 0 for n in sizes)]
    return fit[-1] - 1 if fit else None


def judge(where: str, needs: Needs, counts: Counted) -> None:
    """Raise a :class:`UserError` that names what is missing of a data set, if anything is."""
    if found := needs.problems(counts):
        raise UserError("\n".join([f"{where}: not enough for these settings", *shown(found)]))


def shown(problems: Sequence[str]) -> list[str]:
    """Lines of a message: the first of them, and how many there are more."""
    more = len(problems) - SHOWN
    return [f"  {line}" for line in problems[:SHOWN]] + [f"  ... and {more} more"] * (more > 0)


def as_json(needs: Mapping[str, Needs]) -> str:
    """The needs of all data sets as the command line takes them."""
    return json.dumps({name: one.model_dump(mode="json", exclude_defaults=True) for name, one in needs.items()})


def from_json(text: str, name: str) -> Needs | None:
    """The needs of one data set, None where nothing is asked of it."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--needs takes JSON text, and got {text[:60]!r}: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"--needs takes what is needed of each data set by its name, and got {text[:60]!r}")
    return parse(Needs, found[name], f"--needs: {name}") if name in found else None
