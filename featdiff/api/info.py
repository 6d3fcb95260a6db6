"""What an artifact is, for people."""

from pathlib import Path
from typing import Any

import yaml

from featdiff import artifacts
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.models import checkpoint
from featdiff.training import health
from featdiff.versions.verify import manifest_of

IMAGES = ("dataset", "samples", "shard", "between")


def describe(file: Path) -> str:
    """What is in an artifact and what made it, as YAML, after its content was checked.

    Raises :class:`UserError` for a file that is missing, damaged, or none of featdiff's.
    """
    if not file.is_file():
        raise UserError(f"{file}: {'is a folder; name a file in it' if file.is_dir() else 'no such file'}")
    made = manifest_of(file)
    if made is None:
        raise UserError(f"{file}: not a file that featdiff made: it carries no manifest")
    told: dict[str, Any] = {"file": str(file), "kind": made.kind, "whole": True, **_content(file, made.kind)}
    told |= {"settings": made.settings, "made from (SHA-256)": made.inputs}
    told |= {"featdiff": f"{made.featdiff}, code {made.code}", "libraries": made.libraries}
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120)


def _content(file: Path, kind: str) -> dict[str, Any]:
    if kind in IMAGES:
        found = archive.read(file, kind)
        counts = found.index.groupby(["split", "class"], sort=False).size()
        return {
            "images": len(found.images),
            "shape": [int(side) for side in found.images.shape[1:]],
            "counts": {f"{split}/{name}": int(count) for (split, name), count in counts.items()},
        }
    if kind == "checkpoint":
        trained = checkpoint.read(file)
        parameters = sum(p.numel() for p in trained.denoiser.parameters())
        told = {"parameters": parameters, "condition": trained.spec.condition, **trained.data.model_dump(mode="json")}
        return told | _health_beside(file)
    if kind == "health":
        return health.read(file)
    if kind == "centroids":
        table = centroids.read(file)
        return {"classes": list(table.classes), "levels": len(table.sigmas), "dimension": table.values.shape[-1]}
    return {}


def _health_beside(model: Path) -> dict[str, Any]:
    """Of a checkpoint whose blocks were looked at (``featdiff health``): how many channels are dead, and warnings."""
    beside = model.with_name("health.json")
    if not beside.is_file():
        return {}
    found, made = artifacts.read_json(beside, "health")
    if made.inputs["checkpoint"] != artifacts.sha256_file(model):
        return {}
    return {"dead channels": found["dead_always"], **({"warnings": found["warnings"]} if found["warnings"] else {})}
