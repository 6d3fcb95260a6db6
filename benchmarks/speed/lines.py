"""The lines of the table: which contests are held, and which ratios are drawn from each."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contest import Contender

NETWORK = {"size": 24, "channels": 1, "images": 4096}
GPU = {"size": 64, "channels": 3, "images": 8192, "widths": (64, 128, 256, 512), "batch": 128, "drawn": 512}
PEAK = "matrix products"  # what shares are shares of
COMPILED = ("training, feature guidance", "sampling, guided")
LITE0, INCEPTION = 1280, 2048  # features of the extractors


@dataclass(frozen=True)
class Line:
    """A row: ours over each of ``others`` (all peers of the contest, where it is empty).

    ``counting``: how many of the other's items one of ours counts for. ``target``: the ratio that is asked for,
    ``best`` whether of the best other alone; ``slower`` turns it round: our time over the other's, to be at most the
    target.
    """

    name: str
    ours: str
    others: Sequence[str] = ()
    counting: float = 1.0
    target: float | None = None
    slower: bool = False
    memory: bool = False


@dataclass(frozen=True)
class Contest:
    """Contenders that take turns at the same work, and the lines that come of it."""

    name: str
    contenders: Sequence[Contender]
    settings: Mapping[str, Any]
    lines: Sequence[Line]
    rounds: int
    about: str = ""
    clock: str = "processor"


def networks(peers: Path, work: str) -> list[Contender]:
    """The four libraries a user would pick instead."""
    modules = {
        "denoising-diffusion-pytorch": "denoising_diffusion",
        "smalldiffusion": "smalldiffusion_",
        "k-diffusion": "k_diffusion_",
        "diffusers": "diffusers_",
    }
    return [Contender(name, peers, module, work) for name, module in modules.items()]


def ours(name: str, work: str, **settings: Any) -> Contender:
    return Contender(name, Path(sys.executable), "featdiff_", work, settings)


def training(peers: Path, precision: str) -> Contest:
    mixture, feature = "featdiff, mixture", "featdiff, feature guidance"
    return Contest(
        f"training in {precision}",
        [
            ours(mixture, "training", condition="none"),
            ours(feature, "training", condition="feature"),
            *networks(peers, "training"),
        ],
        {**NETWORK, "batch": 16, "precision": precision},
        [
            Line(f"training, plain mixture, {precision}: images/s", mixture, target=1.3),
            Line(f"training, feature guidance, {precision}: pairs/s against images/s", feature),
            Line(
                f"training, feature guidance, {precision}: both images of a pair counted",
                feature,
                counting=2,
                target=1.3,
            ),
            Line(f"training, plain mixture, {precision}: peak memory above the start", mixture, memory=True),
            Line(f"training, feature guidance, {precision}: peak memory above the start", feature, memory=True),
        ],
        rounds=7,
        about="24 x 24 gray, batch 16, AdamW, parameters within 5%; a step of the whole loop",
    )


def sampling(peers: Path) -> Contest:
    plain, guided = "featdiff, unconditional", "featdiff, feature guidance"
    free = "featdiff, classifier-free"
    common = {**NETWORK, "batch": 64, "precision": "fp32", "levels": 24}
    return Contest(
        "sampling in fp32",
        [
            ours(plain, "sampling", condition="feature", guidance="none"),
            ours(guided, "sampling", condition="feature", guidance="feature"),
            ours(free, "sampling", condition="label", guidance="classifier-free"),
            *networks(peers, "sampling"),
        ],
        common,
        [
            Line("sampling: images/s per network evaluation", plain, _peers(), target=1.2),
            Line("guided step against unconditional: time", guided, (plain,), target=1.05, slower=True),
            Line("guided step against classifier-free: images/s", guided, (free,)),
        ],
        rounds=7,
        about="24 x 24 gray, batch 64, 4 steps of each library's ancestral sampler (denoising-diffusion-pytorch: DDIM)",
    )


def shares(name: str, precision: str, scale: Mapping[str, Any], *, side: int, compiled: Sequence[str] = ()) -> Contest:
    """Training and sampling in operations a second, as shares of what large matrix products of that precision reach.

    Those in ``compiled`` take part a second time with ``compile: true``.
    """
    works = {
        "training, mixture": ("training", {"condition": "none"}),
        "training, feature guidance": ("training", {"condition": "feature"}),
        "sampling, guided": ("sampling", {"condition": "feature", "guidance": "feature", "batch": scale["drawn"]}),
    }
    takers = [ours(title, work, **more) for title, (work, more) in works.items()]
    takers += [ours(f"{title}, compiled", works[title][0], compile=True, **works[title][1]) for title in compiled]
    return Contest(
        f"{name}, {precision}",
        [*takers, ours(PEAK, "product", side=side, products=32)],
        {"levels": 24, **scale, "precision": precision, "operations": True},
        [Line(taker.name, taker.name, (PEAK,)) for taker in takers],
        rounds=5,
        about=(
            f"{scale['size']} x {scale['size']}, batches of {scale['batch']} and "
            f"{scale['drawn']}; products of {side} x {side} matrices"
        ),
    )


def gpu(scale: Mapping[str, Any] = GPU, *, side: int = 8192, compiled: Sequence[str] = COMPILED) -> list[Contest]:
    """What is worth knowing of a GPU, at a size that fills one."""
    return [shares("gpu", precision, scale, side=side, compiled=compiled) for precision in ("bf16", "tf32", "fp32")]


def _peers() -> tuple[str, ...]:
    return tuple(c.name for c in networks(Path(), ""))


def loading(peers: Path, folder: Path, count: int, size: int) -> Contest:
    """Folders of PNG files for the peers, the archive in memory for us; by the clock, since workers work beside."""
    steady, first = "featdiff, from memory", "featdiff, first epoch with reading the archive"
    readers = [c for c in networks(peers, "loading") if c.name != "diffusers"]
    with_workers = [
        Contender(f"{c.name}, {n} worker(s)", c.python, c.module, c.work, {"workers": n})
        for c in readers
        for n in (0, 2)
    ]
    settings = {"size": size, "channels": 3, "images": count, "batch": 64, "folder": str(folder), "precision": "fp32"}
    return Contest(
        "data loading",
        [ours(steady, "loading", condition="none"), ours(first, "reading", condition="none"), *with_workers],
        settings,
        [
            Line("data loading: images/s of an epoch", steady, tuple(c.name for c in with_workers)),
            Line("data loading: images/s of the first epoch", first, tuple(c.name for c in with_workers)),
        ],
        rounds=5,
        clock="seconds",
        about=f"{count} images of {size} x {size} RGB, batch 64, flips",
    )


def measure(
    peers: Path, name: str, work: str, peer: str, rounds: int, target: float | None, **settings: Any
) -> Contest:
    count, dimension = settings["count"], settings["dimension"]
    return Contest(
        name,
        [ours("featdiff", work), Contender(peer, peers, "measures", work)],
        settings,
        [Line(f"{name}: sets/s", "featdiff", (peer,), target=target)],
        rounds=rounds,
        about=f"two sets of {count} features of {dimension}",
    )


def preparing(peers: Path, folder: Path, count: int) -> Contest:
    settings = {"size": 64, "channels": 3, "images": count, "folder": str(folder)}
    return Contest(
        "dataset preparation",
        [ours("featdiff", "preparing"), Contender("torchvision", peers, "preparing", "preparing")],
        settings,
        [Line("dataset preparation: images/s", "featdiff", ("torchvision",))],
        rounds=5,
        about=f"{count} JPEG files of 256 x 256 to 64 x 64 PNG; ours also digests, looks for copies, splits and seals",
    )


def all_contests(
    peers: Path, photographs: Path, pictures: Path, *, photos: int, images: int, device: str
) -> list[Contest]:
    """Every contest on this device, in the order of the table; what is by processor time on a CPU is by the clock on a
    GPU."""
    if device == "cuda":
        contests = [training(peers, "bf16"), training(peers, "fp32"), sampling(peers), *gpu()]
        return [replace(contest, clock="seconds") for contest in contests]
    return [
        training(peers, "bf16"),
        training(peers, "fp32"),
        sampling(peers),
        *(
            shares("share of the peak", precision, {**NETWORK, "batch": 16, "drawn": 64}, side=1024)
            for precision in ("bf16", "fp32")
        ),
        loading(peers, pictures, images, 64),
        preparing(peers, photographs, photos),
        measure(peers, "Frechet statistics", "frechet", "clean-fid", 2, 2.0, count=2000, dimension=INCEPTION),
        measure(
            peers,
            "kernel distance",
            "kernel",
            "clean-fid",
            5,
            None,
            count=2000,
            dimension=INCEPTION,
            subsets=5,
            subset_size=1000,
        ),
        measure(peers, "precision and recall", "manifold", "prdc", 5, None, count=2000, dimension=LITE0),
        measure(peers, "Vendi score", "vendi", "vendi-score", 5, None, count=2000, dimension=LITE0),
    ]
