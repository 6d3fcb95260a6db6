"""Resume states: all that a training run needs to go on bit for bit, in one safetensors file outside declared outputs.

The file's folder is named after a digest of what determines the run (settings, data, code), so a state is never taken
up by another run, and survives whatever a workflow engine does to the outputs of a failed job. A damaged state is told
and left behind: training starts afresh, which costs time and changes nothing.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from featdiff import artifacts
from featdiff.artifacts import Manifest
from featdiff.models.checkpoint import tensor_bytes

FILE = "state.safetensors"
NOTE = "run.json"  # what the state belongs to
SHOWN = 4  # differences that are named


def folder(root: Path | str, made: Manifest) -> Path:
    """The state folder of the run that ``made`` describes."""
    return Path(root) / artifacts.digest({"manifest": _determining(made).encode()})[:16]


def _determining(made: Manifest) -> str:
    """What a run's bits depend on: settings, data, code and libraries; not what its version is called."""
    return made.model_copy(update={"featdiff": ""}).model_dump_json()


def describe(path: Path, made: Manifest, code: dict[str, str]) -> None:
    """Write beside a state what it belongs to: the run's manifest, and the digest of each definition that it runs."""
    artifacts.write_text(path / NOTE, json.dumps({"manifest": made.model_dump(), "code": code}) + "\n")


def unlike(root: Path, made: Manifest, code: dict[str, str]) -> list[str]:
    """What to tell where a run finds no state of its own, but a state of a run on the same data that differs from
    it."""
    found = []
    for note in root.glob(f"*/{NOTE}"):
        try:
            told = json.loads(note.read_text(encoding="utf-8"))
            other = Manifest.model_validate(told["manifest"])
        except (OSError, ValueError, KeyError):
            continue
        if other.inputs == made.inputs and (note.parent / FILE).is_file():
            found.append((_differences(other, made, told["code"], code), note.parent))
    if not found:
        return []
    names, kept = min(found, key=lambda pair: len(pair[0]))
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return [f"training starts afresh: the nearest state, kept in {kept}, is of a run that differs in {shown}"]


def _differences(other: Manifest, made: Manifest, before: dict[str, str], code: dict[str, str]) -> list[str]:
    """The settings, libraries and definitions in which two runs differ."""
    old, new = ({**dict(_flat(m.settings, "")), **m.libraries} for m in (other, made))
    names = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return names + [key for key in sorted({*before, *code}) if before.get(key) != code.get(key)]


def _flat(values: object, above: str) -> Iterator[tuple[str, object]]:
    if not isinstance(values, dict):
        yield above, values
        return
    for key, value in values.items():
        yield from _flat(value, f"{above}.{key}" if above else str(key))


class State(NamedTuple):
    """What a state file holds."""

    step: int
    tensors: dict[str, Tensor]


def save_state(
    path: Path,
    *,
    step: int,
    model: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    losses: Tensor,
) -> None:
    """Write the state after ``step`` steps, atomically; ``losses`` (step,) are the losses of all steps so far."""
    tensors = {f"model/{n}": t for n, t in model.state_dict().items()}
    tensors |= {f"average/{n}": t for n, t in average.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items()}
    tensors["losses"] = losses
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one key: safetensors writes several in an order that changes from run to run
    with artifacts.atomic(path / FILE) as aside:
        aside.write_bytes(save(plain, metadata={"state": json.dumps({"step": step, "digest": _digest(step, plain)})}))


def read_state(
    path: Path, model: nn.Module | None = None, *, tell: Callable[[str], None] | None = None
) -> State | None:
    """The state in ``path``, of ``model`` if one is given; None when there is no whole one, so that training starts
    afresh: ``tell`` is told why, too."""
    try:
        whole = (path / FILE).read_bytes()  # at once: safe_open opens a file twice, and a writer may come in between
        header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
        note = json.loads(header["__metadata__"]["state"])
        state = State(int(note["step"]), load(whole))
        if note["digest"] != _digest(*state):
            raise ValueError("its content is not what was written")
        if model is not None and _shapes(_under("model/", state.tensors)) != _shapes(model.state_dict()):
            raise ValueError("it is of another network")
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        words = f"{path / FILE}: {error}; training starts afresh"
        print(words, file=sys.stderr)
        if tell is not None:
            tell(words)
        return None
    return state


def take_up(state: State, *, model: nn.Module, average: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
    """Give model, average and optimizer the values of ``state``; returns the losses so far."""
    model.load_state_dict(_under("model/", state.tensors))
    for name, value in _under("average/", state.tensors).items():
        average[name].copy_(value)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in _under("optimizer/", state.tensors).items():
        index, name = key.split("/")
        states.setdefault(int(index), {})[name] = _laid_out_like(trained[int(index)], value)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return state.tensors["losses"]


def _digest(step: int, tensors: dict[str, Tensor]) -> str:
    return artifacts.digest({**tensor_bytes(tensors), "step": str(step).encode()})


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """``value`` in the memory format of its parameter: a fused optimizer walks through both in the order of memory."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
