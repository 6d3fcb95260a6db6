"""Where an extractor's weights lie: at the path of the settings, at that of an environment variable, or where the asset
was fetched to. What is found is checked by SHA-256 before any of it is used."""

import hashlib
import os
from pathlib import Path

from featdiff.artifacts import sha256_file
from featdiff.errors import UserError
from featdiff.settings.evaluation import (
    FETCHED,
    INCEPTION_SHA256,
    INCEPTION_URL,
    INCEPTION_VARIABLE,
    Dinov2,
    Inception,
)

DINOV2_VARIABLE = "FEATDIFF_DINOV2"  # names the folder of the weights


def inception_bytes(settings: Inception) -> bytes:
    """The very bytes whose digest was checked."""
    path = Path(settings.weights or os.environ.get(INCEPTION_VARIABLE) or FETCHED)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot read the Inception weights ({error.strerror}). Online, 'featdiff fetch-weights --out "
            f"{FETCHED}' gets them; else bring {INCEPTION_URL} (96 MB, SHA-256 {INCEPTION_SHA256}) here and name its "
            f"place in {INCEPTION_VARIABLE}, with --weights or in evaluation.extractor.weights. {{kind: lite0}} needs "
            "none of it: its weights come with the installation"
        ) from None
    _check(path, hashlib.sha256(data).hexdigest(), settings.sha256, f"fetch {INCEPTION_URL} again")
    return data


def dinov2_folder(settings: Dinov2) -> Path:
    """A folder of a checked ``model.safetensors`` with its ``config.json``."""
    folder = dinov2_place(settings.weights)
    found = sha256_file(folder / "model.safetensors")
    _check(folder / "model.safetensors", found, settings.sha256, "give the digest of the weights that you trust")
    return folder


def dinov2_place(weights: str | None) -> Path:
    """The folder of DINOv2 that is given or that the environment names; refuses one without its two files."""
    place = weights or os.environ.get(DINOV2_VARIABLE)
    folder = Path(place or "")
    if place is None or not all((folder / name).is_file() for name in ("config.json", "model.safetensors")):
        raise UserError(
            f"{place or 'no folder was given'}: the DINOv2 features need a folder with config.json and "
            "model.safetensors, as the model facebook/dinov2-large comes in: name it in evaluation.extractor.weights, "
            f"with --weights or in {DINOV2_VARIABLE}"
        )
    return folder


def _check(path: Path, found: str, wanted: str, remedy: str) -> None:
    if found != wanted:
        raise UserError(f"{path}: its SHA-256 is {found}, but evaluation.extractor.sha256 says {wanted}; {remedy}")
