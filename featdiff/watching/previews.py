"""Previews of a training: images that the averaged weights draw, and how well they denoise.

Each preview draws from the same noise, so a film of them shows one image become clear. A guided model is told the mean
features of a few dozen training images by the weights of that moment: its centroids, roughly.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from featdiff import seeds
from featdiff.data import archive
from featdiff.devices import devices
from featdiff.devices.devices import to_images, to_pixels
from featdiff.diffusion import guidance, levels
from featdiff.diffusion.corruptions import variance_exploding
from featdiff.features import centroids
from featdiff.features.centroids import CentroidTable
from featdiff.features.denoising import psnr
from featdiff.kinds.samplers import DpmSolver, SoftDdim
from featdiff.models import checkpoint
from featdiff.training.watched import Begun

CLASSES, ROW, PLAIN = 8, 4, 8  # classes with a row, images in it, images of a model that is told no class
STEPS = 10
HIGH, LOW = 5.0, 0.01  # noise levels a preview begins and ends at
EXAMPLES, GRID = 24, 6  # training images a class, noise levels of the centroids where features depend on noise
JUDGED = 48  # images that are denoised
SIGMAS, CORRUPTION_LEVELS = (0.1, 0.3, 1.0), (0.25, 0.5, 0.75)
SMALL = 2**28  # bytes of a data set whose test images are read for this
SHARE = 0.01  # of the training's time that previews may take, about
BACKWARD = 3  # a training step costs so many evaluations


class Previewer:
    """What draws the previews of a training, on its device and in its arithmetic."""

    def __init__(self, begun: Begun):
        self.begun, self.spec, self.device = begun, begun.spec, begun.device
        denoiser = checkpoint.new_denoiser(begun.spec, begun.description).eval().requires_grad_(False)
        self.denoiser = denoiser.to(begun.device)
        convert_conv2d_weight_memory_format(self.denoiser, torch.channels_last)
        self.labels = _shown(begun)
        rows = begun.images.rows_by_label()
        chosen = {y: centroids.subset(rows[y], EXAMPLES, self.spec.seed, "preview", y) for y in self.labels}
        self.examples = {y: to_images(begun.images.images[some]).to(self.device) for y, some in chosen.items()}
        self.levels = CORRUPTION_LEVELS if self.spec.corruption else SIGMAS
        self.judged, self.judged_labels = self._judged(rows)

    @property
    def names(self) -> list[str]:
        """What the rows of a preview show."""
        if self.spec.condition == "none":
            return [self.spec.only or "no class"]
        return [self.begun.description.classes[label] for label in self.labels]

    @torch.inference_mode()
    def look(self, averages: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Images (rows, columns, C, H, W) by these weights, and the PSNR at three levels by name."""
        self.denoiser.load_state_dict(averages)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._in_bf16):
            tell = self._teller()
            return self._draw(tell), self._psnr(tell)

    @property
    def _in_bf16(self) -> bool:
        wanted = self.spec.training.precision == "bf16"
        return wanted and devices.is_gpu(self.device) and devices.has_bf16(self.device.type)

    def _teller(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """From levels and labels (B,) to the network's condition; None for a model that is told no class."""
        if self.spec.condition == "none":
            return None
        if self.spec.condition == "label":
            return lambda t, labels: labels
        table = self._centroids()
        place = {label: row for row, label in enumerate(self.labels)}
        return lambda t, labels: table.at(t, torch.tensor([place[y] for y in labels.tolist()], device=t.device))

    def _centroids(self) -> CentroidTable:
        if self.spec.training.clean_targets:
            grid = torch.tensor([self.denoiser.clean], dtype=torch.float64)
        elif self.spec.corruption is not None:
            grid = torch.linspace(0, 1, GRID, dtype=torch.float64)
        else:
            grid = levels.logarithmic(LOW, HIGH, GRID)
        every = torch.cat([self.examples[y] for y in self.labels])
        counts = [len(self.examples[y]) for y in self.labels]
        streams = seeds.Streams(self.spec.seed, [("preview centroid", i) for i in range(len(every))], every.device)
        table = []
        for number, level in enumerate(grid.tolist()):
            noise = streams.normal(number, tuple(every.shape[1:]))
            phi = self._in_parts(lambda x, t: self.denoiser.features(x, t), every, level, noise)
            table.append(torch.stack([part.mean(0) for part in phi.double().split(counts)]))
        return CentroidTable(torch.stack(table, 1).float(), grid.to(self.device), tuple(self.names), "")

    def _in_parts(self, ask: Callable[..., Tensor], x: Tensor, level: float, noise: Tensor, *more: Tensor) -> Tensor:
        """What the network says of corrupted images (N, C, H, W), in parts that are no larger than the training's."""
        training = self.spec.training
        parts = [part.split(training.micro_batch or training.batch) for part in (x, noise, *more)]
        found = []
        for clean, z, *rest in zip(*parts, strict=True):
            t = clean.new_full((len(clean),), level)
            found.append(ask(self.denoiser.process.corrupt(clean, t, z), t, *rest))
        return torch.cat(found)

    def _draw(self, tell: Callable[[Tensor, Tensor], Tensor] | None) -> Tensor:
        described, columns = self.begun.description, PLAIN if tell is None else ROW
        rows = [-1] if tell is None else self.labels
        named = [(label, number) for label in rows for number in range(columns)]
        noise = seeds.SampleNoise(
            self.spec.seed,
            [("preview", *name) for name in named],
            (described.channels, described.size, described.size),
            self.device,
        )
        labels = torch.tensor([label for label, _ in named], device=self.device)
        if self.spec.corruption is not None:  # from images that are corrupted as far as it goes
            process, sampler = self.denoiser.process, SoftDdim(kind="soft-ddim", steps=STEPS, spacing="linear")
            some = torch.cat([self.examples[y] for y in self.labels])
            order = torch.arange(len(named), device=self.device) % len(some)
            x = process.corrupt(some[order], torch.ones(len(named), device=self.device), noise())
            run, grid = sampler.function(process), sampler.levels(process, None)
        else:
            law = self.spec.training.noise
            high = min(HIGH, law.maximum) if law.kind == "squared-uniform" else HIGH
            process, plain = variance_exploding(LOW, high), DpmSolver(kind="dpm++2m", steps=STEPS)
            x = described.mean + high * noise()
            run, grid = plain.function(process), plain.levels(process, None)
        denoiser: Any = self.denoiser if tell is None else guidance.feature(self.denoiser, tell)
        x = x.contiguous(memory_format=torch.channels_last)
        drawn = run(denoiser, x, grid, noise, None if tell is None else labels)
        return drawn.view(len(rows), columns, *drawn.shape[1:])

    def _judged(self, rows: dict[int, np.ndarray]) -> tuple[Tensor, Tensor]:
        """Images to denoise (N, C, H, W) and their labels: of the test images, of the training images where there are
        none, or too many for a look."""
        images = self.begun.images
        if self.begun.data.stat().st_size <= SMALL:
            test = archive.read(self.begun.data, "dataset", split="test")
            if len(test.images):
                images, rows = test, test.rows_by_label()
        each = max(1, JUDGED // len(self.labels))
        some = {y: centroids.subset(rows.get(y, np.arange(0)), each, self.spec.seed, "judged", y) for y in self.labels}
        chosen = np.concatenate(list(some.values()))
        labels = torch.tensor([y for y, found in some.items() for _ in found])
        return to_images(images.images[chosen]).to(self.device), labels.to(self.device)

    def _psnr(self, tell: Callable[[Tensor, Tensor], Tensor] | None) -> dict[str, float]:
        if not len(self.judged):
            return {}
        streams = seeds.Streams(
            self.spec.seed, [("preview noise", i) for i in range(len(self.judged))], self.judged.device
        )
        found = {}
        for number, level in enumerate(self.levels):
            noise = streams.normal(number, tuple(self.judged.shape[1:]))
            estimate = self._in_parts(
                lambda x, t, labels: self.denoiser(x, t, None if tell is None else tell(t, labels)),
                self.judged,
                level,
                noise,
                self.judged_labels,
            )
            found[f"psnr/{level:g}"] = psnr(estimate, self.judged).mean().item()
        return found


def _shown(begun: Begun) -> list[int]:
    """The labels that have a row: all that are trained on, or evenly spaced ones."""
    labels = np.unique(begun.images.labels)
    return [int(labels[round(i)]) for i in np.linspace(0, len(labels) - 1, min(len(labels), CLASSES))]


def count(begun: Begun) -> int:
    """How many previews to make: what the settings ask for, or fewer, so that they take about :data:`SHARE` of the
    time; two at least."""
    training, shown = begun.spec.training, len(_shown(begun))
    guided = begun.spec.condition == "feature"
    drawn = STEPS * (PLAIN if begun.spec.condition == "none" else shown * ROW)
    told = shown * EXAMPLES * (1 if training.clean_targets else GRID) if guided else 0
    evaluations = drawn + told + len(SIGMAS) * JUDGED
    afford = SHARE * BACKWARD * training.images * (2 if guided else 1) / evaluations
    return min(training.previews, max(2, int(afford)))


def sheet(images: Tensor) -> np.ndarray:
    """Images (rows, columns, C, H, W) side by side, without a gap: (rows H, columns W, C) uint8."""
    rows, columns, channels, height, width = images.shape
    pixels = to_pixels(images.flatten(0, 1).float()).reshape(rows, columns, height, width, channels)
    return pixels.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def write(path: Path, images: Tensor) -> None:
    """Write the images as one PNG, whole or not at all."""
    pixels, stream = sheet(images), io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "png")
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(stream.getvalue())
    aside.replace(path)
