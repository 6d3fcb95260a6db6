"""A network taken apart: dead blocks, features of noisy images, accuracy, distance, and the variance DDPM leaves.

    python benchmarks/anatomy.py --name h100 --model ../shared/h100/checkpoint.safetensors --data known.zip \
        --known ../shared/h100/evaluation-known.json --new ../shared/h100/evaluation-new16.json
    python benchmarks/anatomy.py --name default --model results/models/guided/checkpoint.safetensors \
        --data results/data/textures/dataset.zip --known results/evaluation/guided.json

Each call writes one network's part of ``--out`` and leaves the others. A key that could not be measured stands under
``absent`` with the reason.

- ``dead_share_max``: largest share of a block's channels that are zero everywhere, over blocks and noise levels
- ``nearest_centroid_sigma_S``: share of test images with noise S whose phi is nearest to its own class's mean of phi of
  training images with the same noise, among all classes
- ``accuracy_known_C``, ``frechet_known``: of an evaluation of C known classes by ``featdiff measure``, means over
  classes; ``accuracy_new_16``: the same of classes never trained on, from 16 images
- ``ddpm40_variance_error``: share of the variance .7 of white normal data that 40 levels of DDPM lose, from sigma 50 to
  .001, with the exact denoiser: of the sampler, the same for all networks; other samplers stand beside it
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.devices.devices import to_images
from featdiff.diffusion.corruptions import variance_exploding
from featdiff.evaluation.class_means import class_means
from featdiff.kinds.samplers import SAMPLERS
from featdiff.models import checkpoint
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.training import health

VARIANCE = 0.7
KEYS = ("dead_share_max", "nearest_centroid_sigma_0.1", "nearest_centroid_sigma_0.5")


@torch.inference_mode()
def phi(denoiser: NetworkDenoiser, images: np.ndarray, sigma: float, name: str) -> Tensor:
    """Features of noisy images, float64."""
    noise, found = seeds.Streams(0, [(name, i) for i in range(len(images))]).normal, []
    z = noise(0, (images.shape[3], *images.shape[1:3]))
    for x, part in zip(to_images(images).split(128), z.split(128), strict=True):
        t = x.new_full((len(x),), sigma)
        noisy = denoiser.process.corrupt(x, t, part).contiguous(memory_format=torch.channels_last)
        found.append(denoiser.features(noisy, t).double())
    return torch.cat(found)


def nearest_centroid(
    denoiser: NetworkDenoiser, data: archive.ImageArchive, sigma: float, *, training: int, test: int
) -> dict[str, Any]:
    """The share of noisy test images that are nearest to the mean of their class; all blocks together and each one."""
    rng, count = np.random.default_rng(0), {"train": training, "test": test}
    found, labels = {}, {}
    for split, few in count.items():
        rows = {y: rng.permutation(r)[:few] for y, r in data.rows_by_label(split).items()}
        labels[split] = torch.tensor(np.repeat(list(rows), [len(r) for r in rows.values()]))
        found[split] = phi(denoiser, data.images[np.concatenate(list(rows.values()))], sigma, split)
    classes = labels["train"].unique()
    means = torch.stack([found["train"][labels["train"] == y].mean(0) for y in classes])
    shares = {}
    for block, columns in {"all": slice(None), **denoiser.network.feature_columns}.items():
        nearest = classes[torch.cdist(found["test"][:, columns], means[:, columns]).argmin(1)]
        shares[block] = round((nearest == labels["test"]).double().mean().item(), 4)
    return shares


def variance_errors(levels: int = 40) -> dict[str, float]:
    """The share of the variance of white normal images that each sampler loses (below 0: adds)."""

    def exact(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        return 1 + VARIANCE / (VARIANCE + t.view(-1, 1, 1) ** 2) * (x - 1)

    found = {}
    for name in ("ddpm", "ddpm-posterior", "dpm++2m-sde", "heun-churn"):
        free = {"bound": 1e9} if name == "ddpm-posterior" else {}
        kind = SAMPLERS[name].model_validate({"kind": name, "steps": levels, **free})
        process, source = variance_exploding(0.001, 50), torch.Generator().manual_seed(0)
        noise = lambda: torch.randn(400, 24, 24, generator=source, dtype=torch.float64)  # noqa: E731, B023
        x = kind.function(process)(exact, 1 + 50 * noise(), kind.levels(process, None), noise, None)
        found[name] = round(1 - x.var().item() / VARIANCE, 4)
    return found


def judged(path: Path) -> tuple[int, dict[str, float]]:
    """The count of classes of an evaluation, and its means over them."""
    payload, _ = artifacts.read_json(path, "evaluation")
    values = class_means(pd.DataFrame(payload["rows"]))["value"]
    return len({row["class"] for row in payload["rows"]} - {"all"}), {name: float(v) for name, v in values.items()}


def taken_apart(options: argparse.Namespace) -> dict[str, Any]:
    """All that is known of the network."""
    found: dict[str, Any] = {}
    absent: dict[str, str] = {}
    if options.model.is_file() and options.data.is_file():
        trained, data = checkpoint.read(options.model), archive.read(options.data, "dataset")
        denoiser = trained.denoiser.to(memory_format=torch.channels_last)
        seen = health.look(trained, data.select(split="train"))
        found["dead_share_max"] = max(share for levels in seen["dead"].values() for share in levels.values())
        found |= {name: seen[name] for name in ("dead_always", "channels", "gradient", "worth", "warnings")}
        for sigma in (0.1, 0.5):
            shares = nearest_centroid(denoiser, data, sigma, training=options.training, test=options.test)
            found[f"nearest_centroid_sigma_{sigma}"] = shares.pop("all")
            found[f"nearest_centroid_sigma_{sigma}_by_block"] = shares
            print(sigma, found[f"nearest_centroid_sigma_{sigma}"], flush=True)
        found["images a class"] = {"training": options.training, "test": options.test}
    else:
        lacking = options.data if options.model.is_file() else options.model
        absent |= dict.fromkeys(KEYS, f"there was no {lacking}: run the pipeline first")
    if options.known and options.known.is_file():
        classes, means = judged(options.known)
        found |= {f"accuracy_known_{classes}": means["class_accuracy"], "frechet_known": means["frechet"]}
    else:
        absent |= dict.fromkeys(("accuracy_known", "frechet_known"), f"no evaluation: {options.known}")
    if options.new and options.new.is_file():
        found["accuracy_new_16"] = judged(options.new)[1]["class_accuracy"]
    else:
        absent["accuracy_new_16"] = "this network was not asked for classes that it never saw"
    errors = variance_errors()
    found |= {"ddpm40_variance_error": errors["ddpm"], "variance_error_40_levels": errors}
    return found | ({"absent": absent} if absent else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="what the network is called in the table")
    for name in ("model", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("known", "new"):
        parser.add_argument(f"--{name}", type=Path, help=f"an evaluation of {name} classes")
    parser.add_argument("--training", type=int, default=24, help="training images a class, for the centroids")
    parser.add_argument("--test", type=int, default=16, help="test images a class")
    parser.add_argument("--out", type=Path, default=Path("docs/tables/anatomy.json"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {}
    given = {name: getattr(options, name) for name in ("name", "model", "data", "known", "new", "training", "test")}
    words = " ".join(f"--{name} {value}" for name, value in given.items() if value is not None)
    table[options.name] = {"command": f"python benchmarks/anatomy.py {words}", **taken_apart(options)}
    options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
