"""What sampling needs to know of a data set under a corruption: where to start, and at which levels to stop on the way.

The start is a Gaussian fitted to the fully corrupted training images (arXiv 2209.05442, section 5), one for each class
and one for all: white but for a few directions, the principal ones of all corrupted images. The levels are chosen by
:mod:`featdiff.diffusion.level_selection`. Both belong to a data set and a corruption, whatever network is trained.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.devices.devices import to_images
from featdiff.diffusion import corruptions, level_selection, levels
from featdiff.diffusion.corruptions import Process
from featdiff.diffusion.denoiser import Noise
from featdiff.errors import UserError
from featdiff.models.checkpoint import Checkpoint
from featdiff.settings.corruption import LevelsSpec

BATCH = 256
BY_HAND = ("linear", "cosine", "logarithmic")


@dataclass(frozen=True)
class Start:
    """Gaussians of the fully corrupted images: row 0 of all, row 1 + y of class y.

    ``x = centre + (means[r] + factors[r] e) @ directions + sqrt(rest^2 + sigma^2) n`` with unit normal ``e`` and ``n``.
    """

    centre: Tensor  # (C, H, W)
    directions: Tensor  # (k, C H W), orthonormal rows
    means: Tensor  # (classes + 1, k)
    factors: Tensor  # (classes + 1, k, k), lower triangular
    rest: Tensor  # (), deviation of a pixel outside the directions

    def draw(self, labels: Tensor, sigma: float, noise: Noise) -> Tensor:
        """One start for each label (B,), -1 for none, on the device of all of them; draws noise twice."""
        white, inside = noise(), noise().flatten(1)[:, : len(self.directions)]
        rows = labels + 1 if len(self.means) > 1 else torch.zeros_like(labels)
        inside = self.means[rows] + (self.factors[rows] @ inside[..., None])[..., 0]
        known = self.centre + (inside @ self.directions).view(white.shape)
        return known + (self.rest**2 + sigma**2).sqrt() * white

    def to(self, device: torch.device) -> "Start":
        """The same on a device."""
        return Start(*(part.to(device) for part in vars(self).values()))

    def of_all(self) -> "Start":
        """The start of all images for every label: for classes never trained on."""
        return replace(self, means=self.means[:1], factors=self.factors[:1])


@dataclass(frozen=True)
class Corrupted:
    """The artifact: candidates and their distances, the chosen levels, the start; beside them what the report shows."""

    candidates: Tensor  # (n,), rising
    distances: Tensor  # (n, n)
    chosen: Tensor  # (nodes,), rising
    start: Start
    spec: LevelsSpec
    data: str  # SHA-256 of the data set


def extract(spec: LevelsSpec, data: Path, out: Path) -> None:
    """Choose levels and fit starts on the training images of an archive."""
    made = artifacts.manifest("levels", spec, {"dataset": data}, by=extract)
    training = archive.read(data, "dataset", split="train")
    process = corruptions.process(spec.corruption, size=training.images.shape[1])
    candidates = torch.linspace(0, 1, spec.levels.candidates, dtype=torch.float64)
    distances = measured(spec, process, _some(training.images, spec.levels.images, spec.levels.seed), candidates)
    chosen = level_selection.choose(distances, candidates, spec.levels.nodes, eps=spec.levels.eps)
    start = fit_start(spec, process, training)
    grids = {"chosen": chosen.levels.flip(0)} | {s: levels.spaced(process, len(chosen.levels), s) for s in BY_HAND}
    rising = torch.stack(list(grids.values())).flip(1)  # (spacings, nodes)
    nearest = (rising[..., None] - candidates).abs().argmin(-1)
    arrays = {
        "candidates": candidates.numpy(),
        "distances": distances.float().numpy(),
        "chosen": chosen.levels.numpy(),
        "eps": np.array([chosen.eps]),
        "length": np.array([chosen.length]),
        "spacings": np.array(list(grids), dtype=np.str_),
        "strengths": process.strength(rising).numpy(),
        "hops": distances[nearest[:, :-1], nearest[:, 1:]].numpy(),
        **{f"start_{name}": tensor.float().numpy() for name, tensor in vars(start).items()},
    }
    artifacts.write_arrays(out, {name: np.asarray(array) for name, array in arrays.items()}, made)


def measured(spec: LevelsSpec, process: Process, images: Tensor, candidates: Tensor) -> Tensor:
    """Distances of all pairs of candidates, in the way of the settings; (n, n), float64."""
    distances = _wasserstein(spec, process, images, candidates)
    return level_selection.relative_to_noise(distances, process.sigma(candidates), spec.levels.relative)


def _wasserstein(spec: LevelsSpec, process: Process, images: Tensor, candidates: Tensor) -> Tensor:
    if spec.levels.distance == "gaussian":
        return level_selection.gaussian_distances(process, images, candidates)
    generator = seeds.generator(spec.levels.seed, "levels")
    lines = torch.randn(spec.levels.projections, images[0].numel(), generator=generator)
    z = torch.randn(images.shape, generator=generator)
    return level_selection.sliced_distances(process, images, candidates, projections=lines, z=z)


def fit_start(spec: LevelsSpec, process: Process, training: archive.ImageArchive) -> Start:
    """Fit the Gaussians; a class of few images borrows nothing, so its covariance may have a low rank."""
    order = _chosen(len(training.images), spec.levels.start_images, spec.levels.seed)
    images, labels = to_images(training.images[order]), torch.from_numpy(training.labels[order])
    blurred = torch.cat([process.apply(x, x.new_ones(len(x))).double() for x in images.split(BATCH)])
    centre = blurred.mean(0)
    away = (blurred - centre).flatten(1)
    _, _, directions = torch.linalg.svd(away, full_matrices=False)
    directions = directions[: spec.levels.start_rank]
    inside = away @ directions.T
    rest = (away - inside @ directions).square().mean().sqrt()
    groups = [inside, *(inside[labels == y] for y in range(len(training.classes)))]
    missing = [name for name, group in zip(training.classes, groups[1:], strict=True) if len(group) < 2]
    if missing:
        raise UserError(
            f"class '{missing[0]}' has fewer than 2 of the {len(images)} images the start is fitted to: raise "
            "levels.start_images"
        )
    return Start(
        centre.float(),
        directions.float(),
        torch.stack([g.mean(0) for g in groups]).float(),
        torch.stack([_factor(g) for g in groups]).float(),
        rest.float(),
    )


def read_for(path: Path | str, trained: Checkpoint) -> Corrupted:
    """Read the artifact; refuse one of another corruption or data set than the checkpoint's."""
    arrays, made = artifacts.read_arrays(path, "levels")
    spec = LevelsSpec.model_validate(made.settings)
    if spec.corruption != trained.spec.corruption or made.inputs["dataset"] != trained.made.inputs["dataset"]:
        raise UserError(
            f"{path}: these levels are of another corruption or data set than the checkpoint's; make them again"
        )
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items() if name != "spacings"}
    start = Start(**{name.removeprefix("start_"): t for name, t in tensors.items() if name.startswith("start_")})
    table = (tensors["candidates"], tensors["distances"], tensors["chosen"])
    return Corrupted(*table, start=start, spec=spec, data=made.inputs["dataset"])


def _factor(rows: Tensor) -> Tensor:
    """A lower triangular factor of the covariance of rows (N, k), whatever its rank."""
    away = (rows - rows.mean(0)) / (len(rows) - 1) ** 0.5
    upper = torch.linalg.qr(away, mode="r").R  # (min(N, k), k)
    square = torch.zeros(rows.shape[1], rows.shape[1], dtype=rows.dtype)
    square[: len(upper)] = upper
    return square.T


def _some(pixels: archive.Pixels, count: int, seed: int) -> Tensor:
    return to_images(pixels[_chosen(len(pixels), count, seed)])


def _chosen(size: int, count: int, seed: int) -> np.ndarray:
    """At most ``count`` places of ``size``, drawn without replacement, in order."""
    return torch.randperm(size, generator=seeds.generator(seed, "level images"))[:count].sort().values.numpy()
