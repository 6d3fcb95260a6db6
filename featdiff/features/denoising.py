"""What knowing the class is worth to a denoiser, and how its features separate the classes.

PSNR against noise level (arXiv 2410.11646, figure 3) told the right class, a wrong one, or nothing; scatter of
``phi`` between and within classes (figure 2), for each block and noise level, clean images included. On test images.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.diffusion import levels
from featdiff.features import centroids
from featdiff.features.centroids import CentroidTable
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.params import Denoising
from featdiff.training import checkpoint
from featdiff.training.devices import pick_device, to_images

BATCH = 256
Teller = Callable[[Tensor, Tensor], Tensor]
"""From noise levels (B,) and labels (B,) to the condition a network understands."""


def measure(settings: Denoising, data: Path, model: Path, table: Path | None, out: Path, *, name: str) -> None:
    """Write the PSNR and scatter rows of one checkpoint; ``name`` goes into the rows' column ``model``."""
    inputs = {"dataset": data, "checkpoint": model} | ({"centroids": table} if table else {})
    made = artifacts.manifest("denoising", {"name": name, **settings.model_dump(mode="json")}, inputs)
    trained = checkpoint.read(model)
    test = archive.read(data, "dataset").select(split="test")
    centroids.require_classes(data, tuple(test.classes), trained.data.classes)
    device = pick_device()
    denoiser = trained.denoiser.to(device)
    known = centroids.read_for(table, model).to(device) if table else None
    tell = teller(trained.spec.condition, known)
    labels = [test.classes.index(trained.spec.only)] if trained.spec.only else range(len(test.classes))
    images = {
        y: centroids.subset(to_images(test.select(label=y).images), settings.images_per_class, settings.seed, y).to(
            device
        )
        for y in labels
    }
    psnr_rows: list[dict[str, Any]] = []
    scatter_rows: list[dict[str, Any]] = []
    for sigma in settings.sigmas:
        noisy = {y: noised(x, sigma, settings.seed, y) for y, x in images.items()}
        for target in ("none",) if tell is None else ("right", "wrong", "none"):
            for y, x in images.items():
                told = {"right": y, "wrong": (y + 1) % len(test.classes), "none": None}[target]
                values = psnr(denoise(denoiser, noisy[y], sigma, tell, told), x)
                psnr_rows.append(
                    {"model": name, "target": target, "class": test.classes[y], "sigma": sigma, **summary(values)}
                )
    for sigma in (levels.CLEAN, *settings.sigmas):
        if len(images) < 2:
            break  # nothing between classes
        features = [batched_features(denoiser, noised(x, sigma, settings.seed, y), sigma) for y, x in images.items()]
        for block, columns in denoiser.network.feature_columns.items():
            between, within = scatter([f[:, columns] for f in features])
            row = {"model": name, "block": block, "sigma": sigma, "between": between, "within": within}
            scatter_rows.append({**row, "ratio": between / within})
    artifacts.write_json(out, {"rows": psnr_rows, "scatter": scatter_rows}, made)


def noised(images: Tensor, sigma: float, seed: int, label: int) -> Tensor:
    """Images plus noise; the same for every model, so that their PSNR differ by the model alone."""
    generator = seeds.generator(seed, "denoising", label, repr(sigma))
    return images + sigma * torch.randn(images.shape, generator=generator).to(images)


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


@torch.inference_mode()
def batched_features(denoiser: NetworkDenoiser, noisy: Tensor, sigma: float) -> Tensor:
    """``phi`` of noisy images, shape (N, feature dimension), float64."""
    parts: Iterator[Tensor] = (denoiser.features(x, x.new_full((len(x),), sigma)) for x in noisy.split(BATCH))
    return torch.cat(list(parts)).double()


def psnr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in decibel, for a peak of 1; shape (N,)."""
    return -10 * (estimate - clean).double().square().flatten(1).mean(1).log10()


def summary(values: Tensor) -> dict[str, Any]:
    """Mean over images with its standard error."""
    error = values.std(correction=1).item() / len(values) ** 0.5 if len(values) > 1 else None
    return {"psnr": values.mean().item(), "spread": error, "images": len(values)}


def scatter(features: list[Tensor]) -> tuple[float, float]:
    """Between-class and within-class scatter: traces of the covariance of the class means and of the mean class covariance.

    ``features`` has one (N, D) tensor a class; classes weigh the same.
    """
    means = torch.stack([f.mean(0) for f in features])
    between = (means - means.mean(0)).square().sum(1).mean().item()
    within = torch.stack([(f - f.mean(0)).square().sum(1).mean() for f in features]).mean().item()
    return between, within
