"""What is left of the spread of the data, by sampler: on laws that are known exactly, and on textures.

    python benchmarks/variance.py --out docs/tables/variance.json \
        [--model ../shared/h100/checkpoint.safetensors --centroids ../shared/h100/centroids-known.npz --data known.zip]

Exact: white normal images of variance .7 from sigma 5 to .01 and from 50 to .001 (deviation over the true one), and
three modes of a mixture in 16 dimensions (deviation within a mode over the true one). With a model: ``--classes`` of
its classes, ``--images`` each, at 20 and 40 network evaluations. Spread is the trace of the pooled within-class
covariance of Lite0's features over that of as many real test images; recall that of all images against twice as many
real ones; Vendi and the share next to their class's mean of real training images are means over the classes. The file
is written anew after each row.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featdiff.data import archive
from featdiff.devices.devices import to_pixels
from featdiff.diffusion.corruptions import variance_exploding
from featdiff.evaluation.diversity import vendi_score
from featdiff.evaluation.extractors import extractor
from featdiff.evaluation.kernel import polynomial_mmd
from featdiff.evaluation.manifold import manifold
from featdiff.kinds.guidance import FeatureGuidance
from featdiff.kinds.samplers import SAMPLERS
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.models.guided import GuidedDenoiser, Source
from featdiff.sampling.shards import Draw, draw_batch
from featdiff.settings.evaluation import Lite0
from featdiff.settings.sampling import Sampling

NAMES = ("ddpm", "ddpm-posterior", "dpm++2m-sde", "heun-churn")
NORMAL, SIZES = 0.7, (0.1, 0.2, 0.3)


def sampler(name: str, evaluations: int) -> Any:
    """The kind of this name that costs about so many network evaluations (Heun: one less)."""
    steps = evaluations // 2 if name == "heun-churn" else evaluations
    free = {"bound": 1e9} if name == "ddpm-posterior" else {}
    return SAMPLERS[name].model_validate({"kind": name, "steps": steps, **free})


def run(kind: Any, denoiser: Any, shape: tuple[int, ...], start: float, end: float, centre: Tensor) -> Tensor:
    """Samples of this shape, float64, from noise of deviation ``start`` about ``centre``."""
    generator = torch.Generator().manual_seed(0)
    process = variance_exploding(end, start)

    def noise() -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x = centre + start * noise()
    drawn: Tensor = kind.function(process)(denoiser, x, kind.levels(process, None), noise, None)
    return drawn


def normal(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
    """The posterior mean of independent pixels N(1, NORMAL)."""
    return 1 + NORMAL / (NORMAL + t.view(-1, 1, 1) ** 2) * (x - 1)


def exact() -> list[dict[str, Any]]:
    """Deviations over the true ones, by sampler and network evaluations."""
    generator = torch.Generator().manual_seed(3)
    means = 1.5 * torch.randn(3, 16, generator=generator, dtype=torch.float64)
    sizes = torch.tensor(SIZES, dtype=torch.float64)
    law = GaussianMixture(means, sizes[:, None, None] ** 2 * torch.eye(16, dtype=torch.float64))
    rows = []
    for name in NAMES:
        for evaluations in (10, 20, 40, 80):
            kind, row = sampler(name, evaluations), {"sampler": name, "evaluations": evaluations}
            for start, end in ((5.0, 0.01), (50.0, 0.001)):
                drawn = run(kind, normal, (200, 24, 24), start, end, torch.ones(()))
                row[f"normal {start:g} to {end:g}"] = round(drawn.std().item() / NORMAL**0.5, 4)
            drawn = run(kind, MixtureDenoiser(law), (4000, 16), 5.0, 0.01, law.mean())
            mode = law.posterior(drawn).argmax(1)
            inside = [(drawn[mode == k] - means[k]).square().mean().sqrt().item() / SIZES[k] for k in range(3)]
            row["mixture, within each mode"] = [round(value, 4) for value in inside]
            rows.append(row)
    return rows


def spread(features: np.ndarray, labels: np.ndarray) -> float:
    """The trace of the pooled within-class covariance."""
    return float(np.mean([features[labels == y].var(0, ddof=1).sum() for y in np.unique(labels)]))


class Textures:
    """Samples of some classes of a model, beside real images."""

    def __init__(self, options: argparse.Namespace):
        self.source = Source(options.model, options.centroids)
        self.embed = extractor(Lite0(kind="lite0")).features
        data, rng = archive.read(options.data, "dataset"), np.random.default_rng(0)
        rows = {split: data.rows_by_label(split) for split in ("train", "test")}
        able = [y for y, found in rows["test"].items() if len(found) >= 2 * options.images]
        self.chosen = sorted(rng.permutation(able)[: options.classes].tolist())
        self.labels = np.repeat(self.chosen, options.images)
        draw = {y: rng.permutation(rows["test"][y])[: 2 * options.images] for y in self.chosen}
        first = np.concatenate([draw[y][: options.images] for y in self.chosen])
        second = np.concatenate([draw[y][options.images :] for y in self.chosen])
        known = np.concatenate([rng.permutation(rows["train"][y])[:40] for y in self.chosen])
        self.real, other = self.embed(data.images[first]), self.embed(data.images[second])
        self.reference = np.concatenate([self.real, other])
        own = self.embed(data.images[known]).reshape(len(self.chosen), 40, -1)
        self.means = own.mean(1)
        self.device = torch.device("cpu")
        self.guided = GuidedDenoiser(FeatureGuidance(kind="feature"), self.source, None, self.device)
        self.other = other

    def measured(self, features: np.ndarray) -> dict[str, float]:
        """What the features of images of the chosen classes say."""
        nearest = ((features[:, None] - self.means) ** 2).sum(2).argmin(1)
        vendi = [vendi_score(features[self.labels == y]) for y in self.chosen]
        recall = manifold(real=self.reference, generated=features, neighbours=5).recall
        return {
            "within-class spread over real's": round(spread(features, self.labels) / self.spread_of_real, 4),
            "recall": round(recall, 4),
            "Vendi": round(float(np.mean(vendi)), 3),
            "next to their class": round(float((np.array(self.chosen)[nearest] == self.labels).mean()), 4),
            "KID": round(float(polynomial_mmd(self.reference, features)), 5),
        }

    @property
    def spread_of_real(self) -> float:
        return (spread(self.real, self.labels) + spread(self.other, self.labels)) / 2

    def row(self, name: str, evaluations: int) -> dict[str, Any]:
        """Draw and measure."""
        steps = evaluations // 2 if name == "heun-churn" else evaluations
        settings = Sampling.model_validate(
            {"model": "m", "guidance": {"kind": "feature"}, "sampler": {"kind": name, "steps": steps}, "images": 1}
        )
        begun, before, found = time.monotonic(), self.guided.evaluations, []
        wanted = [Draw(int(y), i) for i, y in enumerate(self.labels)]
        for first in range(0, len(wanted), 32):
            part = wanted[first : first + 32]
            found.append(to_pixels(draw_batch(settings, self.guided, part, self.guided.trained, self.device)))
        cost = (self.guided.evaluations - before) // len(found)
        told = self.measured(self.embed(np.concatenate(found)))
        print(name, evaluations, told, f"{time.monotonic() - begun:.0f} s", flush=True)
        return {"sampler": name, "evaluations": cost, **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "centroids", "data"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    command = "python benchmarks/variance.py --out docs/tables/variance.json"
    if options.model:
        command += f" --model {options.model} --centroids {options.centroids} --data {options.data}"
        command += f" --classes {options.classes} --images {options.images}"
    told: dict[str, Any] = {"command": command, "exact laws": exact()}

    def write() -> None:
        options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    write()
    if options.model is None:
        return
    textures = Textures(options)
    real = textures.measured(textures.other)
    own = {name: value for name, value in real.items() if name not in ("recall", "KID")}  # it is in the reference
    told["textures"] = {
        "classes": options.classes,
        "images a class": options.images,
        "rows": [{"sampler": "real test images", **own}],
    }
    for evaluations in (20, 40):
        for name in NAMES:
            told["textures"]["rows"].append(textures.row(name, evaluations))
            write()


if __name__ == "__main__":
    main()
