"""Do distances between centroids tell distances between the class densities? (arXiv 2410.11646, section 3.3)

The distance of two class densities is the integrated distance of their scores,

    d^2(y, y') = integral of E_{x ~ q_sigma(.|y)} || grad log q_sigma(x|y) - grad log q_sigma(x|y') ||^2 sigma d sigma,

the mean of both directions. A Euclidean embedding has constants ``A d^2 <= || phi_y - phi_y' ||^2 <= B d^2``. By
Tweedie's formula the difference of two scores is that of two clean estimates over sigma^2, so a denoiser that can be
told the class is enough, a feature-guided network or, as a judge that knows no centroids, a label-conditional one.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from featdiff import artifacts, philox, seeds
from featdiff.data import archive
from featdiff.devices.devices import pick_device, to_images
from featdiff.diffusion.denoiser import Denoiser
from featdiff.features import centroids
from featdiff.models import checkpoint
from featdiff.settings.centroids import Distances


class Directed(NamedTuple):
    """Directed distances d^2 (K, K), from the density of the row to that of the column, and their standard errors (K,
    K)."""

    value: Tensor
    error: Tensor


def directed(denoiser: Denoiser, images: Mapping[int, Tensor], settings: Distances) -> Directed:
    """Estimate d^2 between all pairs of classes; ``denoiser`` is told labels, ``images`` are (N, ...) draws of each
    class.

    Unbiased for the scores of this denoiser: each image meets ``draws`` noise levels, log-uniform between ``sigma_min``
    and ``sigma_max``, one in each of as many equal parts, and the integrand ``|| D_y - D_y' ||^2 / sigma^2`` is
    averaged over them. The error is that of the mean over images.
    """
    labels = list(images)
    values, errors = [], []
    for y, x in images.items():
        each = _per_image(denoiser, x, y, labels, settings)
        values.append(each.mean(0))
        errors.append(each.std(0, correction=1) / math.sqrt(len(each)))
    return Directed(torch.stack(values), torch.stack(errors))


@torch.inference_mode()
def _per_image(denoiser: Denoiser, x: Tensor, y: int, labels: list[int], settings: Distances) -> Tensor:
    """One value for each image of class ``y`` and each class: (N, K), float64."""
    width = math.log(settings.sigma_max / settings.sigma_min)
    noise = seeds.Streams(settings.seed, [("density distance", y, i) for i in range(len(x))], x.device)
    within = seeds.Streams(settings.seed, [("density level", y, i) for i in range(len(x))], x.device)
    rows = (-1, *[1] * (x.ndim - 1))
    total = torch.zeros(len(x), len(labels), dtype=torch.float64, device=x.device)
    for part in range(settings.draws):
        place = (part + philox.uniform(within.words(part, 4)[0, :, 0]).double()) / settings.draws
        sigma = (settings.sigma_min * (place * width).exp()).to(x)
        noisy = x + sigma.view(rows) * noise.normal(part, tuple(x.shape[1:])).to(x)
        told = [denoiser(noisy, sigma, torch.full((len(x),), label, device=x.device)) for label in labels]
        own = told[labels.index(y)]
        for column, other in enumerate(told):
            total[:, column] += (own - other).double().flatten(1).square().sum(1) / sigma.double() ** 2
    return total * width / settings.draws


def measure(settings: Distances, data: Path, model: Path, table: Path | None, out: Path, *, name: str) -> None:
    """Write a row for each pair of classes of one model; ``name`` goes into the rows' column ``model``.

    With centroids the rows also hold ``|| phi_y - phi_y' ||^2``, at the lowest level of the table. Of more than
    ``settings.classes`` classes a random choice takes part.
    """
    inputs = {"dataset": data, "checkpoint": model} | ({"centroids": table} if table else {})
    made = artifacts.manifest("distances", {"name": name, **settings.model_dump(mode="json")}, inputs, by=measure)
    trained = checkpoint.read(model)
    test = archive.read(data, "dataset", split="test")
    centroids.require_classes(data, tuple(test.classes), trained.data.classes)
    device = pick_device()
    network = trained.denoiser.to(device)
    known = centroids.read_for(table, model).to(device) if table else None
    labels = chosen_labels(len(test.classes), settings)
    rows_of = test.rows_by_label()
    few = {y: centroids.subset(rows_of[y], settings.images_per_class, settings.seed, y) for y in labels}
    images = {y: to_images(test.images[rows]).to(device) for y, rows in few.items()}

    def told(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        return network(x, t, known.at(t, condition) if known is not None else condition)

    value, error = (part.cpu().numpy() for part in directed(told, images, settings))
    rows: list[dict[str, Any]] = []
    for i, j in zip(*np.triu_indices(len(labels), 1), strict=True):
        row: dict[str, Any] = {"model": name, "first": test.classes[labels[i]], "second": test.classes[labels[j]]}
        row |= {"density": float(value[i, j] + value[j, i]) / 2, "error": float(np.hypot(error[i, j], error[j, i])) / 2}
        if known is not None:
            apart = (known.values[labels[i], 0] - known.values[labels[j], 0]).double()
            row["centroids"] = apart.square().sum().item()
        rows.append(row)
    artifacts.write_json(out, {"rows": rows}, made)


def chosen_labels(classes: int, settings: Distances) -> list[int]:
    """All labels or, of too many, a seeded choice in rising order."""
    order = torch.randperm(classes, generator=seeds.generator(settings.seed, "distance classes"))
    return sorted(order[: settings.classes].tolist())
