"""The steps of the check: each tells what it finds as it finds it, in lines of JSON that begin with :data:`TOLD`."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks" / "speed"))  # for contests, which stand on those there

TOLD = "found: "
OUTCOME = re.compile(  # after the name, or before it where several workers report
    r"(?:\[gw\d+\] \[ *\d+%\] (PASSED|FAILED|ERROR|SKIPPED) )?(tests/\S+::.+?)(?: (PASSED|FAILED|ERROR|SKIPPED)\b.*)?$"
)
TESTED = (
    "training",
    "devices",
    "noise",
    "models",
    "features",
    "sampling",
    "evaluation",
    "diffusion",
    "networks",
    "mixture",
)


@dataclass(frozen=True)
class Scale:
    """Where and how large: "cuda" or "cpu", toy sizes or real ones; a data set for the training at the paper's width,
    and the seconds that the step has."""

    device: str
    small: bool
    data: Path | None = None
    seconds: float = 150.0


def tell(**found: Any) -> None:
    print(TOLD + json.dumps(found), flush=True)


def ours(
    scale: Scale,
    *,
    images: int = 2048,
    side: int = 32,
    channels: int = 1,
    widths: tuple[int, ...] = (64, 128, 256, 512),
) -> dict[str, Any]:
    """Settings of a network, and an archive in memory: at toy size 8 x 8 and a few channels."""
    import numpy as np
    import pandas as pd

    from featdiff import artifacts
    from featdiff.data.archive import ImageArchive
    from featdiff.settings.network import Network

    if scale.small:
        images, side, channels, widths = 64, 8, 1, (8, 12)
    coarse = np.random.default_rng(0).integers(0, 256, (images, side // 4, side // 4, channels), np.uint8)
    labels = np.arange(images) % 4
    index = pd.DataFrame({"path": "", "split": "train", "label": labels, "class": [f"c{k}" for k in labels]})
    pixels = coarse.repeat(4, 1).repeat(4, 2)
    return {
        "archive": ImageArchive(pixels, index, artifacts.manifest("dataset", {})),
        "network": Network(widths=widths, zero_output=False),
    }


def spec_of(network: Any, **training: Any) -> Any:
    from featdiff.settings.training import Training, TrainSpec

    changed = {
        "images": 64,
        "batch": 16,
        "partners": 3,
        "precision": "fp32",
        "warmup": 64,
        "compile": False,
        **training,
    }
    return TrainSpec(network=network, training=Training(**changed), condition="feature", seed=0)


# --- a training, from end to end --------------------------------------------------------------------------------------


def training(scale: Scale) -> None:
    """A short training, its centroids and some samples by the package's own commands: does it run at all?"""
    from featdiff.devices import devices

    tell(device=str(devices.pick_device()))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        data, spec = written(scale, Path(folder)), spec_of(ours(scale)["network"], images=640, precision="bf16")
        command("train", spec, "--data", data, "--out", f"{folder}/c.safetensors", "--state", f"{folder}/state")
        tell(trained=True, train_s=time.perf_counter() - start)
        centroids = {"levels": 4, "images_per_class": 16, "draws": 1}
        model = ["--model", f"{folder}/c.safetensors"]
        command("centroids", centroids, "--data", data, *model, "--out", f"{folder}/t.npz")
        sampling = {"model": "m", "guidance": {"kind": "feature"}, "sampler": {"kind": "ddpm", "steps": 8}, "images": 4}
        table = ["--centroids", f"{folder}/t.npz"]
        command("sample-shard", sampling, *model, *table, "--shard", "0", "--out", f"{folder}/0.zip")
        tell(sampled=True, all_s=time.perf_counter() - start)


def written(scale: Scale, folder: Path) -> str:
    """The archive as a file."""
    import pandas as pd

    from featdiff.data import archive

    held = ours(scale)["archive"]
    paths = [f"train/{k:06d}.png" for k in range(len(held.index))]
    archive.write(folder / "data.zip", held.images, pd.DataFrame(held.index).assign(path=paths), held.made)
    return str(folder / "data.zip")


