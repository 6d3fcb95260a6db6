"""Philox4x32-10, a counter-based generator of random numbers (Salmon et al. 2011), as tensor operations.

A stream is named by a 64-bit key. Its numbers have no state: the output at a place of the stream is a function of key
and place alone, so they are the same integers on every device, in any batch, order or block. A block of four 32-bit
outputs is the bijection of a counter of four words, the number of the block in the first two, zero in the others. So it
is with the stateless generator of torch 2.13, ``torch.func._random`` (private, and without CPU code), whose key is
(seed, number of the block). The way from outputs to uniform and normal numbers is cuRAND's; torch's takes the lower 24
bits for a uniform number and the cosine before the sine. It is not used where it is there: its logarithm and sine are
the fast ones, and an image would depend on torch's version.

Uniform numbers are the same bits everywhere. Normal ones go through log, sin and cos, which each device has its own of:
two devices agree to 1e-5, one device with itself to the bit.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from featdiff.devices.devices import is_gpu

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # what is added to the two words of the key each round
_ROUNDS = 10
_BLOCKS = 1 << 15  # counters worked on at once on a CPU: its buffers stay in the cache
_HALF = 2.0**-33  # half of a step: numbers lie in the middles of 2^32 steps, in (0, 1]


def words(keys: Tensor, count: int, *, offset: int = 0) -> Tensor:
    """32-bit outputs ``offset`` to ``offset + count`` of each stream: (N, count) int64 from 0 to 2^32 - 1, on the keys'
    device.

    ``keys`` are (N,) int64; ``offset`` is a multiple of 4 below 2^33.
    """
    return _drawn(keys, count, offset, torch.int64, lambda *block: block)


def normal(keys: Tensor, count: int, *, offset: int = 0) -> Tensor:
    """Standard normal numbers, one for each output: (N, count) float32; neighbours come from one pair of outputs."""
    return _drawn(keys, count, offset, torch.float32, lambda a, b, c, d: (*box_muller(a, b), *box_muller(c, d)))


def _drawn(
    keys: Tensor, count: int, offset: int, dtype: torch.dtype, of_block: Callable[..., tuple[Tensor, ...]]
) -> Tensor:
    """What ``of_block`` makes of each block of four outputs, in the order of the stream."""
    if offset % 4:
        raise ValueError(f"an offset counts outputs in blocks of 4, got {offset}")
    blocks = -(-count // 4)
    numbers = torch.arange(offset // 4, offset // 4 + blocks, dtype=torch.int64, device=keys.device)
    out = torch.empty(len(keys), blocks, 4, dtype=dtype, device=keys.device)
    for rows, columns in _parts(keys, blocks):
        counter = numbers[columns].expand(len(keys[rows]), -1)
        block = bijection((counter & _MASK, counter >> 32, None, None), keys[rows, None])
        for place, values in enumerate(of_block(*block)):
            out[rows, columns, place] = values
    return out.flatten(1)[:, :count]


def bijection(counter: tuple[Tensor | None, ...], keys: Tensor) -> tuple[Tensor, ...]:
    """The ten rounds: four words of each counter, None for zero, under 64-bit keys that broadcast against them.

    Words are int64 of values below 2^32. A product of two wraps around at 2^64 and its upper half comes down with the
    sign, so that words are cut to 32 bits where they are multiplied next.
    """
    known = next(word for word in counter if word is not None)
    c0, c1, c2, c3 = (torch.zeros_like(known) if word is None else word.clone() for word in counter)
    low, high = keys & _MASK, keys >> 32 & _MASK
    p0, p1 = torch.empty_like(c0), torch.empty_like(c0)
    for _ in range(_ROUNDS):
        torch.mul(c0, _MULTIPLIERS[0], out=p0)
        torch.mul(c2, _MULTIPLIERS[1], out=p1)
        torch.bitwise_right_shift(p1, 32, out=c0).bitwise_xor_(c1).bitwise_xor_(low).bitwise_and_(_MASK)
        torch.bitwise_right_shift(p0, 32, out=c2).bitwise_xor_(c3).bitwise_xor_(high).bitwise_and_(_MASK)
        c1, p1, c3, p0 = p1, c1, p0, c3
        low, high = (low + _WEYL[0]) & _MASK, (high + _WEYL[1]) & _MASK
    return c0, c1.bitwise_and_(_MASK), c2, c3.bitwise_and_(_MASK)


def box_muller(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two outputs -> two independent standard normal numbers, float32: ``r sin a`` and ``r cos a``.

    ``r = sqrt(-2 log u(x))`` and ``a = 2 pi u(y)`` (Box and Muller 1958).
    """
    radius = uniform(x).log_().mul_(-2).sqrt_()
    angle = y.float().mul_(math.tau * 2.0**-32).add_(math.tau * _HALF)
    return angle.sin().mul_(radius), angle.cos_().mul_(radius)


def uniform(drawn: Tensor) -> Tensor:
    """Outputs -> numbers in (0, 1], float32, even to 2^-24."""
    return drawn.float().mul_(2.0**-32).add_(_HALF)


def below(drawn: Tensor, limit: Tensor | int) -> Tensor:
    """Outputs -> integers from 0 to ``limit - 1``, ``limit`` at most 2^31: each by 2^-32 more or less likely than
    another."""
    return drawn * limit >> 32


def _parts(keys: Tensor, blocks: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns to work on at once: all beside a GPU, on a CPU as many as its cache holds."""
    if is_gpu(keys.device):
        yield slice(None), slice(None)
        return
    wide = min(blocks, _BLOCKS) or 1
    tall = max(1, _BLOCKS // wide)
    for row in range(0, len(keys), tall):
        for column in range(0, blocks, wide):
            yield slice(row, row + tall), slice(column, column + wide)
