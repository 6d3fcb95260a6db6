"""featdiff: the steps of its own training loop, its own sampling, loading, preparing and measures."""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode
from worker import Work

from contenders import common
from featdiff import artifacts
from featdiff.data import archive
from featdiff.data.archive import ImageArchive
from featdiff.devices import devices
from featdiff.devices.devices import keep_freed_memory
from featdiff.diffusion import levels
from featdiff.evaluation.diversity import vendi_score
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.kernel import kid
from featdiff.evaluation.manifold import manifold as measure_manifold
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.models.guided import Arithmetic, GuidedDenoiser, Source
from featdiff.sampling import shards
from featdiff.settings.data import Dataset
from featdiff.settings.network import Network
from featdiff.settings.sampling import Sampling
from featdiff.settings.training import Training, TrainSpec
from featdiff.training import loop, processes

NETWORK = Network(widths=(32, 64, 96))


def training(settings: dict[str, Any]) -> Work:
    """Steps of the training loop: batch, loss, gradient, clipping, update, weight average, the bar, the looks at the
    loss."""
    keep_freed_memory()
    spec = _spec(settings)
    accelerator = processes.accelerator_of(spec.training)
    state, objective = loop.start(spec, _description(settings), accelerator, Path("never-written"))
    batches = loop.Batches(spec, _archive(settings), devices.pick_device())

    def run() -> None:
        until = (state.step + common.steps(settings)) * spec.training.batch
        loop.steps(state, spec.training.model_copy(update={"images": until}), accelerator, objective, batches)

    work = Work(run, spec.training.batch * common.steps(settings), _about(state.denoiser, settings))
    return in_operations(work, training, settings)


def sampling(settings: dict[str, Any]) -> Work:
    """A batch of samples by DDPM's ancestral steps; ``guidance`` says how it is guided, ``condition`` what the network
    is told."""
    keep_freed_memory()
    guidance = {"kind": settings["guidance"]}
    if settings["guidance"] != "none":
        guidance["strength"] = 2.0
    sampler = {"kind": "ddpm", "steps": common.EVALUATIONS}
    chosen = Sampling.model_validate(
        {
            "model": "m",
            "guidance": guidance,
            "sampler": sampler,
            "images": 64,
            "batch": settings["batch"],
            "precision": settings["precision"],
            "compile": settings.get("compile", False),
        }
    )
    device, arithmetic = devices.pick_device(), Arithmetic(chosen.precision, chosen.compile is True)
    with tempfile.TemporaryDirectory() as folder:
        source = _model(Path(folder), settings)
        denoiser = GuidedDenoiser(chosen.guidance, source, None, device, arithmetic)
    known = [-1] if settings["guidance"] == "none" else range(len(_classes(settings)))
    batch = [shards.Draw(label, i) for label, i in zip(itertools.cycle(known), range(settings["batch"]))]

    def run() -> None:
        shards.draw_batch(chosen, denoiser, batch, denoiser.trained, device)

    work = Work(run, settings["batch"] * common.EVALUATIONS, _about(denoiser.trained.denoiser, settings))
    return in_operations(work, sampling, settings)


def product(settings: dict[str, Any]) -> Work:
    """Large square matrix products in the dtype of the precision: what the device can do at most, in operations."""
    device, n = devices.pick_device(), settings["side"]
    devices.allow_tf32(settings["precision"] != "fp32")
    dtype = torch.bfloat16 if settings["precision"] == "bf16" else torch.float32
    generator = torch.Generator().manual_seed(settings["seed"])
    a, b = (torch.randn(n, n, generator=generator).to(device, dtype) for _ in range(2))

    def run() -> None:
        for _ in range(settings["products"]):
            torch.mm(a, b)

    return Work(run, 2 * n**3 * settings["products"])


def in_operations(work: Work, make: Callable[[dict[str, Any]], Work], settings: dict[str, Any]) -> Work:
    """Where the settings ask for it, the same work with the operations of its products and convolutions for items.

    They are counted, those of the backward pass too, on the plain steps: a counter does not see into compiled ones.
    """
    if not settings.get("operations"):
        return work
    counted = make({**settings, "operations": False, "compile": False})
    counted.run()
    with FlopCounterMode(display=False) as counter:
        counted.run()
    operations = counter.get_total_flops()
    return Work(work.run, operations, {**work.about, "images": work.items, "operations": operations})


def loading(settings: dict[str, Any]) -> Work:
    """As many batches as an epoch has, of images that lie in memory."""
    spec = _spec(settings)
    batches = loop.Batches(spec, _archive(settings), devices.pick_device())
    count, number = settings["images"] // settings["batch"], itertools.count()

    def run() -> None:
        for _ in range(count):
            batches.scaled(batches.gather(next(number)))

    return Work(run, count * settings["batch"])


