"""Class centroids ``phi_y(sigma)`` on a logarithmic grid of noise levels (arXiv 2410.11646, section 3.2)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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

    For a model with a corruption the levels are the corruption's, from 0.
    """

    values: Tensor
    sigmas: Tensor
    classes: tuple[str, ...]
    checkpoint: str

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

    def extrapolated(self, strength: float) -> "CentroidTable":
        """Centroids moved away from (or, below 1, towards) the mean over the classes; ``strength = 1`` changes
        nothing."""
        middle = self.values.mean(0, keepdim=True)
        return CentroidTable(torch.lerp(middle, self.values, strength), self.sigmas, self.classes, self.checkpoint)

    def to(self, device: torch.device) -> "CentroidTable":
        return CentroidTable(self.values.to(device), self.sigmas.to(device), self.classes, self.checkpoint)


@torch.inference_mode()
def class_centroid(
    denoiser: NetworkDenoiser, images: Tensor, sigma: float, settings: Centroids, *name: str | int
) -> Tensor:
    """Mean of ``phi(x + sigma z)`` over images (N, C, H, W) and noise draws; shape (feature dimension,), float64.

    With a corruption ``sigma`` is its level.

    ``name`` names the noise: the same name gives the same draws.
    """
    total = torch.zeros(denoiser.feature_dim, dtype=torch.float64, device=images.device)
    for first in range(0, len(images), settings.batch):
        batch = images[first : first + settings.batch]
        names = [("centroid", *name, first + i) for i in range(len(batch))]
        noise, t = seeds.Streams(settings.seed, names, images.device), batch.new_full((len(batch),), sigma)
        for draw in range(settings.draws):
            noisy = denoiser.process.corrupt(batch, t, noise.normal(draw, tuple(batch.shape[1:])))
            total += denoiser.features(noisy, t).double().sum(0)
    return total / (settings.draws * len(images))


def extract(settings: Centroids, data: Path, model: Path, out: Path, *, new_classes: bool = False) -> None:
    """Write the centroid table of a checkpoint over the training images of an archive; ``new_classes`` may be others
    than its own.

    A model trained with partners at the image's noise level gets the grid of noise levels; one trained with clean
    partners gets the one level it knows, that of clean images.
    """
    made = artifacts.manifest("centroids", settings, {"dataset": data, "checkpoint": model}, by=extract)
    trained = checkpoint.read(model)
    images = archive.read(data, "dataset", split="train")
    if not new_classes:
        require_classes(data, tuple(images.classes), trained.data.classes)
    device = pick_device()
    denoiser = trained.denoiser.to(device)
    if trained.spec.training.partner_noise == "clean":
        sigmas = torch.tensor([denoiser.clean], dtype=torch.float64)
    elif trained.spec.corruption is not None:
        sigmas = torch.linspace(0, 1, settings.levels, dtype=torch.float64)
    else:
        sigmas = levels.logarithmic(settings.sigma_min, settings.sigma_max, settings.levels)
    table = []
    rows_of = images.rows_by_label()
    for label in range(len(images.classes)):
        few = subset(rows_of[label], settings.images_per_class, settings.seed, label)
        chosen = to_images(images.images[few]).to(device)
        rows = [class_centroid(denoiser, chosen, sigma, settings, label, i) for i, sigma in enumerate(sigmas.tolist())]
        table.append(torch.stack(rows))
    arrays = {
        "centroids": torch.stack(table).float().cpu().numpy(),
        "sigma": sigmas.numpy(),
        "classes": np.array(images.classes, dtype=np.str_),
    }
    artifacts.write_arrays(out, arrays, made)


def read(path: Path | str) -> CentroidTable:
    """Read a centroid table, checked against its manifest."""
    arrays, made = artifacts.read_arrays(path, "centroids")
    return CentroidTable(
        torch.from_numpy(arrays["centroids"]),
        torch.from_numpy(arrays["sigma"]),
        tuple(arrays["classes"].tolist()),
        made.inputs["checkpoint"],
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
