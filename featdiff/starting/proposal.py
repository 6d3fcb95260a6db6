"""Settings that suit somebody's images and this machine: size, layout, network, training, how many samples.

The numbers of a CPU are those of the default run (docs/results/default.md), those of a GPU the paper's width
(docs/results/gpu.md).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featdiff.data.layouts import patch_positions
from featdiff.data.listing import BadImage
from featdiff.data.summary import SHOWN
from featdiff.errors import UserError
from featdiff.evaluation.sizes import allowed
from featdiff.kinds.layouts import PatchLayout
from featdiff.starting.survey import Survey

LEAST = 8  # images a class, where training and test images are drawn; smallest side of an image
FEW = 40  # images a class, below which large photographs are cut into patches
TEST_FRACTION = 0.25
PATCHES = 4000  # training patches a class that are enough
LARGE = 8  # sides of a patch in that of a photograph, at least
SMALLER = 0.02  # share of images that may be too small for the size
STRIDES = (2, 4, 8, 16, 24, 32, 48, 64)
NEIGHBOURS = 5
NOISE = {"kind": "lognormal", "mean": -1.4, "std": 1.1}


@dataclass(frozen=True)
class Machine:
    """What a device is given: the largest images, the network, a training."""

    patch: int
    side: int
    network: str
    widths: tuple[int, ...]
    training: str
    settings: dict[str, Any]
    sampling: dict[str, Any]
    profile: str
    block: str = "conv"


CPU = Machine(24, 32, "small", (32, 64, 96), "preview", {"images": 124_000, "batch": 16}, {}, "local", "residual")
_PAPER = {"images": 1_112_832, "batch": 256, "learning_rate": 0.001, "save_every": 200_000}
GPU = Machine(32, 64, "wide", (64, 128, 256, 512), "long", _PAPER, {"batch": 512, "precision": "bf16"}, "gpu")


@dataclass
class Proposal:
    """The settings of a new project, and what there is to say of them."""

    machine: Machine
    name: str
    mode: str
    layout: dict[str, Any]
    widths: tuple[int, ...]
    partners: int
    counts: dict[str, tuple[int, int]]  # training and test images of each class
    skip: list[str]  # why bad_images is skip
    mixed: bool
    halves: bool
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return int(self.layout["size"])

    @property
    def classes(self) -> int:
        return len(self.counts)

    @property
    def compared(self) -> int:
        """Images a class on each side of a comparison."""
        most = 192 if self.classes <= 10 else 64 if self.classes <= 50 else 32
        return min(most, *(min(pair) for pair in self.counts.values()))

    @property
    def drawn(self) -> int:
        """Samples a class: those that are compared, and enough to look at."""
        return max(self.compared, 24)

    @property
    def neighbours(self) -> int:
        return allowed(NEIGHBOURS, self.compared)


def propose(found: Survey, *, name: str, gpu: bool, mode: str | None = None, size: int | None = None) -> Proposal:
    """Settings for these images; ``mode`` and ``size`` are the user's where given. Raises :class:`UserError` where the
    images are too few or too small."""
    machine = GPU if gpu else CPU
    layout = None if found.halves else _patches(found, machine, size)
    layout = layout or {"kind": "crop", "size": size or _side(found, machine)}
    counts = _counts(found, layout)
    widths = machine.widths
    while layout["size"] % 2 ** (len(widths) - 1) and len(widths) > 2:
        widths = widths[:-1]
    if layout["size"] % 2 ** (len(widths) - 1):
        raise UserError(f"--size {layout['size']}: the network halves images; take an even size, best a multiple of 8")
    mixed = bool(found.gray and found.colour)
    chosen = mode or ("gray" if found.gray >= found.colour else "rgb")
    partners = next(p for p in (7, 3, 1) if p < min(train for train, _ in counts.values()))
    skip = [f"{len(found.bad):,} unusable files"] * bool(found.bad)
    skip += [f"{len(found.contradictions):,} pictures in two classes"] * bool(found.contradictions)
    if layout["kind"] == "crop":
        left = sum(found.counts().values()) - sum(found.counts(layout["size"]).values())
        skip += [f"{left:,} images smaller than {layout['size']} pixels"] * bool(left)
    else:
        left = sum(not _fits(width, height, PatchLayout(**layout)) for s in found.sizes.values() for width, height in s)
        skip += [f"{left:,} images too small for patches of both splits"] * bool(left)
    return Proposal(machine, name, chosen, layout, widths, partners, counts, skip, mixed, found.halves)


def _side(found: Survey, machine: Machine) -> int:
    """The largest size up to the machine's that nearly all images have: a multiple of 8, of small images of 4."""
    least = _least(found)
    step = 8 if least >= 32 else 4
    side = min(machine.side, least // step * step)
    if side < LEAST:
        raise UserError(f"the images are too small: sides of {least} pixels, at least {LEAST} are needed")
    return side


def _least(found: Survey) -> int:
    """The side that nearly all images have."""
    sides = np.concatenate([s.min(1) for s in found.sizes.values() if len(s)])
    return int(np.quantile(sides, SMALLER, method="lower"))


def _counts(found: Survey, layout: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Training and test images of each class, copies counted once; refuses classes with too few."""
    if layout["kind"] == "patches":
        return {name: _patch_counts(found.sizes[name, None], PatchLayout(**layout)) for name in found.classes}
    given = _distinct(found, layout["size"])
    if found.halves:
        counts = {name: (given.get((name, "train"), 0), given.get((name, "test"), 0)) for name in found.classes}
        few = {name: f"{train} and {test}" for name, (train, test) in counts.items() if train < 4 or test < 2}
        needed = "4 training and 2 test images"
    else:
        whole = {name: given.get((name, None), 0) for name in found.classes}
        counts = {name: (n - round(TEST_FRACTION * n), round(TEST_FRACTION * n)) for name, n in whole.items()}
        few = {name: str(n) for name, n in whole.items() if n < LEAST}
        needed = f"{LEAST} different images"
    if few:
        named = ", ".join(f"{name} ({n})" for name, n in list(few.items())[:SHOWN])
        raise UserError(
            f"{len(few)} class{'es' * (len(few) > 1)} with too few images of {layout['size']} pixels or more: {named}. "
            f"Whole images need {needed} a class (hundreds are better); add some, take the class out, or give a "
            "smaller --size"
        )
    return counts


def _distinct(found: Survey, size: int) -> dict[tuple[str, str | None], int]:
    contents: dict[tuple[str, str | None], set[bytes]] = {}
    for seen in found.images:
        if min(seen.width, seen.height) >= size:
            contents.setdefault((seen.file.class_name, seen.file.split), set()).add(seen.content)
    return {key: len(value) for key, value in contents.items()}


def _patches(found: Survey, machine: Machine, size: int | None) -> dict[str, Any] | None:
    """Patches of photographs, where a class has few of them and they are large enough; else None."""
    if min(len(sides) for sides in found.sizes.values()) >= FEW or any(not len(s) for s in found.sizes.values()):
        return None
    side = size or machine.patch
    if _least(found) < LARGE * side:
        return None
    best: dict[str, Any] | None = None
    for scale in (0.5, 1.0):
        for stride in STRIDES:
            layout = {
                "kind": "patches",
                "size": side,
                "stride": stride,
                "test_stride": max(8, side // 3),
                "scale": scale,
            }
            counts = [_patch_counts(sides, PatchLayout(**layout)) for sides in found.sizes.values()]
            fewest = min(train for train, _ in counts)
            if fewest < 200 or min(test for _, test in counts) < 24:
                break
            best = layout
            if fewest <= PATCHES:
                return layout
        if best:
            return best
    return best


def _patch_counts(sides: np.ndarray, layout: PatchLayout) -> tuple[int, int]:
    """Training and test patches of photographs of these sizes."""
    train = test = 0
    for (width, height), times in zip(*np.unique(sides, axis=0, return_counts=True), strict=True):
        if corners := _fits(width, height, layout):
            train, test = train + corners[0] * int(times), test + corners[1] * int(times)
    return train, test


def _fits(width: int, height: int, layout: PatchLayout) -> tuple[int, int] | None:
    """Training and test patches of one photograph, None where it is too small."""
    try:
        found = patch_positions(round(height * layout.scale), round(width * layout.scale), layout, TEST_FRACTION)
    except BadImage:
        return None
    return len(found.train), len(found.test)
