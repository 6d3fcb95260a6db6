"""What a step's noise costs: streams without state beside a generator an image and beside one generator for all.

    python benchmarks/noise.py [--shape 3 64 64] [--batch 512] [--rounds 20] [--device cpu] [--threads 1]

The ways take turns, so that what else the machine does meets all alike; what counts is the ratio of the medians to one
``torch.randn`` of the whole batch on the device. A generator an image is how an image's noise was made independent of
its batch before; on a GPU its time includes the way there. Where torch has its own stateless generator for the device,
it stands beside.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from featdiff import seeds
from featdiff.devices import devices


def ways(batch: int, shape: tuple[int, ...], device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """Functions that each make one step's noise (batch, *shape) on the device."""
    names = [(0, number) for number in range(batch)]
    generators = [seeds.generator(0, "sample", *name) for name in names]
    found: dict[str, Callable[[], Tensor]] = {
        "one generator": lambda: torch.randn(batch, *shape, device=device),
        "streams": seeds.SampleNoise(0, names, shape, device),
        "a generator an image": lambda: torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device),
    }
    try:
        from torch.func import _random  # type: ignore[attr-defined]

        keys = torch.stack([_random.key(number, device=device) for number in range(batch)])
        keys = keys.view(batch, *[1] * len(shape), 2)
        _random.normal(keys, batch, *shape)
        found["torch's streams"] = lambda: _random.normal(keys, batch, *shape)
    except (ImportError, NotImplementedError, RuntimeError) as error:
        print(f"torch's own stateless generator: {str(error).splitlines()[0]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(3, 64, 64))
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default=str(devices.pick_device()))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    every = ways(options.batch, tuple(options.shape), device)
    times: dict[str, list[float]] = {name: [] for name in every}
    for turn in range(options.rounds + 2):
        for name, way in every.items():
            devices.wait_for(device)
            start = time.perf_counter()
            way()
            devices.wait_for(device)
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    least = statistics.median(times["one generator"])
    for name, measured in times.items():
        middle = statistics.median(measured)
        print(f"{name:22} {middle * 1e3:9.3f} ms a step   {middle / least:6.2f}")


if __name__ == "__main__":
    main()
