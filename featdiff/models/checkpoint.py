"""Checkpoints: weights in safetensors, with the manifest and the data's description in the header; no pickled code."""

import json
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from featdiff import artifacts
from featdiff.artifacts import Manifest
from featdiff.errors import UserError
from featdiff.networks.build import build
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.settings.base import parse
from featdiff.settings.training import TrainSpec


class DataDescription(BaseModel):
    """What a network must know of the images it was trained on; ``mean`` and ``std`` are of pixels in [0, 1]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[str, ...]
    channels: int
    size: int
    mean: float
    std: float


class Checkpoint(BaseModel):
    """A trained denoiser with all that is known about it."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    denoiser: NetworkDenoiser
    spec: TrainSpec
    data: DataDescription
    made: Manifest


def new_denoiser(spec: TrainSpec, data: DataDescription) -> NetworkDenoiser:
    """An untrained denoiser of this specification, its first weights fixed by the seed.

    Raises :class:`UserError` when the network can't halve images of that size.
    """
    if data.size % spec.network.factor:
        raise UserError(
            f"images of {data.size} pixels do not fit this network, whose smallest scale is 1/{spec.network.factor} of "
            f"them: choose a multiple of {spec.network.factor}, or fewer widths"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return build(
            spec.network,
            condition=spec.condition,
            classes=len(data.classes),
            channels=data.channels,
            size=data.size,
            corruption=spec.corruption,
            clean_partners=spec.training.clean_targets,
            data_mean=data.mean,
            data_std=data.std,
        )


def write(path: Path | str, weights: dict[str, Tensor], data: DataDescription, made: Manifest) -> None:
    """Write weights atomically."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    header = data.model_dump_json()
    made = made.sealed(_digest(weights, header))
    with artifacts.atomic(path) as aside:
        # one key: safetensors writes several in an order that changes from run to run
        note = json.dumps({"data": header, "manifest": made.model_dump_json()})
        aside.write_bytes(save(weights, metadata={"featdiff": note}))


def read(path: Path | str) -> Checkpoint:
    """Read a checkpoint, check it against its manifest and build its denoiser (evaluation mode, on the CPU).

    Raises :class:`UserError` when the file is missing or damaged, or does not fit the network it describes.
    """
    weights, header, manifest = read_tensors(path)
    made = artifacts.parse_manifest(path, manifest, "checkpoint", _digest(weights, header))
    data = DataDescription.model_validate_json(header)
    spec = parse(TrainSpec, made.settings, str(path))
    denoiser = new_denoiser(spec, data)
    try:
        denoiser.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{path}: its weights do not fit the network it describes: {error}") from None
    return Checkpoint(denoiser=denoiser.eval().requires_grad_(False), spec=spec, data=data, made=made)


def made_by(path: Path, made: Manifest) -> bool:
    """Whether ``path`` holds a whole checkpoint that ``made`` describes."""
    try:
        return path.exists() and read(path).made.unsealed() == made
    except UserError:
        return False


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], str, str]:
    """Tensors and the texts ``data`` and ``manifest`` of a safetensors file's header."""
    try:
        with safe_open(path, "pt") as stream:
            note = json.loads((stream.metadata() or {})["featdiff"])
            return {name: stream.get_tensor(name) for name in stream.keys()}, note["data"], note["manifest"]  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, TypeError, OSError, RuntimeError) as error:
        raise artifacts.unreadable(path, error) from None


def _digest(weights: dict[str, Tensor], header: str) -> str:
    return artifacts.digest({**tensor_bytes(weights), "data description": str(header).encode()})


def tensor_bytes(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    """Type, shape and values of tensors on the CPU as bytes, for a digest."""
    return {
        name: json.dumps([str(t.dtype), list(t.shape)]).encode() + t.reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, t in tensors.items()
    }