def reading(settings: dict[str, Any]) -> Work:
    """The first epoch: the archive is read, every byte checked, and as many batches taken as an epoch has."""
    path = Path(tempfile.mkdtemp()) / "dataset.zip"
    images = _archive(settings)
    archive.write(path, images.images, images.index, artifacts.manifest("dataset", {}))
    spec = _spec(settings)
    count = settings["images"] // settings["batch"]

    def run() -> None:
        batches = loop.Batches(spec, archive.read(path, "dataset"), devices.pick_device())
        for k in range(count):
            batches.scaled(batches.gather(k))

    return Work(run, count * settings["batch"])


def preparing(settings: dict[str, Any]) -> Work:
    from featdiff.data.prepare import prepare

    out = Path(tempfile.mkdtemp())
    dataset = Dataset.model_validate(
        {
            "source": {"kind": "folder", "path": settings["folder"]},
            "layout": {"kind": "crop", "size": settings["size"]},
            "mode": "rgb",
        }
    )
    return Work(lambda: prepare(dataset, out / "dataset.zip"), settings["images"])


def frechet(settings: dict[str, Any]) -> Work:
    real, generated = common.features(settings)
    return _value(lambda: {"value": frechet_distance(real, generated)}, settings)


def kernel(settings: dict[str, Any]) -> Work:
    real, generated = common.features(settings)
    subsets, size = settings["subsets"], settings["subset_size"]

    def compute() -> dict[str, float]:
        values = kid(real, generated, subsets=subsets, size=size, generator=np.random.default_rng(0))
        return {"value": float(values.mean())}

    return _value(compute, settings)


def manifold(settings: dict[str, Any]) -> Work:
    real, generated = common.features(settings)
    return _value(lambda: measure_manifold(real=real, generated=generated, neighbours=5)._asdict(), settings)


def vendi(settings: dict[str, Any]) -> Work:
    _, generated = common.features(settings)
    return _value(lambda: {"value": vendi_score(generated)}, settings)


def _value(compute: Any, settings: dict[str, Any]) -> Work:
    work = Work(lambda: None, settings["count"])
    work.run = lambda: work.about.update(compute())
    return work


def _spec(settings: dict[str, Any]) -> TrainSpec:
    """The default run's training of ``params.yaml``: seven clean partners, where the condition is the feature."""
    training = Training.model_validate(
        {
            "images": 10**9,
            "batch": settings["batch"],
            "partners": 7,
            "partner_noise": "clean",
            "precision": settings["precision"],
            "save_every": 10**9,
            "compile": settings.get("compile", False),
        }
    )
    return TrainSpec(
        network=Network(widths=settings["widths"]) if "widths" in settings else NETWORK,
        training=training,
        condition=settings["condition"],
        corruption=None,
        seed=settings["seed"],
    )


def _description(settings: dict[str, Any]) -> DataDescription:
    return DataDescription(
        classes=_classes(settings), channels=settings["channels"], size=settings["size"], mean=0.5, std=0.25
    )


def _classes(settings: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"class{label}" for label in range(settings.get("classes", 3)))


def _archive(settings: dict[str, Any]) -> ImageArchive:
    images = common.images(settings)
    classes = _classes(settings)
    labels = np.arange(len(images)) % len(classes)
    index = pd.DataFrame(
        {
            "path": [f"train/{classes[label]}/{i:06d}.png" for i, label in enumerate(labels)],
            "split": "train",
            "label": labels,
            "class": [classes[label] for label in labels],
        }
    )
    return ImageArchive(images, index, artifacts.manifest("dataset", {}))


def _model(folder: Path, settings: dict[str, Any]) -> Source:
    """An untrained model with its centroids, as files: samples cost the same."""
    spec, path, table = _spec(settings), folder / "checkpoint.safetensors", folder / "centroids.npz"
    denoiser = checkpoint.new_denoiser(spec, _description(settings))
    checkpoint.write(path, denoiser.state_dict(), _description(settings), artifacts.manifest("checkpoint", spec))
    if settings["guidance"] != "feature":
        return Source(path)
    generator = torch.Generator().manual_seed(settings["seed"])
    sigmas = levels.logarithmic(common.SIGMA_END, common.SIGMA_START, settings["levels"])
    arrays = {
        "centroids": torch.rand(
            len(_classes(settings)), len(sigmas), denoiser.feature_dim, generator=generator
        ).numpy(),
        "sigma": sigmas.numpy(),
        "classes": np.array(_classes(settings), dtype=np.str_),
    }
    artifacts.write_arrays(table, arrays, artifacts.manifest("centroids", {}, {"checkpoint": path}))
    return Source(path, table)


def _about(denoiser: Any, settings: dict[str, Any]) -> dict[str, Any]:
    device = next(denoiser.parameters()).device
    image = torch.zeros(1, settings["channels"], settings["size"], settings["size"], device=device)
    return common.about_network(denoiser, lambda: denoiser(image, torch.ones(1, device=device)))
