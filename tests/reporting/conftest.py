"""Small artifacts of every kind that the report reads, with class names that try to break out of the page."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featdiff import artifacts, derived
from featdiff.data import archive
from featdiff.evaluation.collect import numbers_digest
from featdiff.reporting.page import write_report
from featdiff.settings.base import parse
from featdiff.settings.project import Params

HOSTILE = "<script>alert('x')</script>"
CLASSES = ("brick & $mortar$", HOSTILE, 'ünïcode "quoted" 草 long enough to be cut')
SIGMAS = (0.05, 0.2, 1.0)
BLOCKS = ("encoder0", "middle", "decoder0")
SIDE = 12
FILES = ("dataset", "samples", "centroids", "metrics", "quality", "denoising", "scatter", "distances", "rules")


@dataclass(frozen=True)
class Artifacts:
    """Settings and the files of a run."""

    settings: Params
    classes: tuple[str, ...]
    dataset: Path
    samples: dict[str, Path]
    centroids: Path
    metrics: Path
    quality: Path
    denoising: Path
    scatter: Path
    distances: Path
    rules: Path


@pytest.fixture(scope="session")
def make(tmp_path_factory) -> Callable[..., Artifacts]:
    """Makes a run: ``make(classes, channels=3)``."""
    return lambda classes=CLASSES, channels=1: make_run(tmp_path_factory.mktemp("run"), classes, channels)


@pytest.fixture(scope="session")
def run(make) -> Artifacts:
    """A run of three classes."""
    return make()


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Writes the report of a run: ``write(run, out, **changed)``."""
    return write_run


def write_run(run: Artifacts, out: Path, **changed) -> Path:
    """Write the report of a run to ``out``."""
    files = {name: getattr(run, name) for name in FILES} | changed
    settings = files.pop("settings", run.settings)
    write_report(settings, out=out, **files)
    return out


def make_run(folder: Path, classes: tuple[str, ...], channels: int = 1) -> Artifacts:
    """Write artifacts with made-up images and numbers of these classes."""
    settings = _params()
    random = derived.numpy_generator(0, "report test")
    data = _archive(folder / "dataset.zip", "dataset", {}, classes, ("train", "test"), random, channels)
    samples = {}
    for name, names in (("guided", classes), ("mixture", ("unconditional",))):
        made = settings.samplings[name].model_dump(mode="json")
        labels = {"unconditional": -1} if name == "mixture" else None
        samples[name] = _archive(
            folder / f"{name}.zip", "samples", made, names, ("samples",), random, channels, labels=labels
        )
    arrays = {
        "centroids": random.normal(size=(len(classes), 12, 10)).astype(np.float32),
        "sigma": np.geomspace(0.01, 5, 12),
        "classes": np.array(classes, np.str_),
    }
    artifacts.write_arrays(folder / "centroids.npz", arrays, artifacts.manifest("centroids", {}, {"dataset": data}))
    rules = folder / "graph.json"
    names = ["prepare", "train", "centroids", "sample", "collect", "report"]
    edges = [
        ["prepare", "train"],
        ["prepare", "sample"],
        ["train", "centroids"],
        ["train", "sample"],
        ["train", "collect"],
    ]
    edges += [["centroids", "sample"], ["sample", "collect"], ["collect", "report"], ["prepare", "report"]]
    rules.write_text(json.dumps({"rules": names, "edges": edges}))
    tables = {"quality": quality_rows(classes), "denoising": denoising_rows(classes), "scatter": scatter_rows()}
    tables["distances"] = distance_rows(classes)
    for name, rows in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    paths = {name: folder / f"{name}.csv" for name in tables}
    metrics = write_metrics(folder / "metrics.json", paths)
    return Artifacts(settings, classes, data, samples, folder / "centroids.npz", metrics, rules=rules, **paths)


def write_metrics(path: Path, tables: dict[str, Path]) -> Path:
    """A ``metrics.json`` without numbers that vouches for these tables."""
    content = numbers_digest({}, {name: table.read_bytes() for name, table in tables.items()})
    path.write_text(json.dumps({"manifest": [artifacts.manifest("metrics", {}).sealed(content).model_dump()]}))
    return path


