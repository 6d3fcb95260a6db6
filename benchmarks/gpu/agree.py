"""Does a GPU, and compiled code, compute what the CPU does? Relative differences of vectors: ``||a - b|| / ||b||``."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from steps import Scale, command, ours, spec_of, written
from torch import Tensor

from featdiff.devices import compiling, devices
from featdiff.devices.devices import CPU
from featdiff.diffusion import guidance, levels, samplers, soft_samplers
from featdiff.evaluation import extractors
from featdiff.kinds.corruptions import BlurCorruption
from featdiff.models import checkpoint
from featdiff.seeds import SampleNoise
from featdiff.settings.evaluation import Lite0
from featdiff.training import loop, processes, resume

Tell = Callable[..., None]
FEW = (64, 128)  # widths of the network that is compiled


def apart(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return ((found - expected).norm() / expected.norm().clamp(min=1e-300)).item()


def noise(scale: Scale, tell: Tell) -> None:
    """The same integers, and normal numbers how far apart."""
    from featdiff import philox
    from featdiff.seeds import Streams

    device, names = devices.pick_device(), [(0, number) for number in range(64)]
    here, there = (Streams(0, names, where) for where in (CPU, device))
    same = torch.equal(here.words(3, 4096), there.words(3, 4096).cpu())
    one, two = (SampleNoise(0, names, (3, 32, 32), where)().cpu() for where in (CPU, device))
    alone = philox.normal(there.keys[:1], 3072).cpu()
    together = philox.normal(there.keys, 3072).cpu()[:1]
    tell(noise_same_integers=same, noise_largest_difference=(one - two).abs().max().item())
    tell(noise_same_bits_in_any_batch=torch.equal(alone, together))


def step_of(
    scale: Scale, where: torch.device, dtype: torch.dtype, *, compiled: bool = False, **network: Any
) -> dict[str, Tensor]:
    """Gradients of one training step by name, from weights that are moved off their start, where many gradients are
    zero."""
    held = ours(scale, **network)
    denoiser = checkpoint.new_denoiser(spec_of(held["network"]), loop.describe(held["archive"]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    denoiser = denoiser.to(where, dtype)
    objective = loop.Objective(denoiser, spec_of(held["network"]))
    forward = compiling.compiled(objective.forward, where) if compiled else objective.forward
    batch = loop.Batches(spec_of(held["network"]), held["archive"], CPU).batch(0)
    forward(*(part if part is None else part.to(where, dtype) for part in batch)).backward()
    return {name: parameter.grad for name, parameter in denoiser.named_parameters() if parameter.grad is not None}


def furthest(found: dict[str, Tensor], exact: dict[str, Tensor]) -> tuple[float, str]:
    """The largest difference of a tensor's gradient from the exact one, and whose; infinite where there is none."""
    return max((apart(found[name], exact[name]) if name in found else float("inf"), name) for name in exact)


def gradients(scale: Scale, tell: Tell) -> None:
    """Of one step: the largest difference of a tensor's gradient from that in float64 on the CPU."""
    devices.allow_tf32(False)
    exact = step_of(scale, CPU, torch.float64)
    kinds = {
        "cpu_float32": (CPU, torch.float32),
        "device_float64": (devices.pick_device(), torch.float64),
        "device_float32": (devices.pick_device(), torch.float32),
    }
    for name, (where, dtype) in kinds.items():
        worst, tensor = furthest(step_of(scale, where, dtype), exact)
        tell(**{f"gradient_{name}": worst, f"gradient_{name}_worst": tensor})


def losses(scale: Scale, tell: Tell) -> None:
    """Of twenty steps in float32: the largest relative difference from those of the same training on the CPU, and of a
    second time on the device from the first."""
    plain, again = (twenty(scale) for _ in range(2))
    tell(losses_again=relative(again, plain), losses_cpu=relative(plain, twenty_on_the_cpu(scale)))


