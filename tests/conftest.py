"""A small data set and a small training, made once for all tests that need a trained model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from featdiff import artifacts
from featdiff.data import archive
from featdiff.settings.network import Network
from featdiff.settings.training import Training, TrainSpec

torch.set_num_threads(1)

BY_FILE = ("workflow", "faults", "plans")  # folders whose files make little that they share
SLURM = "tests/workflow/slurm/"  # but for these: they share a cluster, and wait most of their time
# what takes longest
FIRST = (SLURM, "tests/workflow/test_run.py", "tests/faults/test_kills.py", *BY_FILE, "starting", "training")

CLASSES = ("flat", "stripes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the exhaustive tests, whatever else is chosen by ``-m``, unless they are asked for; what takes
    long first."""
    if "exhaustive" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: min(FIRST.index(name) if name in FIRST else len(FIRST) for name in names(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers (``--numprocesses``) a folder below tests/ is one worker's, because its tests share what is
    slow to make; of the folders that take longest, a file."""
    from xdist.scheduler import LoadScopeScheduling

    class Folders(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return names(nodeid)[0]

    return Folders(config, log)


def names(nodeid: str) -> tuple[str, str]:
    """What a test is done with by one worker, and its folder."""
    folder, file = nodeid.split("/")[1], nodeid.partition("::")[0]
    if nodeid.startswith(SLURM):
        return SLURM, SLURM
    return (file if folder in BY_FILE else folder), folder


def stripes_and_flats(count: int, size: int, seed: int) -> np.ndarray:
    """``count`` noisy images of each class: even gray, and vertical stripes; (2 * count, size, size, 1) uint8."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(90, 160, (2 * count, 1, 1, 1)) + rng.normal(0, 6, (2 * count, size, size, 1))
    base[count:] += 50 * np.where(np.arange(size) // 2 % 2, 1, -1)[None, None, :, None]
    return base.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two classes of 8x8 images, 64 for training and 16 for testing in each."""
    path = tmp_path_factory.mktemp("data") / "dataset.zip"
    parts, rows = [], []
    for split, count in (("train", 64), ("test", 16)):
        parts.append(stripes_and_flats(count, 8, seed=len(split)))
        for label, name in enumerate(CLASSES):
            for i in range(count):
                row = {"path": f"{split}/{name}/{i:06d}.png", "split": split, "label": label, "class": name}
                rows.append(row)
    archive.write(path, np.concatenate(parts), pd.DataFrame(rows), artifacts.manifest("dataset", {}))
    return path


@pytest.fixture(scope="session")
def tiny_spec() -> TrainSpec:
    """A training of 60 steps in fp32 with a resume state every 10 steps."""
    training = Training(images=960, batch=16, save_every=160, precision="fp32", warmup=64, partners=3)
    return TrainSpec(
        network=Network(widths=(8, 12), noise_embedding=16), training=training, condition="feature", seed=0
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_dataset: Path, tiny_spec: TrainSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of ``tiny_spec`` on ``tiny_dataset``."""
    from featdiff.training.loop import train

    folder = tmp_path_factory.mktemp("model")
    train(tiny_spec, tiny_dataset, folder / "checkpoint.safetensors", state=folder / "state")
    return folder / "checkpoint.safetensors"
