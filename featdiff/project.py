"""The files that make a folder a project: ``Snakefile``, ``params.yaml`` and ``workflow/``.

In a clone they lie at the root, beside the package. A wheel brings a copy along, so that a project can be started in
any folder, without the clone.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import featdiff
from featdiff.errors import UserError

FILES = ("Snakefile", "params.yaml", "workflow")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")


def files() -> Path:
    """The folder that holds :data:`FILES`: in the installed package, or the root of the clone."""
    package = Path(featdiff.__file__).resolve().parent
    for folder in (package / "files", package.parent):
        if all((folder / name).exists() for name in FILES):
            return folder
    raise UserError(f"{package}: this installation has no workflow files; install featdiff from its wheel or its clone")


def write(folder: Path | str, *, texts: Mapping[str, str] | None = None, moved: Sequence[Path] = ()) -> None:
    """Start a project in ``folder``, which is made if it is missing; other files there stay.

    ``texts`` are files to be written in place of the project's own, by their paths in it, ``moved`` files that go to
    its root. Raises :class:`UserError`, before anything is written, when one of the project's files is there already.
    """
    source, folder = files(), Path(folder)
    check_free(folder, also=[file.name for file in moved])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as aside:
        whole = Path(aside)
        for name in FILES:
            if (source / name).is_dir():
                shutil.copytree(source / name, whole / name, ignore=_LEFT_OUT)
            else:
                shutil.copyfile(source / name, whole / name)
        for path, text in (texts or {}).items():
            (whole / path).write_text(text, encoding="utf-8")
        for file in moved:
            shutil.move(file, whole / file.name)
        for entry in sorted(whole.iterdir()):
            entry.rename(folder / entry.name)


def check_free(folder: Path, *, also: Sequence[str] = ()) -> None:
    """Raise :class:`UserError` when a project, or a file of these names, is in ``folder``."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; nothing was written. Choose another folder")
    if there := [name for name in (*FILES, *also) if (folder / name).exists()]:
        raise UserError(f"{folder}: there is a {there[0]} already; nothing was written. Choose another folder")