def compiled(scale: Scale, tell: Tell) -> None:
    """Gradients and losses of compiled code beside the plain code's, by two levels, which compile sooner."""
    few, device = {"widths": FEW}, devices.pick_device()
    exact = step_of(scale, CPU, torch.float64, **few)
    worst, tensor = furthest(step_of(scale, device, torch.float32, compiled=True, **few), exact)
    tell(gradient_compiled_float32=worst, gradient_compiled_float32_worst=tensor)
    plain = twenty(scale, **few)
    tell(losses_compiled=relative(twenty(scale, compile=True, **few), plain))


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs() / expected).max().item()


def twenty(scale: Scale, *, compile: bool = False, **network: Any) -> Tensor:
    """Losses of twenty steps of the training loop in this process."""
    held = ours(scale, **network)
    spec = spec_of(held["network"], images=320, compile=compile)
    accelerator = processes.accelerator_of(spec.training)
    run, objective = loop.start(spec, loop.describe(held["archive"]), accelerator, Path("never-written"))
    training = spec.training.model_copy(update={"save_every": 10**9})
    loop.steps(run, training, accelerator, objective, loop.Batches(spec, held["archive"], accelerator.device))
    return run.losses


def twenty_on_the_cpu(scale: Scale) -> Tensor:
    """The same in a process that sees no GPU: a process of accelerate's has one device. The losses are in its state."""
    with tempfile.TemporaryDirectory() as folder:
        spec = spec_of(ours(scale)["network"], images=320)
        places = ["--out", f"{folder}/c.safetensors", "--state", f"{folder}/state"]
        command("train", spec, "--data", written(scale, Path(folder)), *places, CUDA_VISIBLE_DEVICES="")
        (state,) = Path(folder, "state").glob("*")
        kept = resume.read_state(state)
        assert kept is not None
        return kept.tensors["losses"]


def trajectories(scale: Scale, tell: Tell) -> None:
    """Of each sampler, guided: the largest difference of a pixel between device and CPU, from the same noise."""
    held = ours(scale)
    data = loop.describe(held["archive"])
    grids = {"ddim": samplers.ddim, "ddpm": samplers.ddpm, "heun": samplers.heun, "dpm++2m": samplers.dpm_solver_2m}
    soft = {"naive": soft_samplers.naive, "momentum": soft_samplers.momentum, "flow": soft_samplers.flow}
    soft["soft-ddim"] = soft_samplers.soft_ddim
    shape = (data.channels, data.size, data.size)
    drawn = SampleNoise(0, [(0, number) for number in range(4)], shape)
    blocks = [drawn() for _ in range(20)]

    def sampled(sampler: Any, where: torch.device, changes: dict[str, Any], grid: Tensor) -> Tensor:
        plain = spec_of(held["network"])
        spec = plain.model_copy(
            update={"network": plain.network.model_copy(update={"form": "soft"}), **changes} if changes else {}
        )
        denoiser = checkpoint.new_denoiser(spec, data).eval().requires_grad_(False).to(where)
        target = torch.linspace(0, 1, denoiser.feature_dim, device=where)
        told = guidance.feature(denoiser, lambda t, labels: target.expand(len(labels), -1))
        calls = iter(blocks)
        process = {"process": denoiser.process} if changes else {}
        with torch.inference_mode():
            labels = torch.zeros(4, dtype=torch.long, device=where)
            return sampler(told, next(calls).to(where), grid, lambda: next(calls).to(where), labels, **process)

    for kind, sampler in (grids | soft).items():
        changes = {"corruption": BlurCorruption(kind="blur")} if kind in soft else {}
        grid = torch.linspace(1, 0, 8, dtype=torch.float64) if kind in soft else levels.karras(5.0, 0.05, 8)
        one, two = (sampled(sampler, where, changes, grid).cpu() for where in (CPU, devices.pick_device()))
        tell(**{f"trajectory_{kind}": (one - two).abs().max().item()})


def features(scale: Scale, tell: Tell) -> None:
    """Of the extractor, in float32."""
    pixels = ours(scale)["archive"].images[:32]
    try:
        one, two = (extractors.extractor(Lite0(), device=d).features(pixels) for d in (CPU, devices.pick_device()))
    except Exception as error:
        tell(features_skipped=str(error)[:200])
        return
    tell(features=apart(torch.from_numpy(two), torch.from_numpy(one)))
