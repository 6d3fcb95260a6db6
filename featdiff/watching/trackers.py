"""TensorBoard and wandb, where they are installed: ``pip install 'featdiff[tensorboard]'`` or ``'featdiff[wandb]'``.

TensorBoard's files lie in the training's folder. wandb sends them away, so it is asked only where its own variable
``WANDB_PROJECT`` is set; ``WANDB_MODE=offline`` keeps them here.
"""

import contextlib
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from featdiff.training.progress import TENSORBOARD


class Tracker(Protocol):
    """Another tool that is told the same."""

    def numbers(self, record: Mapping[str, float], step: int) -> None: ...

    def picture(self, pixels: np.ndarray, step: int) -> None: ...

    def finish(self) -> None: ...


def all_of(folder: Path, run: Mapping[str, Any], step: int) -> list[Tracker]:
    """The tools that are there; what they hold of later steps than this is of a start that was cut off."""
    found: list[Tracker] = []
    if find_spec("tensorboard"):
        found.append(TensorBoard(folder / TENSORBOARD, step))
    if find_spec("wandb") and os.environ.get("WANDB_PROJECT"):
        found.append(Wandb(folder, run))
    return found


class TensorBoard:
    """Event files for ``tensorboard --logdir results/logs/train``."""

    def __init__(self, folder: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def numbers(self, record: Mapping[str, float], step: int) -> None:
        for name, value in record.items():
            if name != "step":
                self.writer.add_scalar(name, value, step)

    def picture(self, pixels: np.ndarray, step: int) -> None:
        self.writer.add_image("previews", pixels, step, dataformats="HWC")

    def finish(self) -> None:
        self.writer.close()


class Wandb:
    """A run of wandb that goes on when the training does."""

    def __init__(self, folder: Path, run: Mapping[str, Any]):
        import wandb

        self.wandb = wandb
        self.run = wandb.init(dir=str(folder), name=run["name"], id=run["run"], resume="allow", config=dict(run))

    def numbers(self, record: Mapping[str, float], step: int) -> None:
        self.run.log(dict(record), step=step)

    def picture(self, pixels: np.ndarray, step: int) -> None:
        self.run.log({"previews": self.wandb.Image(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)}, step=step)

    def finish(self) -> None:
        with contextlib.suppress(Exception):
            self.run.finish()
