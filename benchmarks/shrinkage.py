"""How far off is a class's centroid from few examples, and what does shrinking it towards the known classes gain?

    python benchmarks/shrinkage.py --model ../shared/h100/checkpoint.safetensors --known known.zip --new new.zip \
        --out docs/tables/shrinkage.json

The reference is a new class's mean feature over ``--reference`` training images that are no examples. Squared errors
of the means of 1, 2, 4, ... other images, plain and shrunk, are summed over the columns of phi, averaged over the new
classes and divided by the variance between the new classes; the reference's own error is taken off. Each draw takes
other images; the spread is the standard deviation over draws.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from featdiff.data import archive
from featdiff.devices.devices import to_images
from featdiff.features.centroids import CentroidTable
from featdiff.features.shrinkage import towards_known
from featdiff.models import checkpoint
from featdiff.networks.denoiser import NetworkDenoiser

EXAMPLES = (1, 2, 4, 16, 64)


@torch.inference_mode()
def features(denoiser: NetworkDenoiser, data: archive.ImageArchive, count: int, rng: np.random.Generator) -> Tensor:
    """phi of clean images, ``count`` training images of each class: (classes, count, feature dimension), float64."""
    found = []
    for rows in data.rows_by_label("train").values():
        x = to_images(data.images[rng.permutation(rows)[:count]])
        parts = [denoiser.features(b, b.new_full((len(b),), denoiser.clean)) for b in x.split(128)]
        found.append(torch.cat(parts).double())
        print(f"\r{len(found)} classes", end="", flush=True)
    print()
    return torch.stack(found)


def table_of(phi: Tensor) -> CentroidTable:
    """The centroids of the known classes, with the spread of their images."""
    names = tuple(map(str, range(len(phi))))
    counts = torch.full((len(phi),), phi.shape[1])
    return CentroidTable(phi.mean(1)[:, None], torch.ones(1), names, "", phi.var(1).mean(0)[None], counts)


def errors(phi: Tensor, known: CentroidTable, reference: int, draws: int) -> dict[str, Tensor]:
    """Squared errors (draws, examples, classes, feature dimension) of plain and shrunk centroids."""
    kept, pool = phi[:, :reference], phi[:, reference:]
    truth, own = kept.mean(1), kept.var(1) / reference
    found: dict[str, list[Tensor]] = {"plain": [], "shrunk": []}
    for draw in range(draws):
        for count in EXAMPLES:
            few = pool[:, draw * EXAMPLES[-1] :][:, :count].mean(1)
            shrunk = torch.cat([towards_known(one[None], count, known) for one in few])
            for name, means in (("plain", few), ("shrunk", shrunk)):
                found[name].append((means - truth).square() - own)
    return {name: torch.stack(rows).unflatten(0, (draws, -1)) for name, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "known", "new", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--known-images", type=int, default=32)
    parser.add_argument("--reference", type=int, default=200)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trained, rng = checkpoint.read(options.model), np.random.default_rng(0)
    denoiser = trained.denoiser.to(memory_format=torch.channels_last)
    known = table_of(features(denoiser, archive.read(options.known, "dataset"), options.known_images, rng))
    new = archive.read(options.new, "dataset")
    phi = features(denoiser, new, options.reference + options.draws * EXAMPLES[-1], rng)
    off = errors(phi, known, options.reference, options.draws)
    kept = phi[:, : options.reference]
    apart = kept.mean(1).var(0) - kept.var(1).mean(0) / options.reference
    table = {}
    for block, columns in {"all": slice(None), **denoiser.network.feature_columns}.items():
        rows = {name: e[..., columns].sum(-1).mean(2) / apart[columns].sum() for name, e in off.items()}
        table[block] = [
            {
                "examples": count,
                **{name: round(row[:, i].mean().item(), 4) for name, row in rows.items()},
                **{f"{name}_spread": round(row[:, i].std().item(), 4) for name, row in rows.items()},
            }
            for i, count in enumerate(EXAMPLES)
        ]
    told = {
        "command": f"python benchmarks/shrinkage.py --model {options.model} --known known.zip --new new.zip "
        f"--known-images {options.known_images} --reference {options.reference} --draws {options.draws} "
        "--out docs/tables/shrinkage.json",
        "unit": "squared error of phi over the variance between the new classes; mean over classes, and its standard "
        "deviation over draws of examples",
        "known classes": len(known.classes),
        "new classes": len(new.classes),
        "reference images": options.reference,
        "squared error": table,
    }
    options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table["all"], indent=1))


if __name__ == "__main__":
    main()
