"""Inception-v3 as FID takes it (TensorFlow's of 2015: average pools that leave the padding out, a maximum pool in the
last block), with random weights, as a TorchScript file of the same form as the real one."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conv(nn.Sequential):
    def __init__(self, before: int, after: int, size: int | tuple[int, int], stride: int = 1, same: bool = True):
        sides = (size, size) if isinstance(size, int) else size
        padding = tuple(side // 2 for side in sides) if same else 0
        conv = nn.Conv2d(before, after, sides, stride, padding, bias=False)  # type: ignore[arg-type]
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        super().__init__(conv, nn.BatchNorm2d(after, eps=0.001), nn.ReLU())


class Average(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class Branches(nn.Module):
    """Several paths, side by side in the channels."""

    def __init__(self, *paths: nn.Module):
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.paths], 1)


def path(
    before: int, *convs: tuple[int, int | tuple[int, int]], last: dict[str, int | bool] | None = None
) -> nn.Module:
    made = []
    for i, (after, size) in enumerate(convs):
        made.append(Conv(before, after, size, **((last or {}) if i == len(convs) - 1 else {})))
        before = after
    return nn.Sequential(*made)


def fork(before: int, middle: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(middle, Branches(Conv(width, 384, (1, 3)), Conv(width, 384, (3, 1))))


def a(n: int, pool: int) -> nn.Module:
    pooled = nn.Sequential(Average(), Conv(n, pool, 1))
    return Branches(path(n, (64, 1)), path(n, (48, 1), (64, 5)), path(n, (64, 1), (96, 3), (96, 3)), pooled)


def c(k: int) -> nn.Module:
    row, column, pooled = (1, 7), (7, 1), nn.Sequential(Average(), Conv(768, 192, 1))
    longer = path(768, (k, 1), (k, column), (k, row), (k, column), (192, row))
    return Branches(path(768, (192, 1)), path(768, (k, 1), (k, row), (192, column)), longer, pooled)


def e(n: int, pool: nn.Module) -> nn.Module:
    first, second = fork(n, Conv(n, 384, 1), 384), fork(n, path(n, (448, 1), (384, 3)), 384)
    return Branches(path(n, (320, 1)), first, second, nn.Sequential(pool, Conv(n, 192, 1)))


def layers() -> nn.Module:
    half: dict[str, int | bool] = {"stride": 2, "same": False}
    b = Branches(path(288, (384, 3), last=half), path(288, (64, 1), (96, 3), (96, 3), last=half), nn.MaxPool2d(3, 2))
    row, column = (1, 7), (7, 1)
    longer = path(768, (192, 1), (192, row), (192, column), (192, 3), last=half)
    d = Branches(path(768, (192, 1), (320, 3), last=half), longer, nn.MaxPool2d(3, 2))
    stem = [Conv(3, 32, 3, 2, False), Conv(32, 32, 3, 1, False), Conv(32, 64, 3), nn.MaxPool2d(3, 2)]
    stem += [Conv(64, 80, 1), Conv(80, 192, 3, 1, False), nn.MaxPool2d(3, 2)]
    blocks = [a(192, 32), a(256, 64), a(288, 64), b, c(128), c(160), c(160), c(192), d]
    return nn.Sequential(*stem, *blocks, e(1280, Average()), e(2048, nn.MaxPool2d(3, 1, 1)), nn.AdaptiveAvgPool2d(1))


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = layers()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((x - 128) / 128)


def write(file: Path) -> None:
    """The network with weights by seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Inception().eval()
    torch.jit.trace(network, torch.zeros(1, 3, 299, 299), check_trace=False).save(str(file))
