"""Re-hash artifacts: against the manifest each carries, against the inputs that lie beside it, and against
``dvc.lock``."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from featdiff import artifacts
from featdiff.artifacts import Manifest
from featdiff.errors import UserError
from featdiff.versions.dvcfile import DVC_FILE
from featdiff.versions.graph import need_root
from featdiff.versions.lock import CODE, Lock, read

KINDS = {
    "dataset.zip": "dataset",
    "samples.zip": "samples",
    "features.npz": "features",
    "centroids.npz": "centroids",
    "denoising.json": "denoising",
    "evaluation": "evaluation",
    "study.json": "mixture",
    "pictures.npz": "mixture pictures",
    "figures.zip": "mixture figures",
}  # by the name of the file, or of its folder; any other file is of the kind it names
METRICS = "metrics.json"
TABLES = ("quality", "denoising", "scatter", "distances")


@dataclass(frozen=True)
class Verdict:
    """One artifact: what it is, and what is wrong with it (nothing, when it is whole)."""

    path: str
    what: str
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'WRONG' if self.wrong else 'ok':5}  {self.path}  ({self.what})" + "".join(
            f"\n         {line}" for line in self.wrong
        )


def verify() -> list[Verdict]:
    """Every output of ``dvc.yaml``, in its order."""
    need_root()
    try:
        stages = yaml.safe_load(DVC_FILE.read_text(encoding="utf-8"))["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{DVC_FILE} cannot be read ({error}); run 'featdiff ledger write'") from None
    checker = Checker({file for stage in stages.values() for file in _outputs(stage)}, read())
    return [checker.verdict(file, stage.get("deps", [])) for stage in stages.values() for file in _outputs(stage)]


def _outputs(stage: dict[str, Any]) -> list[str]:
    return [file for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, []) for file in entry]


class Checker:
    """Knows which files stages make and what is recorded of them; hashes each input once."""

    def __init__(self, made: set[str], recorded: Lock) -> None:
        self.made = made
        self.recorded = recorded
        self.sha256 = cache(artifacts.sha256_file)

    def verdict(self, file: str, deps: list[str]) -> Verdict:
        if not Path(file).is_file():
            return Verdict(
                file, "missing", ("there is no such file: run the pipeline, or 'dvc pull' or 'dvc checkout'",)
            )
        notes, wrong = self.content(file, deps)
        digest = self.recorded.outputs.get(file)
        if digest is None:
            notes.append("not recorded")
        elif digest == md5_file(file):
            notes.append("as recorded")
        else:
            wrong.append("is not what dvc.lock records: 'featdiff ledger record' a new one, 'dvc checkout' the old one")
        return Verdict(file, ", ".join(notes), tuple(wrong))

    def content(self, file: str, deps: list[str]) -> tuple[list[str], list[str]]:
        """What a file is, and what is wrong with it by its manifest."""
        try:
            manifest = manifest_of(file)
        except UserError as error:
            return [], [str(error).removeprefix(f"{file}: ")]
        if manifest is None:
            return ["carries no manifest"], []
        return [manifest.kind, f"{len(manifest.inputs)} inputs"], list(self.false_inputs(manifest, deps))

    def false_inputs(self, manifest: Manifest, deps: list[str]) -> Iterator[str]:
        """Where a manifest does not tell what lies beside it: inputs that are not there, and the other way round."""
        inputs = [path for path in deps if path in self.made or not path.startswith(CODE)]
        present = {self.sha256(path): path for path in _files(inputs)}
        if not inputs:  # packaged images, or none
            return
        for name, digest in manifest.inputs.items():
            if digest not in present:
                yield (
                    f"its manifest says that it was made from '{name}' {digest[:12]}..., which is "
                    "none of its inputs now"
                )
        for digest, path in present.items():
            if path in self.made and not path.endswith(".csv") and digest not in manifest.inputs.values():
                yield f"its manifest does not name its input {path} as it is now ({digest[:12]}...)"


def _files(paths: Iterable[str]) -> Iterator[str]:
    """Each file that is there, and each file of a folder."""
    for path in map(Path, paths):
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file.as_posix() for file in found if file.is_file())


def manifest_of(path: Path | str) -> Manifest | None:
    """The manifest of an artifact after all of its content was checked against it; ``None`` for a file without one.

    Raises :class:`UserError` for a file that is damaged, or another thing than its name says.
    """
    path = Path(path)
    kind = KINDS.get(path.name) or KINDS.get(path.parent.name)
    if path.suffix in (".zip", ".npz"):
        with artifacts.opened(path, kind or artifacts.kind_of(path)) as members:
            members.check()
        return members.made
    if path.suffix == ".safetensors":
        from featdiff.models import checkpoint

        return checkpoint.read(path).made
    if path.suffix == ".json":
        return _metrics_manifest(path) if path.name == METRICS else artifacts.read_json(path, kind or _named(path))[1]
    return None


def _named(path: Path) -> str:
    """The kind that a JSON artifact names."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["manifest"]["kind"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run the pipeline again") from None


def _metrics_manifest(path: Path) -> Manifest:
    """The manifest of ``metrics.json``, whose content is that file and the tables beside it."""
    from featdiff.evaluation.collect import read_metrics

    return read_metrics(path, {name: path.parent / "tables" / f"{name}.csv" for name in TABLES})


def md5_file(path: Path | str) -> str:
    """MD5 of a file, which is what DVC records."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
