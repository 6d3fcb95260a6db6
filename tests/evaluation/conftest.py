"""Texture patches of scikit-image as a small data set, cut here: train and test from disjoint regions."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data as photographs

from featdiff import artifacts
from featdiff.data import archive
from featdiff.evaluation import embedding
from featdiff.settings.evaluation import Evaluation, Lite0

CLASSES = ("brick", "grass", "gravel")
SIZE = 24


def cut(name: str, split: str, count: int, seed: int = 0) -> np.ndarray:
    """Random patches (count, 24, 24, 1) of the half-size photograph, from its upper or its lower part."""
    image = np.asarray(Image.fromarray(getattr(photographs, name)()).resize((256, 256), Image.Resampling.LANCZOS))
    region = image[:160] if split == "train" else image[160:]
    places = np.random.default_rng([seed, split == "train"]).integers(0, np.array(region.shape) - SIZE + 1, (count, 2))
    return np.stack([region[y : y + SIZE, x : x + SIZE, None] for y, x in places])


def index(rows: list[tuple[str, int, str]]) -> pd.DataFrame:
    """An index of (split, label, class)."""
    paths = [f"{split}/{name or 'none'}/{i:06}.png" for i, (split, _, name) in enumerate(rows)]
    split, label, name = zip(*rows, strict=True)
    return pd.DataFrame({"path": paths, "split": split, "label": label, "class": name})


@pytest.fixture(scope="session")
def patches():
    """The function that cuts patches."""
    return cut


@pytest.fixture(scope="session")
def settings() -> Evaluation:
    return Evaluation(
        extractor=Lite0(resize=64), images=24, kid_subsets=5, kid_subset_size=20, classifier_images=50, neighbours=3
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory, settings):
    """Archives and features: a data set, guided samples (test patches of another draw), samples without class."""
    where = tmp_path_factory.mktemp("evaluation")
    images, rows = [], []
    for label, name in enumerate(CLASSES):
        for split, count in (("train", 80), ("test", 30)):
            images.append(cut(name, split, count))
            rows += [(split, label, name)] * count
    archive.write(where / "dataset.zip", np.concatenate(images), index(rows), artifacts.manifest("dataset", {}))
    guided = np.concatenate([cut(name, "test", 26, seed=1) for name in CLASSES])
    labels = [("samples", label, name) for label, name in enumerate(CLASSES) for _ in range(26)]
    archive.write(where / "guided.zip", guided, index(labels), artifacts.manifest("samples", {"name": "guided"}))
    mixture = guided[::2]
    archive.write(
        where / "mixture.zip", mixture, index([("samples", -1, "")] * len(mixture)), artifacts.manifest("samples", {})
    )
    embedding.embed(settings, where / "dataset.zip", "dataset", where / "dataset.npz")
    for name in ("guided", "mixture"):
        embedding.embed(settings, where / f"{name}.zip", "samples", where / f"{name}.npz")
    return where
