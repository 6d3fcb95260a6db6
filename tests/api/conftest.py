"""A results folder as the workflow leaves it, made by its own steps."""

from pathlib import Path

import pytest

from featdiff.data import archive
from featdiff.features.centroids import extract
from featdiff.sampling.gathering import gather
from featdiff.sampling.shards import sample_shard
from featdiff.settings.centroids import Centroids
from featdiff.settings.sampling import Sampling

SAMPLING = Sampling.model_validate(
    {
        "model": "guided",
        "guidance": {"kind": "feature"},
        "sampler": {"kind": "ddpm", "steps": 4},
        "images": 10,
        "shards": 2,
        "seed": 3,
    }
)


@pytest.fixture(scope="session")
def results(tiny_dataset: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "results"
    model = folder / "models/guided"
    model.mkdir(parents=True)
    (folder / "data/tiny").mkdir(parents=True)
    (folder / "data/tiny/dataset.zip").write_bytes(tiny_dataset.read_bytes())
    (model / "checkpoint.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    settings = Centroids(levels=3, images_per_class=8, draws=1)
    extract(settings, tiny_dataset, model / "checkpoint.safetensors", model / "centroids.npz")
    shards = [folder / f"{number}.zip" for number in range(2)]
    for number, shard in enumerate(shards):
        sample_shard(SAMPLING, model / "checkpoint.safetensors", model / "centroids.npz", number, shard)
    gather(shards, folder / "samples/guided/samples.zip")
    return folder


@pytest.fixture(scope="session")
def drawn(results: Path) -> archive.ImageArchive:
    """What the workflow drew."""
    return archive.read(results / "samples/guided/samples.zip", "samples")
