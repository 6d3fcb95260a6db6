"""Guided paths with common random numbers: the same starts and the same noise for every strength of guidance.

Paths come in grains of fixed size, each with its own generator. A thread works on a block of as many whole grains as
keeps its arrays in the processor's cache, which is where the speed comes from; path 1234 is the same whatever the
blocks and threads.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from featdiff import derived
from featdiff.diffusion.denoiser import Denoiser, Sampler
from featdiff.diffusion.guidance import classifier_free
from featdiff.errors import UserError
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.entropy import lost_to_guidance

GRAIN = 2500  # paths that share a generator: another number is other noise
ROWS = (
    20_000  # of a block (a path at each strength is one): more leave the cache, fewer cost more calls than arithmetic
)
R = TypeVar("R")


class Paths(NamedTuple):
    """Ends of paths (strengths, N, d), and the entropy each lost to guidance (strengths, N); zero where not asked
    for."""

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
    """Run ``count`` paths of class ``y`` from a standard normal start, one for each ``eta``, by classifier-free
    guidance.

    ``entropy`` also integrates what guidance takes from the differential entropy, by steps of the levels' distance.
    """
    if count < 1:
        raise UserError(f"the study needs at least one path, got {count}")

    grains = max(1, min(ROWS // (len(etas) * GRAIN), -(-count // (GRAIN * threads))))

    def block(index: int, size: int) -> Paths:
        sources = [
            torch.Generator(denoiser.mixture.device).manual_seed(derived.derive(seed, "paths", index * grains + i))
            for i in range(-(-size // GRAIN))
        ]
        return _block(denoiser, sampler, y, etas, levels, size, sources, entropy)

    fill_cache(denoiser, y, levels)
    blocks = in_blocks(count, block, size=grains * GRAIN, threads=threads)
    return Paths(*(torch.cat(parts, dim=1) for parts in zip(*blocks, strict=True)))


def in_blocks(count: int, work: Callable[[int, int], R], *, size: int = GRAIN, threads: int) -> list[R]:
    """``work(index, rows)`` for each block of ``size`` of ``count`` rows, in order; the blocks are shared out to
    threads."""
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(work, i, min(size, count - i * size)) for i in range(-(-count // size))]
        return [job.result() for job in jobs]


def _block(
    denoiser: MixtureDenoiser,
    sampler: Sampler,
    y: int,
    etas: Sequence[float],
    levels: Tensor,
    size: int,
    sources: Sequence[torch.Generator],
    entropy: bool,
) -> Paths:
    device, dim = denoiser.mixture.device, denoiser.mixture.dim
    rows = len(etas) * size

    def noise() -> Tensor:
        """The same normals (float32 draws, a grain from each source) for each eta; the memory runs along the batch."""
        drawn = torch.empty(dim, len(etas), size, dtype=torch.float64, device=device)
        for i, source in enumerate(sources):
            part = drawn[:, :, i * GRAIN : (i + 1) * GRAIN]
            part.copy_(torch.randn(dim, 1, part.shape[2], generator=source, device=device).expand_as(part))
        return drawn.view(dim, rows).T

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


@contextmanager
def one_thread_an_operation() -> Iterator[None]:
    """For work that shares its blocks out to threads itself: small operations do not gain from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
