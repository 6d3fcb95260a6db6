"""One training at the paper's width on real textures, and what its samples are worth, by the package's own commands."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steps import Scale, command

SHARE = 0.3  # of the step's time, for training: the images are as many as an H100 is expected to do in it
RATE = 7000  # pairs a second, 32 x 32 gray, plain, measured there
OF_FEW, OF_MANY = 192, 32  # samples a class: of three classes, and of a data set that may have many
MEASURES = ("class_accuracy", "frechet", "precision", "recall", "vendi")


def run(scale: Scale, tell: Callable[..., None]) -> None:
    images = 640 if scale.small else int(RATE * SHARE * scale.seconds) // 256 * 256
    widths = [8, 12] if scale.small else [64, 128, 256, 512]
    layout = {"kind": "patches", "size": 32, "stride": 8 if scale.small else 2, "test_stride": 8, "scale": 0.5}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = scale.data or folder / "data.zip"
        if scale.data is None:
            dataset = {"source": {"kind": "packaged"}, "layout": layout, "max_images_per_class": 2000}
            command("prepare", dataset, "--out", data)
        tell(data=str(scale.data or "brick, grass and gravel of scikit-image"), images=images, widths=widths)
        training: dict[str, Any] = {"images": images, "batch": 32 if scale.small else 256, "partners": 7}
        training |= {"partner_noise": "clean", "noise": {"kind": "lognormal", "mean": -1.4, "std": 1.1}}
        training |= {"learning_rate": 1e-3, "compile": False, "save_every": 10**7}
        spec = {"network": {"widths": widths}, "training": training, "condition": "feature", "seed": 0}
        start = time.perf_counter()
        model = folder / "checkpoint.safetensors"
        command("train", spec, "--data", data, "--out", model, "--state", folder / "state")
        tell(train_s=time.perf_counter() - start)
        table, drawn = folder / "centroids.npz", folder / "samples.zip"
        chosen = {"images_per_class": 16 if scale.small else 512}
        command("centroids", chosen, "--data", data, "--model", model, "--out", table)
        count = 16 if scale.small else OF_MANY if scale.data else OF_FEW
        sampling = {"model": "m", "guidance": {"kind": "feature"}, "sampler": {"kind": "ddpm", "steps": 40}}
        sampling |= {"images": count, "batch": 512, "precision": "bf16", "compile": False}
        start = time.perf_counter()
        shard = folder / "0.zip"
        command("sample-shard", sampling, "--model", model, "--centroids", table, "--shard", "0", "--out", shard)
        tell(sample_s=time.perf_counter() - start)
        from featdiff.sampling.gathering import gather

        gather([shard], drawn)
        measure(scale, folder, Path(data), drawn, count, tell)


def measure(scale: Scale, folder: Path, data: Path, drawn: Path, count: int, tell: Callable[..., None]) -> None:
    """The pipeline's own evaluation, and that of real test images beside it."""
    settings = {"images": count, "classifier_images": 16 if scale.small else 100}
    for name, archive in (("data", data), ("samples", drawn)):
        command("embed", settings, "--images", archive, "--out", folder / f"{name}.npz")
    against = ["--data", data, "--data-features", folder / "data.npz"]
    for name, more in {
        "samples": ["--samples", drawn, "--samples-features", folder / "samples.npz"],
        "real": [],
    }.items():
        out = folder / f"{name}.json"
        command("measure", settings, *against, *more, "--out", out, "--name", name)
        rows = json.loads(out.read_text())["rows"]
        tell(**{f"means_over_classes_{name}": {m: mean(rows, m) for m in MEASURES}})


def mean(rows: list[dict[str, Any]], measure: str) -> float:
    return statistics.mean(r["value"] for r in rows if r["measure"] == measure and r["class"] != "all")
