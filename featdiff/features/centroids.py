"""Class centroids ``phi_y(sigma)`` on a logarithmic grid of noise levels (arXiv 2410.11646, section 3.2)."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.devices.devices import pick_device, to_images
from featdiff.diffusion import levels
from featdiff.errors import UserError
from featdiff.models import checkpoint
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.settings.centroids import Centroids


@dataclass(frozen=True)
class CentroidTable:
    """Centroids ``values`` (classes, levels, feature dimension) at noise levels ``sigmas`` (levels,), increasing.

    For a model with a corruption the levels are the corruption's, from 0. ``within`` (levels, feature dimension) is
    the variance of an image's features about its class's centroid, of the known classes, and ``counts`` (classes,) are
    the images of each class; ``centre`` (levels, feature dimension) is the mean of the known centroids where the
    classes of the table are new ones.
    """

    values: Tensor
    sigmas: Tensor
    classes: tuple[str, ...]
    checkpoint: str
    within: Tensor | None = None
    counts: Tensor | None = None
    centre: Tensor | None = None

    def at(self, t: Tensor, labels: Tensor) -> Tensor:
        """``phi_y(t)`` for noise levels (B,) and labels (B,), linear in log sigma; beyond the grid its ends hold.

        Linear in the level where the grid starts at 0: levels of a corruption.

        A table of one level, of a model trained with clean partners, is the same at every ``t``.
        """
        if len(self.sigmas) == 1:
            return self.values[labels, 0]
        grid, place = (self.sigmas.log(), t.log()) if self._logarithmic else (self.sigmas, t)
        position = torch.searchsorted(grid, place.to(grid)).clamp(1, len(grid) - 1)
        low, high = grid[position - 1], grid[position]
        share = ((place.to(low) - low) / (high - low)).clamp(0, 1).to(self.values)[:, None]
        return torch.lerp(self.values[labels, position - 1], self.values[labels, position], share)

    @cached_property
    def _logarithmic(self) -> bool:
        return bool(self.sigmas[0] > 0)  # asked at each step, a GPU would be waited for each time

    @property
    def middle(self) -> Tensor:
        """The mean of the known classes' centroids, (levels, feature dimension)."""
        return self.values.mean(0) if self.centre is None else self.centre

    def extrapolated(self, strength: float) -> "CentroidTable":
        """Centroids moved away from (or, below 1, towards) the mean of the known classes; ``strength = 1`` changes
        nothing."""
        return replace(self, values=torch.lerp(self.middle[None], self.values, strength))

    def to_middle(self) -> "CentroidTable":
        """The same classes, each with the mean of the known centroids."""
        return replace(self, values=self.middle.expand_as(self.values))

    def to(self, device: torch.device) -> "CentroidTable":
        moved: dict[str, Any] = {name: part.to(device) for name, part in vars(self).items() if isinstance(part, Tensor)}
        return replace(self, **moved)


@torch.inference_mode()
def class_centroid(
    denoiser: NetworkDenoiser, images: Tensor, sigma: float, settings: Centroids, *name: str | int
) -> Tensor:
    """The mean of :func:`class_moments`, of shape (feature dimension,)."""
    return class_moments(denoiser, images, sigma, settings, *name)[0]


@torch.inference_mode()
def class_moments(
    denoiser: NetworkDenoiser, images: Tensor, sigma: float, settings: Centroids, *name: str | int
) -> tuple[Tensor, Tensor]:
    """Mean of ``phi(x + sigma z)`` over images (N, C, H, W) and noise draws, and the variance of an image's own mean
    over the draws; both (feature dimension,), float64. The variance of a single image is zero.

    With a corruption ``sigma`` is its level.

    ``name`` names the noise: the same name gives the same draws.
    """
    total = torch.zeros(denoiser.feature_dim, dtype=torch.float64, device=images.device)
    own = []
    for first in range(0, len(images), settings.batch):
        batch = images[first : first + settings.batch]
        names = [("centroid", *name, first + i) for i in range(len(batch))]
        noise, t = seeds.Streams(settings.seed, names, images.device), batch.new_full((len(batch),), sigma)
        sums = torch.zeros(len(batch), denoiser.feature_dim, dtype=torch.float64, device=images.device)
        for draw in range(settings.draws):
            noisy = denoiser.process.corrupt(batch, t, noise.normal(draw, tuple(batch.shape[1:])))
            features = denoiser.features(noisy, t).double()
            total += features.sum(0)
            sums += features
        own.append(sums / settings.draws)
    each = torch.cat(own)
    variance = each.var(0) if len(each) > 1 else torch.zeros_like(total)
    return total / (settings.draws * len(images)), variance


