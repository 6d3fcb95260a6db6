"""The bridge from exact mixtures to networks: a feature-guided network trained on samples of a mixture, against the
truth.

The mixture is one of small images (a dimension a pixel), so everything that users train with runs unchanged: archive,
groups of a class, projected score, centroids, guidance, samplers (arXiv 2410.11646). Yet the best denoiser is known in
closed form, with the class (what the guided network should be) and without it (what an unguided one should be).
"""

import math
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from featdiff import artifacts, extending, seeds
from featdiff.data import archive
from featdiff.devices.devices import keep_freed_memory, to_pixels
from featdiff.diffusion import guidance
from featdiff.diffusion.denoiser import Denoiser
from featdiff.features import centroids
from featdiff.kinds.guidance import FeatureGuidance, NoGuidance
from featdiff.kinds.samplers import Discrete
from featdiff.mixture import BRIDGE_TABLES, folder
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.entropy import mean
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.paths import one_thread_an_operation
from featdiff.models import checkpoint
from featdiff.models.checkpoint import Checkpoint
from featdiff.sampling.shards import Draw, draw_batch
from featdiff.settings.centroids import Centroids
from featdiff.settings.mixture import Bridge
from featdiff.settings.sampling import Sampling
from featdiff.settings.training import TrainSpec
from featdiff.training.loop import train

GRAY = 1 / 255  # between two gray levels; rounding to them adds noise of deviation GRAY / sqrt(12)
GRACE = 60  # seconds to save a state in
EVERY = -1  # in place of a class: the whole mixture, sampled without guidance
SHOWN = 16  # pictures of each kind
CONDITIONS = {"guided": "feature", "unguided": "none"}  # the two networks


class Trained(NamedTuple):
    """The two networks, and the guided one with its centroids: its condition is a class."""

    guided: Checkpoint
    unguided: Checkpoint
    by_class: Denoiser


def run_bridge(settings: Bridge, out: Path | str, *, state: Path | str, threads: int = 1) -> None:
    """Train both networks on samples of the mixture, compare them with it, and write tables and pictures to the folder
    ``out``.

    What training leaves lies under ``state``: an interrupted run goes on where it was. With two threads the networks
    are trained side by side; the numbers do not depend on it.
    """
    out, law = Path(out), image_mixture(settings)
    with one_thread_an_operation():
        trained = _train(settings, law, Path(state), threads)
        tables = {"denoising": denoising(law, trained, settings)}
        tables["components"], pictures = components(law, trained, settings, threads=threads)
    texts = {
        name: pd.DataFrame(tables[name]).to_csv(index=False, lineterminator="\n", float_format="%.6g")
        for name in BRIDGE_TABLES
    }
    folder.write(out, "bridge", "bridge", settings, summary=summary(tables), arrays=pictures, tables=texts)


def image_mixture(settings: Bridge) -> GaussianMixture:
    """The law, on images of ``side`` x ``side`` pixels in [0, 1]; classes weigh the same, ``weights`` are within each.

    Component k is a grating of height ``shift`` in its own direction, and around it a rough Gaussian texture:
    covariance ``contrast^2 exp(-distance / length)``, distances counted half along the grating's lines. Rounding to 8
    bits is part of the law.
    """
    count, side = sum(map(len, settings.weights)), settings.side
    place = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 2) - (side - 1) / 2  # (d, 2)
    means, covariances = [], []
    for k in range(count):
        angle = math.pi * k / count
        along = place @ torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        across = place @ torch.tensor([-math.sin(angle), math.cos(angle)], dtype=torch.float64)
        stretched = torch.stack([along / 2, across], dim=1)
        texture = settings.contrast**2 * torch.exp(-torch.cdist(stretched, stretched) / settings.length)
        means.append(0.5 + settings.shift * torch.sin(2 * math.pi * across / side))
        covariances.append((texture + texture.T) / 2 + GRAY**2 / 12 * torch.eye(side**2, dtype=torch.float64))
    weights = [w / len(settings.weights) for row in settings.weights for w in row]
    classes = [y for y, row in enumerate(settings.weights) for _ in row]
    return GaussianMixture(torch.stack(means), torch.stack(covariances), weights, classes)


def write_dataset(law: GaussianMixture, settings: Bridge, path: Path) -> None:
    """The training images: as many of each class, in an archive like any other."""
    images, labels = [], []
    for y in range(len(settings.weights)):
        x, _ = law.given(y).sample(settings.images_per_class, seeds.generator(settings.seed, "bridge images", y))
        images.append(to_pixels(_as_images(x, settings.side)))
        labels += [y] * len(x)
    index = pd.DataFrame({"path": [f"train/{y}/{i:06d}.png" for i, y in enumerate(labels)], "split": "train"})
    index = index.assign(label=labels, **{"class": [f"class {y}" for y in labels]})
    archive.write(path, np.concatenate(images), index, artifacts.manifest("dataset", settings, by=write_dataset))


