"""Sampling scattered over jobs: which images a shard draws, and how it draws them.

Image ``number`` of class ``label`` has a stream of noise of its own, and a part batch is padded where its size would
change the sums, so an image is the same, bit for bit on the CPU, however the work is sharded.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.devices import compiling, memory
from featdiff.devices.devices import is_gpu, pick_device, to_pixels
from featdiff.diffusion.corruptions import Process, variance_exploding
from featdiff.diffusion.denoiser import Denoiser
from featdiff.errors import UserError
from featdiff.models.checkpoint import Checkpoint
from featdiff.models.guided import Arithmetic, GuidedDenoiser, Model, Source
from featdiff.sampling import corrupted
from featdiff.sampling.corrupted import Corrupted
from featdiff.settings.sampling import Sampling

UNCONDITIONAL = "unconditional"
PART = 16  # on a CPU, images that a part batch is padded to a multiple of


class Draw(NamedTuple):
    """One image to draw: its label (-1 is none) and its number within the label."""

    label: int
    number: int


def draws(settings: Sampling, classes: Sequence[str], only: str | None = None) -> list[Draw]:
    """All images of a sampling, class by class; without guidance those of the model's only class, or unlabelled
    ones."""
    labels = range(len(classes)) if settings.guidance.told else [classes.index(only) if only else -1]
    return [Draw(label, number) for label in labels for number in range(settings.images)]


def of_shard(everything: list[Draw], shard: int, shards: int) -> list[Draw]:
    """The contiguous range of images that shard ``shard`` of ``shards`` draws."""
    if not 0 <= shard < shards:
        raise UserError(f"shard {shard} does not exist: this sampling has shards 0 to {shards - 1}")
    count = len(everything)
    return everything[shard * count // shards : (shard + 1) * count // shards]


def sample_shard(
    settings: Sampling,
    model: Path,
    table: Path | None,
    shard: int,
    out: Path,
    *,
    weak: Source | None = None,
    chosen: Path | None = None,
) -> None:
    """Draw one shard and write it as an archive.

    ``weak`` is autoguidance's weaker model, ``chosen`` the levels of the data set for a model with a corruption.
    """
    source = Source(model, table)
    inputs = source.inputs() | (weak.inputs("weak_") if weak else {}) | ({"levels": chosen} if chosen else {})
    made = artifacts.manifest("shard", settings, inputs, by=sample_shard)
    device = pick_device()
    denoiser = GuidedDenoiser(settings.guidance, source, weak, device, Arithmetic(settings.precision))
    trained = denoiser.trained
    known = _corrupted(trained, chosen)
    if known is not None and denoiser.classes != trained.data.classes:
        known = replace(known, start=known.start.of_all())
    wanted = of_shard(draws(settings, denoiser.classes, trained.spec.only), shard, settings.shards)
    count = -(-len(wanted) // settings.batch) * settings.sampler.evaluations(settings.sigma_start, settings.sigma_end)
    settings = decided(settings, denoiser, device, count=count)
    images, spent = [], []
    with tqdm(total=len(wanted), unit="image", mininterval=2) as bar, room_for(settings, device):
        for first in range(0, len(wanted), settings.batch):
            batch = wanted[first : first + settings.batch]
            before = denoiser.evaluations
            images.append(to_pixels(draw_batch(settings, denoiser, batch, trained, device, known)))
            spent += [denoiser.evaluations - before] * len(batch)
            bar.update(len(batch))
    classes = denoiser.classes
    index = pd.DataFrame(
        {
            "path": [f"{_folder(classes, d.label)}/{d.number:06d}.png" for d in wanted],
            "split": "samples",
            "label": [d.label for d in wanted],
            "class": [_folder(classes, d.label) for d in wanted],
            "index": [d.number for d in wanted],
            "seed": settings.seed,
            "guidance": settings.guidance.kind,
            "strength": getattr(settings.guidance, "strength", np.nan),
            "sampler": settings.sampler.kind,
            "evaluations": spent,
            "checkpoint": made.inputs["checkpoint"],
        }
    )
    shape = (trained.data.size, trained.data.size, trained.data.channels)
    archive.write(out, np.concatenate(images) if images else np.empty((0, *shape), np.uint8), index, made)


@torch.inference_mode()
def draw_batch(
    settings: Sampling,
    denoiser: Denoiser,
    batch: list[Draw],
    trained: Checkpoint,
    device: torch.device,
    known: Corrupted | None = None,
) -> Tensor:
    """Draw the images of a batch; returns (len(batch), C, H, W). ``known`` is what a model with a corruption needs."""
    padded = batch + [batch[-1]] * (_size(len(batch), settings, device) - len(batch))
    shape = (trained.data.channels, trained.data.size, trained.data.size)
    noise = seeds.SampleNoise(settings.seed, map(tuple, padded), shape, device)
    labels = torch.tensor([d.label for d in padded]).to(device)
    if known is None:
        x = trained.data.mean + settings.sigma_start * noise()
    else:
        top = torch.ones((), dtype=torch.float64)
        x = known.start.to(device).draw(labels, trained.denoiser.process.sigma(top).item(), noise)
    x = x.contiguous(memory_format=torch.channels_last)
    condition = labels if settings.guidance.told else None
    process = _process(settings, trained)
    grid = settings.sampler.levels(process, None if known is None else known.chosen)
    x = settings.sampler.function(process)(denoiser, x, grid, noise, condition)[: len(batch)]
    if not bool(torch.isfinite(x).all()):
        raise UserError("the samples are not finite: lower the guidance strength or take more steps")
    return x


def decided(settings: Sampling, denoiser: GuidedDenoiser | Model, device: torch.device, *, count: int) -> Sampling:
    """The settings with ``compile`` decided for so many network evaluations, and the denoiser told."""
    compiled = compiling.chosen(settings.compile, device, count=count, what="evaluation")
    if compiled:
        denoiser.use(Arithmetic(settings.precision, compile=True))
    return settings.model_copy(update={"compile": compiled})


def room_for(settings: Sampling, device: torch.device) -> AbstractContextManager[None]:
    """Tell what would fit when the device's memory does not hold a batch."""
    return memory.enough_for(settings.batch, "the sampling's batch", device=device)


def _size(count: int, settings: Sampling, device: torch.device) -> int:
    """How many images a batch of ``count`` is padded to.

    Compiled code is of one shape. On a CPU the products of fewer than five images are added in another order than those
    of more: padded to a multiple of 16, an image has the same bits in a batch of any size.
    """
    if settings.compile is True:
        return settings.batch
    return count if is_gpu(device) else min(settings.batch, -(-count // PART) * PART)


def _corrupted(trained: Checkpoint, chosen: Path | None) -> Corrupted | None:
    """The levels' file, which goes with a corruption."""
    if trained.spec.corruption is None:
        return None
    if chosen is None:
        raise UserError("a model with a corruption needs the levels of its data set: give --levels")
    return corrupted.read_for(chosen, trained)


def _process(settings: Sampling, trained: Checkpoint) -> Process:
    """What the model undoes; without a corruption, noise between the settings' levels."""
    if trained.spec.corruption is None:
        return variance_exploding(settings.sigma_end, settings.sigma_start)
    if not settings.sampler.corruptions:
        raise UserError(f"{settings.sampler.kind} knows no corruption, and this model has one: take another sampler")
    return trained.denoiser.process


def _folder(classes: tuple[str, ...], label: int) -> str:
    return classes[label] if label >= 0 else UNCONDITIONAL
