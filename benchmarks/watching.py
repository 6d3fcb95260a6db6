"""What it costs to watch a training: the time inside the watcher over the time of the training, in one run.

    python benchmarks/watching.py [--overlay OVERLAY ...] [--model guided] [--images N] [--threads 1]

Trains a model of the settings as the rule does, with previews, numbers and page, and takes the time of each call of the
watcher, the device waited for before and after. What else the machine does meets both parts alike. With fewer images
the previews get fewer, as they would.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml

from featdiff.data import prepare
from featdiff.devices import devices
from featdiff.settings.base import parse
from featdiff.settings.project import Params
from featdiff.training import loop
from featdiff.training import progress as files
from featdiff.training.watched import Begun, Moment
from featdiff.watching.watcher import Watcher


class Timed(Watcher):
    """A watcher that keeps how long it took."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.seconds = {"begin": 0.0, "look": 0.0, "end": 0.0}
        self.first = 0.0

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        devices.wait_for(devices.pick_device())
        start = time.perf_counter()
        yield
        devices.wait_for(devices.pick_device())
        self.seconds[name] += time.perf_counter() - start

    def begin(self, begun: Begun) -> None:
        with self._timed("begin"):
            super().begin(begun)
        self.first = time.perf_counter()

    def look(self, moment: Moment) -> None:
        with self._timed("look"):
            super().look(moment)

    def end(self) -> None:
        with self._timed("end"):
            super().end()


def merged(values: dict, over: dict) -> dict:
    """Settings with an overlay on them."""
    both = {key: merged(values[key], over[key]) for key in values.keys() & over.keys() if isinstance(over[key], dict)}
    return {**values, **over, **both}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--overlay", type=Path, nargs="*", default=[])
    parser.add_argument("--model", default="guided")
    parser.add_argument("--images", type=int, help="instead of the settings'")
    parser.add_argument("--training", type=json.loads, default={}, help="more changes of the training's row, as JSON")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    values: dict = yaml.safe_load(options.params.read_text())
    for path in options.overlay:
        values = merged(values, yaml.safe_load(path.read_text()))
    params = parse(Params, values, str(options.params))
    spec = params.train_spec(options.model)
    changes = options.training | ({"images": options.images} if options.images else {})
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=changes)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare.prepare(params.datasets[params.models[options.model].dataset], folder / "dataset.zip")
        devices.keep_freed_memory()
        watcher = Timed(folder / "progress" / options.model)
        out = folder / "checkpoint.safetensors"
        loop.train(spec, folder / "dataset.zip", out, state=folder / "state", watcher=watcher)
        total = time.perf_counter() - watcher.first
        previews, records = files.previews(watcher.folder), files.records(watcher.folder)
    seconds = watcher.seconds
    training, spent = total - seconds["look"] - seconds["end"], sum(seconds.values())
    print(f"{options.model}: {spec.training.images} images on {devices.pick_device()}, trained in {training:.1f} s")
    print(f"{len(previews)} previews, {len(records)} records and the page took {spent:.2f} s,")
    print(
        f"{seconds['begin']:.2f} s of them before the first step: {100 * spent / training:.2f}% of the training's time"
    )


if __name__ == "__main__":
    main()
