"""Where do the errors of soft diffusion's samples arise? The same sampler started from training images corrupted to a
level.

    python benchmarks/soft_starts.py --data results/data/animals/dataset.zip --levels
    results/levels/animals/animals-blur.npz \
        --model results/models/animals-blur/checkpoint.safetensors --starts 1 0.85 0.25 [--steps 100] [--images 192]

Starts are the fitted Gaussian, training images truly corrupted to each level of ``--starts``, and the training images
themselves. What is left of a chosen grid of levels below the start is walked, so a row shows the errors made below its
level. Distances are to other training images, all classes alike.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featdiff import seeds
from featdiff.data import archive
from featdiff.devices.devices import keep_freed_memory, to_images, to_pixels
from featdiff.diffusion import level_selection
from featdiff.diffusion.soft_samplers import momentum
from featdiff.evaluation.extractors import extractor
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.kernel import polynomial_mmd
from featdiff.models import checkpoint
from featdiff.sampling import corrupted
from featdiff.settings.evaluation import Lite0

BATCH = 64


def of_classes(data: archive.ImageArchive, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint sets of training images, ``count // classes`` of each class in both."""
    share = count // len(data.classes)
    rows = [rng.permutation(of_label) for of_label in data.rows_by_label("train").values()]
    first, second = (np.concatenate([r[i * share : (i + 1) * share] for r in rows]) for i in (0, 1))
    return data.images[first], data.images[second]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "levels", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--starts", type=float, nargs="+", default=[1.0, 0.85, 0.25])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    trained = checkpoint.read(options.model)
    known, process = corrupted.read_for(options.levels, trained), trained.denoiser.process
    data = archive.read(options.data, "dataset")
    reference, clean = of_classes(data, options.images, np.random.default_rng(0))
    embed = extractor(Lite0()).features
    target, images = embed(reference), to_images(clean)
    grid = level_selection.interpolated(known.chosen, options.steps)

    def report(name: str, evaluations: int, pixels: np.ndarray) -> None:
        found = embed(pixels)
        distances = f"{frechet_distance(target, found):8.1f} {1000 * polynomial_mmd(target, found):8.1f}"
        print(f"{name:24} {evaluations:12} {distances}", flush=True)

    def walk(level: float | None) -> np.ndarray:
        """Momentum from the images at ``level``, or from the fitted start."""
        parts: list[Tensor] = []
        for first in range(0, len(images), BATCH):
            x = images[first : first + BATCH]
            noise = seeds.SampleNoise(0, [(-1, first + i) for i in range(len(x))], tuple(x.shape[1:]))
            if level is None:
                sigma = process.sigma(torch.ones(())).item()
                x = known.start.draw(torch.full((len(x),), -1), sigma, noise)
            else:
                x = process.corrupt(x, torch.full((len(x),), level), noise())
            x = x.contiguous(memory_format=torch.channels_last)
            parts.append(momentum(trained.denoiser, x, below(level), noise, None, process=process))
        return to_pixels(torch.cat(parts))

    def below(level: float | None) -> Tensor:
        if level is None:
            return grid
        return torch.cat([torch.tensor([level], dtype=grid.dtype), grid[grid < level - 1e-6]])

    print(f"{'start':24} {'evaluations':>12} {'Frechet':>8} {'kernel':>8}   (thousandths)")
    report("fitted Gaussian", len(grid), walk(None))
    for level in options.starts:
        report(f"images at level {level:g}", len(below(level)), walk(level))
    report("the images themselves", 0, clean)


if __name__ == "__main__":
    main()
