"""Presets whose images are not shipped and that nobody has run as they are: their graphs on made-up images of the
published sizes, with small widths, counts and steps; all else is as in the preset."""

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from featdiff import artifacts
from featdiff.data import archive

pytestmark = pytest.mark.exhaustive
CELEBA = {"celeba/faces": (178, 218, "jpg")}
CIFAR = {f"cifar10/{name}": (32, 32, "png") for name in ("cat", "dog", "frog")}


def small(preset, row):
    """Settings over a preset that make one of its rows quick."""
    (network,), (training,) = preset["networks"], preset["trainings"]
    sampling = {"images": 4, "shards": 1, "batch": 8, "sampler": {"steps": 3}}
    return {
        "datasets": {name: {"test_fraction": 0.4} for name in preset["datasets"]},
        "networks": {network: {"widths": [8] * len(preset["networks"][network]["widths"]), "noise_embedding": 16}},
        "trainings": {training: {"images": 64, "batch": 16, "warmup": 16, "save_every": 64}},
        "centroids": {"levels": 2, "images_per_class": 4, "draws": 1},
        "levels": {"candidates": 32, "nodes": 4, "images": 8, "projections": 8, "start_rank": 4},
        "samplings": {row: sampling},
        "evaluation": {"images": 4, "neighbours": 2, "kid_subsets": 2, "kid_subset_size": 4, "classifier_images": 6},
    }


def write_pictures(folder, width, height, ending):
    folder.mkdir(parents=True)
    for i in range(14):
        random = np.random.default_rng([*folder.name.encode(), i])
        pixels = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:06}.{ending}")


@pytest.mark.parametrize(
    ("name", "row", "pictures", "size"),
    [
        ("celeba64", "celeba-momentum", CELEBA, 64),
        ("cifar10", "cifar-feature", CIFAR, 32),
    ],
)
def test_a_preset_that_waits_for_its_images_runs_from_pictures_to_measures(project, name, row, pictures, size):
    for folder, picture in pictures.items():
        write_pictures(project.root / "images" / folder, *picture)
    preset = yaml.safe_load((project.root / f"workflow/presets/{name}.yaml").read_text())
    (project.root / "small.yaml").write_text(yaml.safe_dump(small(preset, row)))
    target = f"results/evaluation/{row}.json"
    project.snakemake("--configfile", f"workflow/presets/{name}.yaml", "small.yaml", "--", target)
    drawn = archive.read(project.root / f"results/samples/{row}/samples.zip", "samples")
    assert drawn.images.shape[1:] == (size, size, 3) and drawn.images.std() > 0
    assert drawn.made.settings["sampler"]["kind"] == preset["samplings"][row]["sampler"]["kind"]
    found = pd.DataFrame(artifacts.read_json(project.root / target, "evaluation")[0]["rows"])
    assert np.isfinite(found["value"]).all() and {"frechet", "kid", "recall"} <= set(found["measure"])
