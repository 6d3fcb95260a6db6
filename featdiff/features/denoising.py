"""What knowing the class is worth to a denoiser, and how its features separate the classes.

PSNR against noise level (arXiv 2410.11646, figure 3) told the right class, a wrong one, or nothing; scatter of
``phi`` between and within classes (figure 2), for each block and noise level, clean images included. On test images.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featdiff import artifacts
from featdiff.data import archive
from featdiff.devices.devices import pick_device, to_images
from featdiff.features import centroids, concentration
from featdiff.features.centroids import CentroidTable
from featdiff.features.concentration import BATCH, Images, noised
from featdiff.models import checkpoint
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.settings.centroids import Denoising

Teller = Callable[[Tensor, Tensor], Tensor]
"""From noise levels (B,) and labels (B,) to the condition a network understands."""


def measure(settings: Denoising, data: Path, model: Path, table: Path | None, out: Path, *, name: str) -> None:
    """Write the PSNR and concentration rows of one checkpoint; ``name`` goes into the rows' column ``model``."""
    inputs = {"dataset": data, "checkpoint": model} | ({"centroids": table} if table else {})
    made = artifacts.manifest("denoising", {"name": name, **settings.model_dump(mode="json")}, inputs, by=measure)
    trained = checkpoint.read(model)
    images = archive.read(data, "dataset")
    classes = tuple(images.select(split="test").classes)
    centroids.require_classes(data, classes, trained.data.classes)
    device = pick_device()
    denoiser = trained.denoiser.to(device)
    labels = [classes.index(trained.spec.only)] if trained.spec.only else list(range(len(classes)))
    training, test = (
        {y: _some(images, rows[y], settings, y).to(device) for y in labels}
        for rows in map(images.rows_by_label, ("train", "test"))
    )
    tell = teller(trained.spec.condition, centroids.read_for(table, model).to(device) if table else None)
    psnr_rows = [{"model": name, **row} for row in _psnr_rows(denoiser, test, settings, tell, classes)]
    scatter_rows: list[dict[str, Any]] = []
    if len(labels) > 1:
        networks = {"trained": denoiser}
        if trained.spec.condition == "feature":  # what the architecture alone does, once a network
            networks["untrained"] = checkpoint.new_denoiser(trained.spec, trained.data).eval().to(device)
        sigmas = (denoiser.clean, *_levels(denoiser, settings))
        for network, its in networks.items():
            found = concentration.rows(its, training, test, sigmas, settings.seed)
            scatter_rows += [{"model": name, "network": network, **row} for row in found]
    artifacts.write_json(out, {"rows": psnr_rows, "scatter": scatter_rows}, made)


def _some(images: archive.ImageArchive, rows: np.ndarray, settings: Denoising, label: int) -> Tensor:
    """At most ``images_per_class`` of the images in these rows of a class (N, C, H, W)."""
    return to_images(images.images[centroids.subset(rows, settings.images_per_class, settings.seed, label)])


def _psnr_rows(
    denoiser: NetworkDenoiser, test: Images, settings: Denoising, tell: Teller | None, classes: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for sigma in _levels(denoiser, settings):
        noisy = {y: noised(denoiser.process, x, sigma, settings.seed, y) for y, x in test.items()}
        for target in ("none",) if tell is None else ("right", "wrong", "none"):
            for y, x in test.items():
                told = {"right": y, "wrong": (y + 1) % len(classes), "none": None}[target]
                values = psnr(denoise(denoiser, noisy[y], sigma, tell, told), x)
                yield {"target": target, "class": classes[y], "sigma": sigma, **summary(values)}


def _levels(denoiser: NetworkDenoiser, settings: Denoising) -> tuple[float, ...]:
    """Noise levels or, for a model with a corruption, levels of that; both stand in the column ``sigma``."""
    return settings.levels if denoiser.form == "soft" else settings.sigmas


def teller(condition: str, table: CentroidTable | None) -> Teller | None:
    """How a model is told a class: by its label, its centroid, or not at all."""
    if condition == "label":
        return lambda t, labels: labels
    return table.at if table is not None else None


@torch.inference_mode()
def denoise(denoiser: NetworkDenoiser, noisy: Tensor, sigma: float, tell: Teller | None, label: int | None) -> Tensor:
    """Clean estimates of noisy images by a network that is told they are of class ``label``, or nothing."""
    estimates = []
    for x in noisy.split(BATCH):
        t = x.new_full((len(x),), sigma)
        condition = None
        if tell is not None and label is not None:
            condition = tell(t, torch.full((len(x),), label, device=x.device))
        estimates.append(denoiser(x, t, condition))
    return torch.cat(estimates)


def psnr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in decibel, for a peak of 1; shape (N,)."""
    return -10 * (estimate - clean).double().square().flatten(1).mean(1).log10()


def summary(values: Tensor) -> dict[str, Any]:
    """Mean over images with its standard error."""
    error = values.std(correction=1).item() / len(values) ** 0.5 if len(values) > 1 else None
    return {"psnr": values.mean().item(), "spread": error, "images": len(values)}
