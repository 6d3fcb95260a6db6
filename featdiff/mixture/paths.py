"""Guided paths with common random numbers: the same starts and the same noise for every strength of guidance.

Paths come in blocks of fixed size, each with its own generator, so path 1234 is the same however many threads work; and a
block's arrays stay in the processor's cache, which is where the speed comes from.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from featdiff import seeds
from featdiff.diffusion.denoiser import Denoiser, Sampler
from featdiff.diffusion.guidance import classifier_free
from featdiff.errors import UserError
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.entropy import lost_to_guidance

BLOCK = 2500
R = TypeVar("R")


class Paths(NamedTuple):
    """Ends of paths (strengths, N, d), and the entropy each lost to guidance (strengths, N); zero where not asked for."""

    ends: Tensor
    lost: Tensor


def observed(denoiser: Denoiser, watch: Callable[[Tensor, Tensor], None]) -> Denoiser:
    """The same denoiser; ``watch(x, t)`` sees every point it is asked about: a sampler's states."""

    def watched(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        watch(x, t)
        return denoiser(x, t, condition)

    return watched


def guided_paths(
    denoiser: MixtureDenoiser,
    sampler: Sampler,
    *,
    y: int,
    etas: Sequence[float],
    levels: Tensor,
    count: int,
    seed: int,
    entropy: bool = False,
    threads: int = 1,
) -> Paths:
    """Run ``count`` paths of class ``y`` from a standard normal start, one for each ``eta``, by classifier-free guidance.

    ``entropy`` also integrates what guidance takes from the differential entropy, by steps of the levels' distance.
    """
    if count < 1:
        raise UserError(f"the study needs at least one path, got {count}")

    def block(index: int, size: int) -> Paths:
        return _block(denoiser, sampler, y, etas, levels, size, seeds.derive(seed, "paths", index), entropy)

    fill_cache(denoiser, y, levels)
    blocks = in_blocks(count, block, threads=threads)
    return Paths(*(torch.cat(parts, dim=1) for parts in zip(*blocks, strict=True)))


def in_blocks(count: int, work: Callable[[int, int], R], *, threads: int) -> list[R]:
    """``work(index, size)`` for each block of ``count`` rows, in order; the blocks are shared out to threads."""
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(work, i, min(BLOCK, count - i * BLOCK)) for i in range(-(-count // BLOCK))]
        return [job.result() for job in jobs]


def _block(
    denoiser: MixtureDenoiser,
    sampler: Sampler,
    y: int,
    etas: Sequence[float],
    levels: Tensor,
    size: int,
    seed: int,
    entropy: bool,
) -> Paths:
    device, dim = denoiser.mixture.device, denoiser.mixture.dim
    source = torch.Generator(device).manual_seed(seed)
    rows = len(etas) * size

    def noise() -> Tensor:
        """The same normals (float32 draws) for each eta; the memory runs along the batch."""
        return torch.randn(dim, size, generator=source, device=device).double().repeat(1, len(etas)).T

    lost = torch.zeros(rows, dtype=torch.float64, device=device)
    ends = torch.cat([levels, levels.new_zeros(1)]).tolist()
    steps = {t: t - s for t, s in pairwise(ends)}

    def watch(x: Tensor, t: Tensor) -> None:
        level = t[0].item()
        lost.add_(lost_to_guidance(denoiser, x, level, y), alpha=steps[level])

    strengths = torch.tensor(etas, dtype=torch.float64, device=device).repeat_interleave(size)
    guided = classifier_free(denoiser, strength=1 + strengths[:, None])
    classes = torch.tensor(y, device=device).expand(rows)
    end = sampler(observed(guided, watch) if entropy else guided, noise(), levels, noise, classes)
    return Paths(end.reshape(len(etas), size, dim), (strengths * lost).reshape(len(etas), size))


def fill_cache(denoiser: MixtureDenoiser, y: int, levels: Tensor) -> None:
    """Compute each level once, before threads ask for it."""
    for t in levels.tolist():
        denoiser.level(t)
        denoiser.given(y).level(t)