def command(name: str, settings: Any, *arguments: Any, **variables: str) -> None:
    """``featdiff NAME``, as the workflow calls it, with these variables of the environment.

    Raises RuntimeError with its last words when it fails.
    """
    call = call_of(name, settings, *arguments)
    done = subprocess.run(
        call, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise RuntimeError(f"featdiff {name}: {(done.stderr.strip().splitlines() or ['no words'])[-1]}")


def call_of(name: str, settings: Any, *arguments: Any) -> list[str]:
    text = settings.model_dump_json() if hasattr(settings, "model_dump_json") else json.dumps(settings)
    return [sys.executable, "-m", "featdiff.cli", name, "--settings", text, *map(str, arguments)]


# --- agreement --------------------------------------------------------------------------------------------------------


def agreement(scale: Scale) -> None:
    """The same arithmetic on CPU, GPU and as compiled code; what waits for the compiler comes last."""
    import agree

    agree.noise(scale, tell)
    agree.gradients(scale, tell)
    agree.trajectories(scale, tell)
    agree.features(scale, tell)
    agree.losses(scale, tell)
    if not scale.small:
        agree.compiled(scale, tell)


# --- killed and taken up again ----------------------------------------------------------------------------------------


def resume(scale: Scale) -> None:
    """A training killed in the middle and started again ends with the bits of one that was not; and what exactness
    costs."""
    from featdiff.models import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        data = written(scale, Path(folder))
        spec = spec_of(ours(scale)["network"], images=3200, batch=32, save_every=640, precision="bf16")
        whole = ["--data", data, "--out", f"{folder}/whole.safetensors", "--state", f"{folder}/whole"]
        command("train", spec, *whole)
        killed = ["--data", data, "--out", f"{folder}/killed.safetensors", "--state", f"{folder}/killed"]
        process = subprocess.Popen(call_of("train", spec, *killed), cwd=ROOT, stderr=subprocess.DEVNULL)
        while not list(Path(folder, "killed").glob("*/state.safetensors")) and process.poll() is None:
            time.sleep(0.05)
        process.kill()
        tell(killed=process.wait() < 0)
        command("train", spec, *killed)
        one, two = (checkpoint.read_tensors(f"{folder}/{name}.safetensors")[0] for name in ("whole", "killed"))
        tell(same_bits=all(bool((one[name] == two[name]).all()) for name in one))
    for exact in (True, False, True, False):
        tell(**{f"rate_{'exact' if exact else 'free'}": rate(scale, deterministic=exact)})


def rate(scale: Scale, **training: Any) -> float:
    """Pairs a second of the training loop, after steps that are not counted."""
    from featdiff.devices import devices
    from featdiff.training import loop, processes

    held, count = ours(scale), 2 if scale.small else 60
    spec = spec_of(held["network"], images=32 * 2 * count, batch=32, precision="bf16", **training)
    accelerator = processes.accelerator_of(spec.training)
    run, objective = loop.start(spec, loop.describe(held["archive"]), accelerator, Path("never-written"))
    batches = loop.Batches(spec, held["archive"], accelerator.device)
    half = spec.training.model_copy(update={"images": 32 * count, "save_every": 10**9})
    loop.steps(run, half, accelerator, objective, batches)
    devices.wait_for(accelerator.device)
    start = time.perf_counter()
    loop.steps(run, spec.training.model_copy(update={"save_every": 10**9}), accelerator, objective, batches)
    devices.wait_for(accelerator.device)
    return 32 * count / (time.perf_counter() - start)


# --- speed ------------------------------------------------------------------------------------------------------------


def speed(scale: Scale) -> None:
    """Training and sampling beside the peers and a matrix product; what takes a minute to compile comes last."""
    import contests

    with tempfile.TemporaryDirectory() as folder:  # so that the first start compiles, and the second need not
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TRITON_CACHE_DIR": f"{folder}/triton"}
        product = contests.training(scale, tell)
        contests.sampling(scale, tell, product)
        contests.noise(scale, tell)
        contests.features(scale, tell)
        if not scale.small:
            contests.compiled(scale, tell, product)


# --- the paper's width ------------------------------------------------------------------------------------------------


def paper(scale: Scale) -> None:
    """A network with widths 64 to 512 on real textures: trained, its centroids, samples and their measures."""
    import texture

    texture.run(scale, tell)


# --- tests ------------------------------------------------------------------------------------------------------------


def tests(scale: Scale) -> None:
    """The package's own tests of what computes, on this device; those that take longest last."""
    if importlib.util.find_spec("pytest") is None:
        tell(skipped="pytest is not installed")
        return
    found: dict[str, list[str]] = {"passed": [], "failed": [], "error": [], "skipped": []}
    for marks in ["not slow"] if scale.small else ["not slow", "slow"]:
        process = subprocess.Popen(pytest(scale, marks), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if outcome := outcome_of(line):
                found[outcome[0]].append(outcome[1])
                bad = found["failed"] + found["error"]
                tell(passed=len(found["passed"]), skipped=len(found["skipped"]), failed=bad)
        tell(**{f"exit_status_{marks.replace(' ', '_')}": process.wait()})


def pytest(scale: Scale, marks: str) -> list[str]:
    """The call of the tests with these marks, several at a time where pytest-xdist is there."""
    call = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--tb=line", "-m", marks]
    if importlib.util.find_spec("xdist") and not scale.small:
        call += ["--numprocesses", str(min(8, os.cpu_count() or 1))]
    folders = ["noise"] if scale.small else TESTED
    return call + [f"tests/{name}" for name in folders if (ROOT / "tests" / name).exists()]


def outcome_of(line: str) -> tuple[str, str] | None:
    """Outcome and name of a test from a line of ``pytest -v``, with and without pytest-xdist."""
    found = OUTCOME.match(line.rstrip())
    if found is None or not (outcome := found[1] or found[3]):
        return None
    return outcome.lower(), found[2]


STEPS: dict[str, Callable[[Scale], None]] = {
    "training": training,
    "tests": tests,
    "agreement": agreement,
    "resume": resume,
    "speed": speed,
    "paper": paper,
}
