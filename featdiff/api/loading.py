"""Find a trained model: in a results folder, beside a checkpoint, in an exported folder, or on the hub."""

import json
import re
from pathlib import Path
from typing import Any

import torch

from featdiff import artifacts
from featdiff.api.model import DEFAULT, Files, Model
from featdiff.api.preparation import Preparation, of_layout
from featdiff.errors import UserError
from featdiff.models import checkpoint
from featdiff.models.guided import Source
from featdiff.sampling import corrupted
from featdiff.settings.base import parse
from featdiff.settings.sampling import Sampling

CHECKPOINT, CENTROIDS, LEVELS, CONFIG = "checkpoint.safetensors", "centroids.npz", "levels.npz", "config.json"
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


def load(where: Path | str = "results", *, model: str | None = None, device: torch.device | str | None = None) -> Model:
    """Load a trained model.

    ``where`` is a results folder, a checkpoint (its ``centroids.npz`` lies beside it), a folder that
    :meth:`Model.export` wrote, or the name of one on the Hugging Face hub, ``owner/name``. ``model`` names one of
    several in a results folder: by default the one that is led by features. ``device`` is a GPU where there is one.

    Raises :class:`featdiff.errors.UserError` when there is no model, or more than one to choose from.
    """
    from featdiff import extending
    from featdiff.devices.devices import pick_device

    extending.load()
    path = Path(where)
    files = _files(path, str(where), model)
    return Model(files, torch.device(device) if device else pick_device())


def _files(path: Path, where: str, model: str | None) -> Files:
    if path.is_file():
        return _beside(path, path.parent.name)
    if (path / CONFIG).is_file():
        return _exported(path)
    if (path / "models").is_dir():
        return _of_results(path, model)
    if (path / CHECKPOINT).is_file():
        return (
            _of_results(path.parent.parent, path.name)
            if path.parent.name == "models"
            else _beside(path / CHECKPOINT, path.name)
        )
    if path.exists():
        raise UserError(f"{path}: holds no model: there is neither {CONFIG}, nor models/, nor {CHECKPOINT} in it")
    if _HUB.fullmatch(where):
        return _exported(_fetched(where))
    raise UserError(
        f"{path}: no such file or folder; name a results folder ('make run' makes one), a checkpoint, an exported "
        "folder, or a model of the hub as owner/name"
    )


def _beside(file: Path, name: str) -> Files:
    """A checkpoint alone, and what lies beside it."""
    table, levels = (file.parent / other for other in (CENTROIDS, LEVELS))
    source = Source(file, table if table.is_file() else None)
    return Files(source, levels if levels.is_file() else None, name=name)


def _exported(folder: Path) -> Files:
    """A folder that :meth:`Model.export` wrote."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        values = {key: config[key] for key in ("checkpoint", "centroids", "levels", "sampling", "layout", "name")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CONFIG}: not the description of an exported model ({error})") from None
    files = [None if values[key] is None else folder / values[key] for key in ("checkpoint", "centroids", "levels")]
    return Files(
        Source(folder / values["checkpoint"], files[1]),
        files[2],
        parse(Sampling, values["sampling"], str(folder / CONFIG)),
        Preparation() if values["layout"] is None else of_layout(values["layout"]),
        name=values["name"],
    )


def _of_results(results: Path, model: str | None) -> Files:
    """A model of a run."""
    found = sorted(path.parent.name for path in results.glob(f"models/*/{CHECKPOINT}"))
    led = [name for name in found if (results / "models" / name / CENTROIDS).is_file()]
    wanted = [model] if model else (led or found)
    if len(wanted) != 1 or wanted[0] not in found:
        what = f"no model '{model}'" if model else f"{len(wanted)} models to choose from"
        raise UserError(f"{results}: {what}; name one of: {', '.join(found) or '(none is trained)'}")
    folder = results / "models" / wanted[0]
    source = Source(folder / CHECKPOINT, folder / CENTROIDS if wanted[0] in led else None)
    trained = checkpoint.read(source.checkpoint)
    levels = None
    if trained.spec.corruption is not None:
        levels = next((path for path in sorted(results.glob("levels/*/*.npz")) if _belongs(path, trained)), None)
    return Files(
        source,
        levels,
        _sampling(results, wanted[0]),
        _preparation(results, trained.made.inputs.get("dataset", "")),
        results,
        wanted[0],
    )


def _belongs(levels: Path, trained: Any) -> bool:
    try:
        corrupted.read_for(levels, trained)
    except UserError:
        return False
    return True


def _sampling(results: Path, model: str) -> Sampling:
    """How the run sampled from the model: plainly, if it did that as well."""
    rows = []
    for path in sorted(results.glob("samples/*/samples.zip")):
        made = artifacts.zip_manifest(path)
        if made.settings.get("model") == model:
            rows.append(parse(Sampling, made.settings, str(path)))
    rows.sort(key=lambda row: abs(getattr(row.guidance, "strength", 1.0) - 1.0))
    return rows[0] if rows else DEFAULT


def _preparation(results: Path, dataset: str) -> Preparation:
    """How the images that the model was trained on were made."""
    for path in sorted(results.glob("data/*/dataset.zip")):
        if artifacts.sha256_file(path) == dataset:
            layout = artifacts.zip_manifest(path).settings.get("layout")
            return Preparation() if layout is None else of_layout(layout)
    return Preparation()


def _fetched(name: str) -> Path:
    """The folder of a model of the hub, from its cache or its network."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(f"{name}: to load from the hub: pip install huggingface_hub") from None
    try:
        return Path(snapshot_download(name))
    except Exception as error:
        raise UserError(
            f"{name}: no such folder here, and not to be had from the hub ({type(error).__name__}: {error})"
        ) from None
