"""A contender's process: reads requests and answers them, a line of JSON each, so that contenders can take turns.

    {"do": "prepare", "module": "smalldiffusion_", "work": "training", "settings": {...}}   ->  {"about": {...}, ...}
    {"do": "run"}        ->  {"seconds": by the clock, "processor": of this process and its children, "items": done}
    {"do": "memory"}     ->  {"peak": bytes, above what the process held when it was prepared; on a GPU its tensors'
    most}

It runs in our environment or in the peers', and needs nothing but the module of its contender. What a library prints
goes to the standard error, which the parent keeps in a file.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()


@dataclass
class Work:
    """What is timed: each call of ``run`` does ``items`` of the line's unit. ``about`` stands beside the numbers."""

    run: Callable[[], object]
    items: float
    about: dict[str, Any] = field(default_factory=dict)


def processor() -> float:
    """Processor time of this process and of the children it has waited for, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def status(name: str) -> int:
    """A line of /proc/self/status in bytes, as VmRSS or VmHWM (its peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {name}")


def supply_missing_operators() -> None:
    """Let torchvision be imported where its compiled part was made for another build of torch.

    PyPI's torchvision goes with CUDA's torch; beside a torch for CPUs its operators do not load, and it refuses to be
    imported. No contender calls them: they are declared, not implemented.
    """
    import torch
    from torch.library import Library

    try:
        import torchvision  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared = Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.torchvision_operators = declared  # type: ignore[attr-defined]  # kept for as long as torch is


def finish(held: dict[str, Any]) -> None:
    """Wait until a GPU has done what it was told."""
    if held["cuda"]:
        import torch

        torch.cuda.synchronize()


def answer(request: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request; ``held`` is what the process keeps between two of them."""
    if request["do"] == "prepare":
        settings = request["settings"]
        if settings["peers"]:
            supply_missing_operators()
        import torch

        torch.set_num_threads(settings["threads"])
        torch.manual_seed(settings["seed"])
        held["before"] = status("VmRSS")
        module = importlib.import_module(f"contenders.{request['module']}")
        held["before"] = status("VmRSS")
        held["cuda"] = settings.get("device") == "cuda"
        held["work"] = getattr(module, request["work"])(settings)
        held["work"].run()  # the first time is not the rule: kernels are chosen, memory is taken
        finish(held)
        return {"about": held["work"].about, "start": time.perf_counter() - STARTED}
    if request["do"] == "run":
        work, start, used = held["work"], time.perf_counter(), processor()
        work.run()
        finish(held)
        return {"seconds": time.perf_counter() - start, "processor": processor() - used, "items": work.items}
    if request["do"] == "memory":
        if held["cuda"]:
            import torch

            return {"peak": torch.cuda.max_memory_allocated()}
        return {"peak": status("VmHWM") - held["before"]}
    raise ValueError(f"unknown request {request}")


def main() -> None:
    sys.modules["worker"] = sys.modules["__main__"]  # contenders import Work from here
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    held: dict[str, Any] = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), held)
        except Exception as error:
            import traceback

            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
