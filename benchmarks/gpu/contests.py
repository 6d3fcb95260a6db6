"""Speed on the device beside the peers: 64 x 64 in colour, about ten million parameters, bf16.

The contests are those of ``benchmarks/speed``: contenders in processes of their own that take turns. The peers live in
their own environment where ``make bench`` or ``--peers`` has made it, else in this one; one that is missing says so.
All of a contest are on the device at once: on an H100 their peaks in training add up to 35 GB.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import environment
from contest import Contender, Result, hold
from lines import GPU, networks, ours
from steps import Scale

Tell = Callable[..., None]
TOY = {"size": 8, "channels": 3, "images": 64, "widths": (8, 16), "batch": 8, "drawn": 8}
ROUNDS = 5
PAIR = 12  # operations of training a pair for each multiplication of a forward pass: both images, forward, twice back
IMAGE = {"training": 6, "sampling": 2}  # the same of an image
GUIDED = {"condition": "feature", "guidance": "feature"}
PRODUCT = "matrix product"
TRAINING = "training, images/s (ours: pairs/s)"
SAMPLING = "sampling, network evaluations of an image/s"


def settings_of(scale: Scale, **more: Any) -> dict[str, Any]:
    size = TOY if scale.small else {**GPU, "network": "large", "steps": 20}
    common = {**size, "levels": 24, "precision": "bf16", "seed": 0, "threads": 4}
    return {**common, "device": scale.device, **more}


def rates(
    contenders: list[Contender], settings: dict[str, Any], tell: Tell, what: str, product: float | None = None
) -> dict[str, Result]:
    """Hold the contest; tell of each its rate, share of the rate of a matrix product, peak memory and time to start, or
    why it could not take part."""
    with tempfile.TemporaryFile("w") as log:  # what libraries print
        results = hold(contenders, settings, rounds=2 if settings["size"] == 8 else ROUNDS, log=log)
    product = product or (results[PRODUCT].rate() if PRODUCT in results and results[PRODUCT].seconds else None)
    for contender in contenders:
        result = results[contender.name]
        if result.failed or not result.seconds:
            tell(**{f"{what}: {contender.name}": {"cannot": (result.failed or "no time")[:200]}})
            continue
        found = {"rate": result.rate(), "peak_GiB": result.peak / 2**30, "start_s": result.start}
        if "multiplications" in result.about:
            pair = contender.work == "training" and contender.settings.get("condition") == "feature"
            operations = result.about["multiplications"] * (PAIR if pair else IMAGE[contender.work])
            found |= {"parameters": result.about["parameters"]}
            found |= {"share": found["rate"] * operations / product} if product else {}
        tell(**{f"{what}: {contender.name}": found})
    return results


def peers(work: str) -> list[Contender]:
    """The four libraries, in their own environment or in this one."""
    apart = environment.python()
    return networks(apart if apart.exists() else Path(sys.executable), work)


def training(scale: Scale, tell: Tell) -> float | None:
    """Pairs a second beside images a second of the peers, and a matrix product; returns its operations a second."""
    product = ours(PRODUCT, "product", side=256 if scale.small else 8192, products=32)
    plain = ours("featdiff", "training", condition="feature")
    results = rates([plain, product, *peers("training")], settings_of(scale), tell, TRAINING)
    return results[PRODUCT].rate() if results[PRODUCT].seconds else None


def sampling(scale: Scale, tell: Tell, product: float | None) -> None:
    """Guided, beside the peers' without guidance."""
    settings = settings_of(scale, batch=settings_of(scale)["drawn"])
    rates([ours("featdiff, guided", "sampling", **GUIDED), *peers("sampling")], settings, tell, SAMPLING, product)


def compiled(scale: Scale, tell: Tell, product: float | None) -> None:
    """Compiled training and sampling; then training started again, which finds its code compiled."""
    trained = ours("featdiff, compiled", "training", condition="feature", compile=True)
    rates([trained], settings_of(scale), tell, TRAINING, product)
    rates([replace(trained, name="featdiff, compiled, second start")], settings_of(scale), tell, TRAINING, product)
    drawn = ours("featdiff, guided, compiled", "sampling", compile=True, **GUIDED)
    rates([drawn], settings_of(scale, batch=GPU["drawn"]), tell, SAMPLING, product)


def noise(scale: Scale, tell: Tell) -> None:
    """Milliseconds that the noise of one step takes, for a batch of samples."""
    from featdiff.devices import devices
    from featdiff.seeds import SampleNoise

    settings, device, calls = settings_of(scale), devices.pick_device(), 20
    names = [(0, number) for number in range(settings["drawn"])]
    draw = SampleNoise(0, names, (settings["channels"], settings["size"], settings["size"]), device)
    draw()
    devices.wait_for(device)
    start = time.perf_counter()
    for _ in range(calls):
        draw()
    devices.wait_for(device)
    tell(noise_of_a_step_ms=1000 * (time.perf_counter() - start) / calls)


def features(scale: Scale, tell: Tell) -> None:
    """Images a second of the evaluation's features, beside clean-fid's own resize and loop with the same network."""
    import numpy as np
    import torch

    from featdiff.devices import devices
    from featdiff.evaluation import extractors
    from featdiff.settings.evaluation import Lite0

    count, device = (64 if scale.small else 4096), devices.pick_device()
    pixels = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)
    try:
        extractor = extractors.Lite0Extractor(Lite0(), device)
        resize = extractors._import("cleanfid.resize", "clean-fid").make_resizer("PIL", False, "bicubic", (128, 128))
    except Exception as error:
        tell(features_skipped=str(error)[:200])
        return

    def loop() -> None:
        with torch.inference_mode():
            for first in range(0, count, 64):
                resized = np.stack([resize(image) for image in pixels[first : first + 64]])
                x = torch.from_numpy(resized).permute(0, 3, 1, 2).to(device)
                extractor._network.extract_features((x - 127) / 128).mean((2, 3)).cpu().numpy()

    for name, work in (("ours", lambda: extractor.features(pixels)), ("clean-fid's loop", loop)):
        work()
        start = time.perf_counter()
        work()
        tell(**{f"features: {name}": {"rate": count / (time.perf_counter() - start)}})
