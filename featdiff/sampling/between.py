"""Images along the line between the centroids of two classes: ``(1 - a) phi_y + a phi_y'`` (arXiv 2410.11646, section
3.4).

Shares ``a`` from 0 to 1 lie between the classes, others beyond them. Image ``number`` starts from the same noise, and
meets the same noise on its way, at every share: what changes along a strip is the centroid alone. The noise is that of
class y in the sampling that lends its settings, so at ``a = 0`` the images are those of that sampling, bit for bit.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from featdiff import artifacts
from featdiff.data import archive
from featdiff.devices.devices import pick_device, to_pixels
from featdiff.diffusion import guidance
from featdiff.errors import UserError
from featdiff.models.guided import Arithmetic, Model, Source
from featdiff.sampling.shards import Draw, decided, draw_batch, room_for
from featdiff.settings.sampling import Between, BetweenSpec


def write(spec: BetweenSpec, source: Source, out: Path) -> None:
    """Draw the images and write them as an archive of kind ``between``: labels count the shares, column ``share`` has
    them."""
    made = artifacts.manifest("between", spec, source.inputs(), by=write)
    images = draw(spec, source)
    shares = spec.between.shares
    rows = [
        (f"{k:02d}/{n:06d}.png", "between", k, f"{share:g}", share, n)
        for k, share in enumerate(shares)
        for n in range(spec.between.images)
    ]
    index = pd.DataFrame(rows, columns=[*archive.COLUMNS, "share", "index"])
    archive.write(out, images.reshape(-1, *images.shape[2:]), index, made)


def draw(spec: BetweenSpec, source: Source) -> np.ndarray:
    """Images (S, N, H, W, C) uint8, N at each of S shares; class names that the model does not know are refused
    before."""
    settings, sampling, device = spec.between, spec.sampling, pick_device()
    model = Model(source, device, Arithmetic(sampling.precision))
    if model.table is None:
        raise UserError("images between classes need the centroids of the model: give --centroids")
    table = model.table.extrapolated(sampling.guidance.strength)  # type: ignore[attr-defined]
    first, second = labels_of(settings, table.classes)
    batches = len(settings.shares) * -(-settings.images // sampling.batch)
    sampling = decided(
        sampling, model, device, count=batches * sampling.sampler.evaluations(sampling.sigma_start, sampling.sigma_end)
    )
    found = []
    with (
        tqdm(total=len(settings.shares) * settings.images, unit="image", mininterval=2) as bar,
        room_for(sampling, device),
    ):
        for share in settings.shares:

            def target(t: Tensor, labels: Tensor, share: float = share) -> Tensor:
                return torch.lerp(
                    table.at(t, torch.full_like(labels, first)), table.at(t, torch.full_like(labels, second)), share
                )

            denoiser = guidance.feature(model.counted, target)
            parts = []
            for start in range(0, settings.images, sampling.batch):
                batch = [Draw(first, n) for n in range(start, min(start + sampling.batch, settings.images))]
                parts.append(to_pixels(draw_batch(sampling, denoiser, batch, model.trained, device)))
                bar.update(len(batch))
            found.append(np.concatenate(parts))
    return np.stack(found)


def labels_of(settings: Between, classes: Sequence[str]) -> tuple[int, int]:
    """The labels of the two classes."""
    wanted = (settings.first, settings.second)
    if unknown := [name for name in wanted if name not in classes]:
        raise UserError(
            f"there is no class {', '.join(map(repr, unknown))} to go between; classes: {', '.join(classes)}"
        )
    return classes.index(wanted[0]), classes.index(wanted[1])