def quality_rows(classes: tuple[str, ...]) -> pd.DataFrame:
    """All measures of the guided and mixture samples and of real test images, such that all targets hold."""
    rows = []
    good = {
        "frechet": 30.0,
        "frechet_floor": 20.0,
        "kid": 0.001,
        "precision": 0.9,
        "recall": 0.8,
        "vendi": 9.0,
        "class_accuracy": 0.99,
    }
    for samples, factor in (("guided", 1.0), ("mixture", 3.0), ("real-textures", 1.0)):
        for name in (*classes, "all"):
            for measure, value in good.items():
                if samples == "mixture" and measure == "class_accuracy":
                    continue
                scaled = value * factor if measure == "frechet" else value
                spread, interval = None if measure == "class_accuracy" else 0.1, 0.3 if measure == "frechet" else None
                rows.append([samples, name, measure, scaled, spread, interval, 12])
    table = pd.DataFrame(rows, columns=["samples", "class", "measure", "value", "spread", "interval", "count"])
    return table.assign(protocol="Lite0 features; 12 a side; seed 0")


def denoising_rows(classes: tuple[str, ...]) -> pd.DataFrame:
    """PSNR falling with noise: right above the mixture, wrong below."""
    rows = []
    gains = {("guided", "right"): 0.4, ("guided", "wrong"): -0.5, ("guided", "none"): -0.1, ("mixture", "none"): 0.0}
    for (model, target), more in gains.items():
        for sigma in SIGMAS:
            for i, name in enumerate(classes):
                rows.append([model, target, name, sigma, 20 - 8 * np.log10(sigma) + more + i / 10, 0.2, 16])
    return pd.DataFrame(rows, columns=["model", "target", "class", "sigma", "psnr", "spread", "images"])


def scatter_rows() -> pd.DataFrame:
    """Scatter of three blocks, larger for the guided model, least for the untrained one."""
    networks = (("guided", "trained", 5.0), ("mixture", "trained", 1.0), ("guided", "untrained", 0.2))
    rows = [
        [model, network, block, sigma, between, 0.5, between / 0.5, between / (1 + between)]
        for model, network, between in networks
        for block in BLOCKS
        for sigma in SIGMAS
    ]
    columns = ["model", "network", "block", "sigma", "between", "within", "ratio", "nearest_centroid"]
    return pd.DataFrame(rows, columns=columns)


def distance_rows(classes: tuple[str, ...]) -> pd.DataFrame:
    """Distances between classes, of the centroids twice those of the densities; a model told labels has no
    centroids."""
    pairs = list(combinations(classes, 2))
    rows = [["guided", *pair, 1.0 + i, 0.1, 2.0 + 2 * i] for i, pair in enumerate(pairs)]
    rows += [["label", *pair, 1.0 + i, 0.1, None] for i, pair in enumerate(pairs)]
    return pd.DataFrame(rows, columns=["model", "first", "second", "density", "error", "centroids"])


def _params() -> Params:
    row = {"sampler": {"kind": "ddpm", "steps": 4}, "images": 8}
    values = {
        "datasets": {"textures": {"source": {}, "layout": {"kind": "crop", "size": SIDE}}},
        "networks": {"small": {"widths": [4, 8]}},
        "trainings": {"short": {"images": 64}},
        "models": {
            "guided": {"dataset": "textures", "network": "small", "training": "short", "condition": "feature"},
            "mixture": {"dataset": "textures", "network": "small", "training": "short", "condition": "none"},
        },
        "samplings": {
            "guided": {"model": "guided", "guidance": {"kind": "feature"}, **row},
            "mixture": {"model": "mixture", "guidance": {"kind": "none"}, **row},
        },
        "report": {"title": f"A report of {HOSTILE}", "guided": "guided", "baseline": "mixture", "images_per_class": 6},
    }
    values["datasets"]["textures"]["source"] = {"kind": "packaged"}
    return parse(Params, values, "test")


def _archive(
    path: Path,
    kind: str,
    made: dict,
    names: tuple[str, ...],
    splits: tuple[str, ...],
    random: np.random.Generator,
    channels: int,
    labels: dict[str, int] | None = None,
) -> Path:
    rows = [
        (f"{split}/{label}/{i}.png", split, (labels or {}).get(name, label), name, 4)
        for split in splits
        for label, name in enumerate(names)
        for i in range(8)
    ]
    index = pd.DataFrame(rows, columns=["path", "split", "label", "class", "evaluations"])
    images = random.integers(0, 256, (len(rows), SIDE, SIDE, channels), np.uint8)
    archive.write(path, images, index, artifacts.manifest(kind, made))
    return path
