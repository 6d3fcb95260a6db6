"""How many images each comparison takes: numbers alone, so that they can be judged before there are any images."""

from typing import NamedTuple

RARELY = 1e-3  # chance that freely drawn classes need more images than there are, above which the shares are fixed
LEAST = 2  # images on a side: one has no neighbour, no spread and no covariance


class Counts(NamedTuple):
    """Images on each side of a comparison with one class, and of one over all classes; the number of classes."""

    one: int
    all: int
    classes: int

    @property
    def fixed(self) -> bool:
        """Whether all classes together are the same number of each, since freely drawn classes would run out."""
        from scipy.stats import binom

        return bool(self.classes * binom.sf(self.one, self.all, 1 / self.classes) > RARELY)

    @property
    def refused(self) -> str:
        """Why images over all classes can't be drawn in so many, and the setting that would do; empty if they can."""
        if not (self.classes > 1 and self.all <= self.classes and self.fixed):
            return ""
        return (
            f"{self.all} images of {self.classes} classes with {self.one} each cannot be drawn freely, and one of each "
            f"class is no fair draw: set evaluation.images_all to {self.one}, or above {self.classes}"
        )

    def of(self, label: int | None) -> int:
        """The count of a class or, for None, over all."""
        return self.all if label is None else self.one

    def neighbours(self, asked: int) -> int:
        """The k of precision, recall, density and coverage: as many as asked for or, of fewer images, all others."""
        return allowed(asked, self.one, self.all)


def compared(*, images: int, images_all: int | None, smallest: int, classes: int) -> Counts:
    """The counts of every comparison on a data set whose smallest class has so many images in a split."""
    one = min(images, smallest)
    return Counts(one, min(images_all or one, one * classes), classes)


def allowed(asked: int, *sizes: int) -> int:
    """The number of nearest neighbours that sides of these sizes allow: an image has all others at most."""
    return min(asked, *(size - 1 for size in sizes))


def neighbours_told(used: int, asked: int) -> str:
    """The words of a protocol."""
    return f"{used} neighbour{'s' * (used != 1)}" + (f" ({asked} asked)" if used != asked else "")
