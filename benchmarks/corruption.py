"""What a corruption adds to a training step: the same network and loss under each corruption, as ratios within one run.

    python benchmarks/corruption.py [--size 24] [--channels 1] [--batch 16] [--widths 32 64 96] [--rounds 60] [--threads
    1]

A step is corrupt, forward, loss, backward and update, in bf16 where training is. Steps of the kinds take turns, so that
what else the machine does meets all alike; what counts is the ratio of the medians to that of noise alone.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from accelerate import Accelerator

from featdiff.devices.devices import keep_freed_memory, wait_for
from featdiff.kinds.corruptions import BlurCorruption, IdentityCorruption, MaskCorruption, Rise
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.network import Network
from featdiff.settings.training import Training, TrainSpec
from featdiff.training.loop import Objective


def step(
    spec: TrainSpec, data: DataDescription, accelerator: Accelerator, batch: tuple[torch.Tensor, ...]
) -> Callable[[], None]:
    """One training step of a spec, as a function without arguments."""
    denoiser = checkpoint.new_denoiser(spec, data).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-4, fused=True)
    objective, optimizer = accelerator.prepare(Objective(denoiser, spec), optimizer)

    def run() -> None:
        accelerator.backward(objective(*batch))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        wait_for(accelerator.device)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 96])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    accelerator = Accelerator(mixed_precision="bf16")
    data = DataDescription(classes=("a",), channels=options.channels, size=options.size, mean=0.4, std=0.15)
    source = torch.Generator().manual_seed(0)
    shape = (options.batch, options.channels, options.size, options.size)
    x, t = torch.rand(shape, generator=source), torch.rand(options.batch, generator=source)
    batch = tuple(part.to(accelerator.device) for part in (x, t, torch.randn((2, *shape), generator=source)))
    corruptions = {
        "noise alone": IdentityCorruption(kind="identity"),
        "blur": BlurCorruption(kind="blur", width=Rise(high=options.size * 23 / 64)),
        "mask": MaskCorruption(kind="mask"),
    }
    steps = {}
    for name, corruption in corruptions.items():
        network = Network(widths=tuple(options.widths), form="soft")
        training = Training(images=1, batch=options.batch)
        spec = TrainSpec(network=network, training=training, condition="none", corruption=corruption, seed=0)
        steps[name] = step(spec, data, accelerator, batch)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(options.rounds + 5):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            if k >= 5:
                times[name].append(time.perf_counter() - start)
    base = median(times["noise alone"])
    for name, spent in times.items():
        print(f"{name:12} {1000 * median(spent):8.2f} ms a step   ratio {median(spent) / base:.3f}")


if __name__ == "__main__":
    main()
