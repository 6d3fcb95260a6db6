"""Whether the blocks of a trained network live: a look at a checkpoint after its training.

A channel is dead at a noise level if it is zero at every position of every image looked at: what it should tell
is lost, and no gradient brings it back. The gradient of the training's own loss says whether a block still learns, and
the PSNR that a wrong class costs in one block alone says what its part of the target is worth.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.data.archive import ImageArchive
from featdiff.devices.devices import pick_device, to_images
from featdiff.features import centroids
from featdiff.features.denoising import psnr
from featdiff.models import checkpoint
from featdiff.models.checkpoint import Checkpoint
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.settings.training import TrainSpec
from featdiff.training import loop
from featdiff.training.batches import Batches

CLASSES, IMAGES, EXAMPLES = 24, 6, 8  # images of a class to look at, and others of it whose mean feature they are told
BATCHES, BATCH = 4, 32  # for the gradient
SIGMAS, LEVELS = (0.05, 0.2, 0.5, 1.0, 2.0), (0.1, 0.3, 0.5, 0.7, 0.9)  # of noise; of a corruption
ZERO = 1e-6  # activations are of order one
MOST_DEAD = 0.5  # share of a block's channels that are zero at every level: beyond, it is called dead


def write(data: Path, model: Path, out: Path) -> None:
    """Look at the checkpoint ``model`` of a training on the archive ``data`` and write what is found: see
    :func:`look`."""
    made = artifacts.manifest("health", {}, {"dataset": data, "checkpoint": model}, by=write)
    trained, images = checkpoint.read(model), archive.read(data, "dataset", split="train")
    centroids.require_classes(data, tuple(images.classes), trained.data.classes)
    artifacts.write_json(out, look(trained, images), made)


def look(trained: Checkpoint, images: ImageArchive) -> dict[str, Any]:
    """What a look at a network finds, by block, on training images and in float32.

    - ``channels`` of each block
    - ``dead``: share of channels that are zero everywhere at each level; ``dead_always``: at all of them
    - ``gradient``: norm of the gradient of the training loss with respect to the block's parameters, mean of batches
    - ``worth``: what a wrong class in this block alone costs, in dB of PSNR at each level; of networks told features
    - ``warnings``: one sentence for each matched block that is dead
    """
    device = pick_device()
    denoiser = trained.denoiser.to(device)
    spec = trained.spec
    if spec.only is not None:
        images = images.select(label=loop.label_of(spec.only, trained.data.classes))
    x, labels, targets = _chosen(denoiser, images, spec, device)
    right = targets if spec.condition == "feature" else labels if spec.condition == "label" else None
    dead = {name: _dead(denoiser, noisy, t, right) for name, noisy, t in _noisy(denoiser, x)}
    always = {block: torch.stack([at[block] for at in dead.values()]).all(0) for block in denoiser.network.blocks}
    found: dict[str, Any] = {
        "images": len(x),
        "channels": {block: len(channels) for block, channels in always.items()},
        "dead": {b: {name: _share(at[b]) for name, at in dead.items()} for b in always},
        "dead_always": {block: _share(channels) for block, channels in always.items()},
        "gradient": _gradients(denoiser, spec, images, device),
        "worth": _worth(denoiser, x, labels, targets) if targets is not None and len(labels.unique()) > 1 else {},
    }
    matched = denoiser.network.feature_columns if spec.condition == "feature" else {}
    return found | {"warnings": [_warning(found, b) for b in matched if found["dead_always"][b] > MOST_DEAD]}


def _warning(found: dict[str, Any], block: str) -> str:
    channels = found["channels"][block]
    zero = round(found["dead_always"][block] * channels)
    return (
        f"{block} is dead: {zero} of its {channels} channels are zero at every noise level, so that matching it tells "
        "the network next to nothing; a lower learning rate leaves more alive, or leave it out of matched"
    )


def _share(dead: Tensor) -> float:
    return round(dead.double().mean().item(), 4)


def _chosen(
    denoiser: NetworkDenoiser, images: ImageArchive, spec: TrainSpec, device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Images, their labels and, of a network told features, the mean feature of others of their class."""
    xs: list[Tensor] = []
    labels: list[Tensor] = []
    targets: list[Tensor] = []
    for label, rows in images.rows_by_label().items():
        if len(labels) == CLASSES or not len(rows):
            continue
        few = to_images(images.images[centroids.subset(rows, IMAGES + EXAMPLES, 0, "health", label)]).to(device)
        own = few[: max(1, len(few) * IMAGES // (IMAGES + EXAMPLES))]
        xs.append(own)
        labels.append(torch.full((len(own),), label, device=device))
        if spec.condition == "feature":
            others = few[len(own) :] if len(few) > len(own) else few
            with torch.inference_mode():
                phi = denoiser.features(others, others.new_full((len(others),), denoiser.clean))
            targets.append(phi.float().mean(0).expand(len(own), -1))
    return torch.cat(xs), torch.cat(labels), torch.cat(targets) if targets else None


def _noisy(denoiser: NetworkDenoiser, x: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The images at each level, by its name, with the level (B,)."""
    noise = seeds.Streams(0, [("health", i) for i in range(len(x))], x.device)
    for k, level in enumerate(LEVELS if denoiser.form == "soft" else SIGMAS):
        t = x.new_full((len(x),), level)
        yield f"{level:g}", denoiser.process.corrupt(x, t, noise.normal(k, tuple(x.shape[1:]))), t


@contextmanager
def _outputs(denoiser: NetworkDenoiser, see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Show what each block gives, before its means are moved."""
    hooks = [
        block.register_forward_hook(lambda module, given, out, name=name: see(name, out.detach()))
        for name, block in denoiser.network.blocks.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def _dead(denoiser: NetworkDenoiser, noisy: Tensor, t: Tensor, told: Tensor | None) -> dict[str, Tensor]:
    """Which channels (C,) of each block are zero everywhere."""
    largest: dict[str, Tensor] = {}

    def see(name: str, out: Tensor) -> None:
        top = out.float().abs().amax((0, 2, 3))
        largest[name] = torch.maximum(largest[name], top) if name in largest else top

    with _outputs(denoiser, see):
        for first in range(0, len(noisy), BATCH):
            part = slice(first, first + BATCH)
            denoiser(noisy[part], t[part], None if told is None else told[part])
    return {name: top <= ZERO for name, top in largest.items()}


def _gradients(
    denoiser: NetworkDenoiser, spec: TrainSpec, images: ImageArchive, device: torch.device
) -> dict[str, float]:
    """Norms of the gradient of the training loss by block, the mean over some batches."""
    group = spec.training.partners + 1 if spec.condition == "feature" else 1
    few = {"batch": max(1, BATCH // group) * group, "micro_batch": None}
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=few)})
    objective, batches = loop.Objective(denoiser, spec), Batches(spec, images, device)
    blocks = {name: list(block.parameters()) for name, block in denoiser.network.blocks.items()}
    denoiser.requires_grad_(True)
    total = dict.fromkeys(blocks, 0.0)
    try:
        for k in range(BATCHES):
            denoiser.zero_grad()
            objective(*batches.batch(k)).backward()
            for name, parameters in blocks.items():
                squares = [p.grad.double().square().sum() for p in parameters if p.grad is not None]
                total[name] += sum(squares, torch.zeros((), dtype=torch.float64)).sqrt().item() / BATCHES
    finally:
        denoiser.zero_grad()
        denoiser.requires_grad_(False)
    return {name: float(f"{norm:.4g}") for name, norm in total.items()}


@torch.inference_mode()
def _worth(denoiser: NetworkDenoiser, x: Tensor, labels: Tensor, targets: Tensor) -> dict[str, dict[str, float]]:
    """PSNR under the right target less that under one whose part of the block is of another class."""
    every = {int(y): targets[labels == y][0] for y in labels.unique()}
    following = dict(zip(every, [*list(every)[1:], next(iter(every))], strict=True))
    other = torch.stack([every[following[int(y)]] for y in labels])

    def mean_psnr(noisy: Tensor, t: Tensor, told: Tensor) -> float:
        parts = [slice(first, first + BATCH) for first in range(0, len(x), BATCH)]
        return torch.cat([psnr(denoiser(noisy[p], t[p], told[p]), x[p]) for p in parts]).mean().item()

    found: dict[str, dict[str, float]] = {block: {} for block in denoiser.network.feature_columns}
    for name, noisy, t in _noisy(denoiser, x):
        right = mean_psnr(noisy, t, targets)
        for block, columns in denoiser.network.feature_columns.items():
            wrong = targets.clone()
            wrong[:, columns] = other[:, columns]
            found[block][name] = round(right - mean_psnr(noisy, t, wrong), 4)
    return found


def read(path: Path) -> dict[str, Any]:
    """Read what :func:`write` wrote, checked against its manifest."""
    return artifacts.read_json(path, "health")[0]
