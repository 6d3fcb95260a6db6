"""Does an evaluation of 50,000 images stay within 4 GB? The largest memory of each of its parts, each in a process of
its own.

    python benchmarks/memory.py [--images 50000] [--dimension 2048] [--out docs/tables/memory.json]

Features are synthetic. Both sides have ``--images`` of them, held as the evaluation holds them, so what stands here is
all that the part needs, the interpreter and its libraries included. The balls of precision and recall are walked
through with 128 features (their time is proportional to the features, their blocks' size is not): what the missing ones
would add is added by arithmetic.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from featdiff import artifacts
from featdiff.data import archive
from featdiff.evaluation.diversity import vendi_score
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.kernel import kid
from featdiff.evaluation.manifold import manifold
from featdiff.evaluation.memorisation import nearest_training

LIMIT = 4 * 2**30
BALLS = 128  # features of the walk through all balls
QUERIES = 512  # images looked for among all training images


def features(count: int, dimension: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)


def both(count: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    return features(count, dimension, 0), features(count, dimension, 1)


def frechet(count: int, dimension: int) -> None:
    frechet_distance(*both(count, dimension))


def kernel(count: int, dimension: int) -> None:
    kid(*both(count, dimension), subsets=2, size=1000, generator=np.random.default_rng(0))


def vendi(count: int, dimension: int) -> None:
    held = both(count, dimension)
    vendi_score(held[1])


def balls(count: int, dimension: int) -> None:
    real, generated = both(count, BALLS)
    manifold(real=real, generated=generated, neighbours=5)


def reading(count: int, dimension: int) -> None:
    """A data set and samples, both read whole, of 32 x 32 pixels in colour."""
    pixels = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.zip"
        table = pd.DataFrame({"path": [f"train/a/{i:06d}.png" for i in range(count)], "split": "train", "label": 0})
        repeated = np.broadcast_to(pixels, (-(-count // 256), *pixels.shape)).reshape(-1, 32, 32, 3)[:count]
        archive.write(path, repeated, table.assign(**{"class": "a"}), artifacts.manifest("dataset", {}))
        del repeated
        first, second = archive.read(path, "dataset"), archive.read(path, "dataset")
        nearest_training(first.images[:QUERIES], second.images, shift=0)


PARTS: dict[str, Callable[[int, int], None]] = {
    "Frechet distance": frechet,
    "kernel distance": kernel,
    "Vendi score": vendi,
    "precision, recall, density, coverage": balls,
    "two archives of 32 x 32 RGB, nearest training images": reading,
}


def peak(name: str, count: int, dimension: int, queue: "multiprocessing.Queue[int]") -> None:
    PARTS[name](count, dimension)
    queue.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = {}
    for name in PARTS:
        queue: multiprocessing.Queue[int] = context.Queue()
        process = context.Process(target=peak, args=(name, options.images, options.dimension, queue))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{name}: its process ended with {process.exitcode}")
        value = queue.get()
        if PARTS[name] is balls:  # the rest of both sides' features, and of a tile in float64
            value += (options.dimension - BALLS) * (2 * options.images * 4 + 2 * 4096 * 8)
        rows[name] = value
        print(f"{name}: {value / 2**30:.2f} GiB, {'within' if value < LIMIT else 'ABOVE'} 4", flush=True)
    if options.out:
        about = {"images": options.images, "dimension": options.dimension, "peak bytes": rows}
        options.out.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
