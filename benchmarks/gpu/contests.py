"""Speed on the device beside the peers that are installed: 64 x 64 in colour, about ten million parameters, bf16.

The contests are those of ``benchmarks/speed``: contenders in processes of their own that take turns. One contender more
at a time would not fit every machine, so each line is held between two: ours and one other.
"""

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steps import PEERS, Scale

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "speed"))
from contest import Contender, Result, hold  # noqa: E402
from lines import GPU, networks, ours  # noqa: E402

Tell = Callable[..., None]
TOY = {"size": 8, "channels": 3, "images": 64, "widths": (8, 16), "batch": 8, "drawn": 8}


def settings_of(scale: Scale, **more: Any) -> dict[str, Any]:
    common = {**(TOY if scale.small else GPU), "levels": 24, "precision": "bf16", "seed": 0, "threads": 4}
    return {**common, "device": scale.device, **more}


def rates(contenders: list[Contender], settings: dict[str, Any], tell: Tell, what: str) -> dict[str, Result]:
    """Hold the contest; tell each rate, its peak memory, and why one could not take part."""
    with tempfile.TemporaryFile("w") as log:  # what libraries print
        results = hold(contenders, settings, rounds=2 if settings["size"] == 8 else 7, log=log)
    for name, result in results.items():
        if result.failed or not result.seconds:
            tell(**{f"{what}: {name}": {"cannot": result.failed}})
            continue
        about = {key: result.about[key] for key in ("parameters", "multiplications") if key in result.about}
        tell(**{f"{what}: {name}": {"rate": result.rate(), "peak_GiB": result.peak / 2**30, **about}})
    return results


def peers(work: str) -> list[Contender]:
    """The peers that this Python can import, and nothing of the others."""
    return [c for c in networks(Path(sys.executable), work) if importlib.util.find_spec(PEERS[c.name])]


def training(scale: Scale, tell: Tell) -> None:
    """Pairs a second, plain and compiled, beside images a second of the peers; a matrix product for what is
    possible."""
    missing = [name for name, module in PEERS.items() if importlib.util.find_spec(module) is None]
    if missing:
        tell(peers_not_installed=missing)
    settings, size = settings_of(scale), 256 if scale.small else 8192
    product = ours("matrix product", "product", side=size, products=32)
    plain = ours("featdiff", "training", condition="feature")
    rates([plain, product], settings, tell, "training")
    for peer in peers("training"):
        rates([peer], settings, tell, "training")
    if not scale.small:
        start = time.perf_counter()
        compiled = ours("featdiff, compiled", "training", condition="feature", compile=True)
        rates([compiled], settings, tell, "training")
        tell(compiled_contest_s=time.perf_counter() - start)


def sampling(scale: Scale, tell: Tell) -> None:
    """Network evaluations of an image a second: guided, guided and compiled, and the peers'."""
    settings = settings_of(scale, batch=settings_of(scale)["drawn"])
    guided = {"condition": "feature", "guidance": "feature"}
    rates([ours("featdiff, guided", "sampling", **guided)], settings, tell, "sampling (images of 4 evaluations)")
    for peer in peers("sampling"):
        rates([peer], settings, tell, "sampling (images of 4 evaluations)")
    if not scale.small:
        compiled = ours("featdiff, guided, compiled", "sampling", compile=True, **guided)
        rates([compiled], settings, tell, "sampling (images of 4 evaluations)")


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