def denoising(law: GaussianMixture, trained: Trained, settings: Bridge) -> list[dict[str, Any]]:
    """Squared error of the denoisers' estimates against the exact ones, by noise level, a pixel, in units of pixels^2.

    ``best`` is the error of the exact estimate itself, which nobody can avoid: ``share`` is what a denoiser adds to it.
    """
    rows = []
    for sigma in settings.sigmas:
        seen: dict[tuple[str, str], list[Tensor]] = {}
        best: dict[str, list[Tensor]] = {"conditional": [], "unconditional": []}
        for y in range(len(settings.weights)):
            clean, noisy = _test_points(law, y, sigma, settings)
            exact = MixtureDenoiser(law)
            t, labels = torch.full((len(noisy),), sigma, dtype=torch.float64), torch.full((len(noisy),), y)
            truth = {"conditional": exact(noisy, t, labels), "unconditional": exact(noisy, t)}
            for name, estimate in _estimates(trained, noisy, t, labels, settings.side).items():
                for kind in ("conditional", "unconditional"):
                    seen.setdefault((name, kind), []).append(_error(estimate, truth[kind]))
            seen.setdefault(("exact, class unknown", "conditional"), []).append(_error(*truth.values()))
            for kind, value in truth.items():
                best[kind].append(_error(value, clean))
        for (name, kind), errors in seen.items():
            excess, least = mean(torch.cat(errors)), torch.cat(best[kind]).mean().item()
            row = {"sigma": sigma, "denoiser": name, "truth": kind, "excess": excess.value, "error": excess.error}
            rows.append({**row, "best": least, "share": excess.value / least, "share_error": excess.error / least})
    return rows


