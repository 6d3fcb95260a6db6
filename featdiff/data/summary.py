"""What came of preparing a data set, in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SHOWN = 10  # bad files named in one message


class Skip(NamedTuple):
    """A file that was not used: its path inside the source, where it lies, and why."""

    source: str
    where: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """What :func:`prepare` made: images by class and split, what was skipped, ignored, seen twice, on both sides of
    given halves, and how many files have more pages or frames than the first."""

    out: Path
    shape: tuple[int, int, int]
    counts: dict[str, dict[str, int]]
    skipped: tuple[Skip, ...]
    ignored: int
    duplicates: int
    shared: int = 0
    paged: int = 0

    def total(self, split: str) -> int:
        """Images of a split over all classes."""
        return sum(c[split] for c in self.counts.values())

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        lines = [f"{self.out}: {self.total('train')} training and {self.total('test')} test images of {size}"]
        width = max(len(name[:40]) for name in list(self.counts)[:SHOWN])
        for name, c in list(self.counts.items())[:SHOWN]:
            lines.append(f"  {name[:40]:{width}}  {c['train']:7} train  {c['test']:7} test")
        lines += [f"  ... and {len(self.counts) - SHOWN} more classes"] * (len(self.counts) > SHOWN)
        lines += [f"  {self.duplicates} images are copies of another one of their class"] * bool(self.duplicates)
        lines += [f"  {self.shared} test images are training images, too: so the halves were given"] * bool(self.shared)
        lines += [f"  {self.paged} files have more pages or frames: the first one was taken"] * bool(self.paged)
        lines += [f"  {self.ignored} hidden files ignored"] * bool(self.ignored)
        lines += [f"  {len(self.skipped)} files skipped:", *shown(self.skipped)] * bool(self.skipped)
        return "\n".join(lines)


def shown(bad: Iterable[Skip]) -> list[str]:
    lines = [f"  {s.where}: {s.reason}" for s in bad]
    return lines[:SHOWN] + [f"  ... and {len(lines) - SHOWN} more"] * (len(lines) > SHOWN)
