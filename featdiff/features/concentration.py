"""How the features of a class gather (arXiv 2410.11646, figure 2): for each block and noise level, on test images.

Scatter between classes over scatter within them, and the share of test images that lie nearest to the centroid of their
own class, centroids being means over training images under noise of the same level. Chance is one over the number of
classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from featdiff import seeds
from featdiff.diffusion.corruptions import Process
from featdiff.networks.denoiser import NetworkDenoiser

BATCH = 256
Images = Mapping[int, Tensor]
"""Images (N, C, H, W) of each label."""


def rows(
    denoiser: NetworkDenoiser, training: Images, test: Images, sigmas: Sequence[float], seed: int
) -> Iterator[dict[str, Any]]:
    """A row for each noise level and block: between, within, ratio, nearest_centroid."""
    for sigma in sigmas:
        process = denoiser.process
        known = [
            features_of(denoiser, noised(process, x, sigma, seed, "training", y), sigma) for y, x in training.items()
        ]
        found = [features_of(denoiser, noised(process, x, sigma, seed, y), sigma) for y, x in test.items()]
        for block, columns in denoiser.network.feature_columns.items():
            between, within = scatter([f[:, columns] for f in found])
            yield {
                "block": block,
                "sigma": sigma,
                "between": between,
                "within": within,
                "ratio": between / within,
                "nearest_centroid": nearest_centroid([f[:, columns] for f in known], [f[:, columns] for f in found]),
            }


def noised(process: Process, images: Tensor, sigma: float, seed: int, *name: str | int) -> Tensor:
    """Images corrupted to level ``sigma``; the same for every model, so that they differ by the model alone."""
    names = [("denoising", *name, repr(sigma), i) for i in range(len(images))]
    z = seeds.Streams(seed, names, images.device).normal(0, tuple(images.shape[1:]))
    return process.corrupt(images, images.new_full((len(images),), sigma), z)


@torch.inference_mode()
def features_of(denoiser: NetworkDenoiser, noisy: Tensor, sigma: float) -> Tensor:
    """``phi`` of noisy images, shape (N, feature dimension), float64."""
    parts = [denoiser.features(x, x.new_full((len(x),), sigma)) for x in noisy.split(BATCH)]
    return torch.cat(parts).double()


def scatter(features: Sequence[Tensor]) -> tuple[float, float]:
    """Between-class and within-class scatter: traces of the covariance of the class means and of the mean class
    covariance.

    ``features`` has one (N, D) tensor a class; classes weigh the same.
    """
    means = torch.stack([f.mean(0) for f in features])
    between = (means - means.mean(0)).square().sum(1).mean().item()
    within = torch.stack([(f - f.mean(0)).square().sum(1).mean() for f in features]).mean().item()
    return between, within


def nearest_centroid(training: Sequence[Tensor], test: Sequence[Tensor]) -> float:
    """Share of the test features, each class weighing the same, that lie nearest to the mean training feature of their
    class."""
    centroids = torch.stack([f.mean(0) for f in training])
    right = [(torch.cdist(f, centroids).argmin(1) == label).double().mean() for label, f in enumerate(test)]
    return torch.stack(right).mean().item()