def components(
    law: GaussianMixture, trained: Trained, settings: Bridge, *, threads: int = 1
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Weight, mean and covariance of each component in samples of the networks, and in samples of the exact denoiser.

    The exact denoiser goes through the same sampler in the same steps: what it misses is the sampler's. ``exact`` and
    ``spread`` are mean and standard deviation of the same measure over as many exact draws, ``settings.redraws`` times.
    Also returns pictures (N, H, W, C) by name. The classes, and last the whole mixture, are shared out to threads.
    """
    groups = (*range(len(settings.weights)), EVERY)
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda group: _group(law, trained, group, settings), groups))
    return [row for rows, _ in found for row in rows], {k: v for _, pictures in found for k, v in pictures.items()}


def _group(
    law: GaussianMixture, trained: Trained, group: int, settings: Bridge
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The rows and pictures of one class, or of everything."""
    target = law if group == EVERY else law.given(group)
    source = seeds.generator(settings.seed, "bridge exact", group)
    draws = [target.sample(settings.points, source)[0] for _ in range(settings.redraws)]
    pictures = {f"exact {group}": _pictures(draws[0], settings.side)}
    chance = pd.DataFrame([_measured(law, group, x) for x in draws])
    network = trained.unguided.denoiser if group == EVERY else trained.by_class
    rows: list[dict[str, Any]] = []
    for sampler in settings.samplers:
        for name, denoiser in (("network", network), ("exact denoiser", MixtureDenoiser(law))):
            x = _sample(denoiser, trained.guided, group, sampler, settings)
            if name == "network":
                pictures[f"{sampler.kind} {group}"] = _pictures(x, settings.side)
            for (component, measure), value in _measured(law, group, x).items():
                around = chance[(component, measure)]
                row: dict[str, Any] = {"group": "all" if group == EVERY else f"class {group}", "component": component}
                row |= {"sampler": sampler.kind, "steps": sampler.steps, "denoiser": name, "measure": measure}
                rows.append({**row, "value": value, "exact": around.mean(), "spread": around.std()})
    return rows, pictures


def summary(tables: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The verdicts in a few numbers, for people and for DVC."""
    rows, found = pd.DataFrame(tables["denoising"]), pd.DataFrame(tables["components"])
    right = rows[(rows["denoiser"] == "guided, right class") & (rows["truth"] == "conditional")]
    found = found[found["denoiser"] == "network"]
    measures = {}
    for (sampler, measure), some in found.groupby(["sampler", "measure"]):
        gap = (some["value"] - some["exact"]).abs().max()
        measures[f"{sampler} {measure}"] = None if math.isnan(gap) else round(float(gap), 4)
    return {
        "guided_excess_over_best": {f"{r.sigma:g}": round(float(r.share), 5) for r in right.itertuples()},
        "largest_gap_to_exact_draws": measures,
    }


def _train(settings: Bridge, law: GaussianMixture, state: Path, threads: int) -> Trained:
    """Both networks and the guided one's centroids, from the state folder if they are there."""
    work = state / f"bridge-{artifacts.digest({'settings': settings.model_dump_json().encode()})[:16]}"
    write_dataset(law, settings, work / "dataset.zip")
    files = {name: work / f"{name}.safetensors" for name in CONDITIONS}
    calls = []
    for name, condition in CONDITIONS.items():
        spec = TrainSpec(network=settings.network, training=settings.training, condition=condition, seed=settings.seed)
        calls.append((spec, work / "dataset.zip", files[name], state))
    if threads > 1:
        with ProcessPoolExecutor(
            2, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(), extending.loaded())
        ) as pool:
            for job in [pool.submit(_train_one, *call) for call in calls]:
                job.result()
    else:
        for call in calls:
            _train_one(*call)
    averaged = Centroids(images_per_class=min(2000, settings.images_per_class), seed=settings.seed)
    centroids.extract(averaged, work / "dataset.zip", files["guided"], work / "centroids.npz")
    guided, table = checkpoint.read(files["guided"]), centroids.read_for(work / "centroids.npz", files["guided"])
    return Trained(guided, checkpoint.read(files["unguided"]), guidance.feature(guided.denoiser, table.at))


def _train_one(spec: TrainSpec, data: Path, out: Path, state: Path) -> None:
    """One training on one thread: two of them together are faster than one on two."""
    keep_freed_memory()
    with one_thread_an_operation():
        train(spec, data, out, state=state)


def _begin(parent: int, extensions: Sequence[Path]) -> None:
    """In a child process: know the kinds that the parent knows, and end with it."""
    extending.load_files(extensions)
    _end_with(parent)


def _end_with(parent: int) -> None:
    """In a child process: stop training, with a state saved, when the process that started it is no more."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)  # a child between two tasks would wait for ever
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _test_points(law: GaussianMixture, y: int, sigma: float, settings: Bridge) -> tuple[Tensor, Tensor]:
    """Fresh draws of class ``y``, clean and noisy, (N, d) float64."""
    clean, _ = law.given(y).sample(settings.points, seeds.generator(settings.seed, "bridge test", y))
    source = seeds.generator(settings.seed, "bridge noise", y, repr(sigma))
    return clean, clean + sigma * torch.randn(clean.shape, dtype=torch.float64, generator=source)


@torch.inference_mode()
def _estimates(trained: Trained, noisy: Tensor, t: Tensor, labels: Tensor, side: int) -> dict[str, Tensor]:
    """Clean estimates (N, d) of the networks."""
    x, level = _as_images(noisy, side), t.float()
    found = {
        "guided, right class": trained.by_class(x, level, labels),
        "guided, no class": trained.by_class(x, level),
        "unguided": trained.unguided.denoiser(x, level),
    }
    return {name: estimate.flatten(1).double() for name, estimate in found.items()}


def _error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of each row; (N,)."""
    return (estimate - truth).square().mean(1)


def _sample(denoiser: Denoiser, shape: Checkpoint, group: int, sampler: Discrete, settings: Bridge) -> Tensor:
    """``settings.points`` samples (N, d) of a class or of everything, drawn as ``featdiff sample-shard`` draws them."""
    sampling = Sampling(
        model="bridge",
        guidance=NoGuidance(kind="none") if group == EVERY else FeatureGuidance(kind="feature"),
        sampler=sampler,
        images=settings.points,
        sigma_start=settings.sigma_start,
        sigma_end=settings.sigma_end,
        batch=settings.sampling_batch,
        seed=settings.seed,
    )
    wanted = [Draw(group, number) for number in range(settings.points)]
    batches = [wanted[i : i + sampling.batch] for i in range(0, len(wanted), sampling.batch)]
    parts = [draw_batch(sampling, denoiser, batch, shape, torch.device("cpu")) for batch in batches]
    return torch.cat(parts).flatten(1).double()


def _measured(law: GaussianMixture, group: int, x: Tensor) -> dict[tuple[str, str], float]:
    """By (component, measure), samples ``x`` (N, d) of one class, or of everything; each counts for its likeliest
    component.

    weight: share of the samples. mean: distance to the component's mean, root mean square over pixels, in pixel
    deviations. variance: sampled over exact total variance. covariance: distance to the exact one, relative, Frobenius
    norm. "none": share of the samples that are likeliest in a component of another class.
    """
    nearest = law.posterior(x).argmax(1)
    wanted = range(law.count) if group == EVERY else (law.classes == group).nonzero().flatten().tolist()
    found: dict[tuple[str, str], float] = {}
    for k in wanted:
        own, exact = x[nearest == k], law.covariances[k]
        found[str(k), "weight"] = len(own) / len(x)
        enough = len(own) > 2
        away = (
            (own.mean(0) - law.means[k]).square().mean() / exact.diagonal().mean() if enough else torch.tensor(math.nan)
        )
        spread = own.T.cov() if enough else torch.full_like(exact, math.nan)
        found[str(k), "mean"] = away.sqrt().item()
        found[str(k), "variance"] = (spread.trace() / exact.trace()).item()
        found[str(k), "covariance"] = ((spread - exact).norm() / exact.norm()).item()
    if group != EVERY:
        found["none", "weight"] = 1 - sum(found[str(k), "weight"] for k in wanted)
    return found


def _as_images(x: Tensor, side: int) -> Tensor:
    """Points (N, d) as images (N, 1, side, side), float32."""
    return x.float().view(-1, 1, side, side)


def _pictures(x: Tensor, side: int) -> np.ndarray:
    return to_pixels(_as_images(x[:SHOWN], side))
