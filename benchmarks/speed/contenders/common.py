"""What all contenders share: the same images, the same pairs of features, the same count of operations."""

from collections.abc import Callable
from typing import Any

import numpy as np
from worker import Work

SIGMA_START, SIGMA_END = 5.0, 0.01
STEPS_A_RUN = 2  # training steps in one timed run, unless the settings have "steps"
EVALUATIONS = 4  # network evaluations of one sample


def images(settings: dict[str, Any]) -> np.ndarray:
    """Images (N, H, W, C) uint8 of a seed: smooth enough to be no harder than photographs."""
    generator = np.random.default_rng(settings["seed"])
    n, size, channels = settings["images"], settings["size"], settings["channels"]
    coarse = generator.integers(0, 256, (n, size // 4, size // 4, channels), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def centred(settings: dict[str, Any]):  # type: ignore[no-untyped-def]
    """The same images as a float tensor (N, C, H, W) in [-1, 1], on the device: nothing is cheaper to take batches
    from."""
    import torch

    pixels = torch.from_numpy(images(settings)).permute(0, 3, 1, 2).contiguous()
    return (pixels.float() / 127.5 - 1).to(device(settings))


def device(settings: dict[str, Any]):  # type: ignore[no-untyped-def]
    """The CPU, or the first GPU that is shown."""
    import torch

    return torch.device(settings.get("device", "cpu"))


def steps(settings: dict[str, Any]) -> int:
    """Training steps in one timed run: more of them on a GPU, where a step takes milliseconds."""
    return settings.get("steps", STEPS_A_RUN)


def network(settings: dict[str, Any], *, small: Any, large: Any) -> Any:
    """Of a library's two networks the one that compares with ours: half a million parameters, or ten."""
    return large if settings.get("network") == "large" else small


def features(settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features (N, D) float32 of unlike, correlated Gaussians."""
    generator = np.random.default_rng(settings["seed"])
    n, d = settings["count"], settings["dimension"]
    mixing = generator.standard_normal((d, d)).astype(np.float32) / d**0.5
    real = generator.standard_normal((n, d)).astype(np.float32) @ mixing
    generated = generator.standard_normal((n, d)).astype(np.float32) @ (mixing * 0.9) + 0.05
    return np.abs(real), np.abs(generated)  # as activations after a ReLU


def about_network(network: Any, forward: Any) -> dict[str, Any]:
    """Parameters, and multiplications of one image's forward pass, counted by torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        forward()
    parameters = sum(p.numel() for p in network.parameters())
    return {"parameters": parameters, "multiplications": counter.get_total_flops() // 2}


def autocast(settings: dict[str, Any]):  # type: ignore[no-untyped-def]
    """bf16 where the settings say so, as accelerate's mixed precision does it."""
    import torch

    return torch.autocast(device(settings).type, torch.bfloat16, enabled=settings["precision"] == "bf16")


def training(  # type: ignore[no-untyped-def]
    settings: dict[str, Any], network, data, about: dict[str, Any], loss_of: Callable, *, clip: bool
) -> Work:
    """Steps of AdamW with our arguments on random batches of ``data``; ``loss_of`` is the library's own loss of one."""
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True)

    def run() -> None:
        for _ in range(steps(settings)):
            batch = data[torch.randint(len(data), (settings["batch"],), device=data.device)]
            loss = loss_of(batch)
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return Work(run, settings["batch"] * steps(settings), about)