def extract(
    settings: Centroids, data: Path, model: Path, out: Path, *, new_classes: bool = False, known: Path | None = None
) -> None:
    """Write the centroid table of a checkpoint over the training images of an archive; ``new_classes`` may be others
    than its own.

    A model trained with partners at the image's noise level gets the grid of noise levels; one trained with clean
    partners gets the one level it knows, that of clean images. ``known`` are the centroids of the checkpoint's own
    classes: the table then keeps their mean, for guidance away from it, and ``settings.shrink`` moves the new ones
    towards it.

    Raises :class:`UserError` for other classes than the checkpoint's where they are not new, and for ``shrink`` without
    known centroids or with too few (:mod:`featdiff.features.shrinkage`).
    """
    inputs = {"dataset": data, "checkpoint": model} | ({} if known is None else {"known": known})
    made = artifacts.manifest("centroids", settings, inputs, by=extract)
    if new_classes and settings.shrink and known is None:
        raise UserError("shrinking new classes' centroids needs those of the known classes: give --known")
    from featdiff.features.shrinkage import towards_known  # which reads these tables

    others = None if known is None else read_for(known, model)
    trained = checkpoint.read(model)
    images = archive.read(data, "dataset", split="train")
    if not new_classes:
        require_classes(data, tuple(images.classes), trained.data.classes)
    device = pick_device()
    denoiser = trained.denoiser.to(device)
    if trained.spec.training.clean_targets:
        sigmas = torch.tensor([denoiser.clean], dtype=torch.float64)
    elif trained.spec.corruption is not None:
        sigmas = torch.linspace(0, 1, settings.levels, dtype=torch.float64)
    else:
        sigmas = levels.logarithmic(settings.sigma_min, settings.sigma_max, settings.levels)
    table, spread, counts = [], [], []
    rows_of = images.rows_by_label()
    for label in range(len(images.classes)):
        few = subset(rows_of[label], settings.images_per_class, settings.seed, label)
        chosen = to_images(images.images[few]).to(device)
        moments = [
            class_moments(denoiser, chosen, sigma, settings, label, i) for i, sigma in enumerate(sigmas.tolist())
        ]
        means, variances = (torch.stack(rows).cpu() for rows in zip(*moments, strict=True))
        if new_classes and settings.shrink and others is not None:
            means = towards_known(means, len(few), others)
        table.append(means)
        counts.append(len(few))
        spread += [variances] if len(few) > 1 else []
    arrays = {
        "centroids": torch.stack(table).float().numpy(),
        "sigma": sigmas.numpy(),
        "classes": np.array(images.classes, dtype=np.str_),
        "counts": np.array(counts),
    }
    if others is not None:
        arrays["centre"] = others.middle.numpy()
    elif spread:
        arrays["within"] = torch.stack(spread).mean(0).float().numpy()
    artifacts.write_arrays(out, arrays, made)


def read(path: Path | str) -> CentroidTable:
    """Read a centroid table, checked against its manifest."""
    arrays, made = artifacts.read_arrays(path, "centroids")
    return CentroidTable(
        torch.from_numpy(arrays["centroids"]),
        torch.from_numpy(arrays["sigma"]),
        tuple(arrays["classes"].tolist()),
        made.inputs["checkpoint"],
        **{name: torch.from_numpy(arrays[name]) for name in ("within", "counts", "centre") if name in arrays},
    )


def read_for(path: Path | str, model: Path | str) -> CentroidTable:
    """Read a centroid table and refuse it if it was made from another checkpoint than ``model``."""
    table = read(path)
    if table.checkpoint != artifacts.sha256_file(model):
        raise UserError(f"{path}: these centroids are of another checkpoint than {model}; make them again")
    return table


def subset(rows: np.ndarray, count: int, seed: int, *name: str | int) -> np.ndarray:
    """At most ``count`` rows, drawn without replacement, in their first order."""
    chosen = torch.randperm(len(rows), generator=seeds.generator(seed, "subset", *name))[:count]
    return rows[chosen.sort().values.numpy()]


def require_classes(path: Path, found: tuple[str, ...], trained: tuple[str, ...]) -> None:
    """Refuse a data set whose classes are not those the checkpoint was trained on."""
    if found != trained:
        raise UserError(f"{path}: its classes {list(found)} are not those of the checkpoint, {list(trained)}")
