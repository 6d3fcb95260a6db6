"""What a training shows of itself while it runs.

A watcher is told and gives nothing back: it gets numbers and copies, so that a training ends with the same bits whether
it is watched or not, and by whatever code (:data:`featdiff.meaning.ASIDE`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from featdiff.data.archive import ImageArchive
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.training import TrainSpec


class Begun(NamedTuple):
    """A training before its first step: what it is, where it stands, and where its resume state lies.

    ``words`` say why it does not go on from a state, where there is one that might have been its own.
    """

    spec: TrainSpec
    description: DataDescription
    data: Path
    images: ImageArchive  # for training
    device: torch.device
    step: int
    total: int
    state: Path
    words: tuple[str, ...] = ()


class Moment(NamedTuple):
    """A training after a step: the losses of all steps so far (step,) on the CPU, and other numbers by name.

    ``averages`` makes a copy of the averaged weights.
    """

    step: int
    losses: Tensor
    numbers: Mapping[str, float]
    averages: Callable[[], dict[str, Tensor]]


class Watcher(Protocol):
    """Who watches; on the first process alone."""

    def begin(self, begun: Begun) -> None: ...

    def look(self, moment: Moment) -> None: ...

    def end(self) -> None: ...
