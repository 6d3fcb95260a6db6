"""The files that make a folder a project: ``Snakefile``, ``params.yaml`` and ``workflow/``.

In a clone they lie at the root, beside the package. A wheel brings a copy along, so that a project can be started in
any folder, without the clone.
"""

import shutil
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


def write(folder: Path | str) -> None:
    """Start a project in ``folder``, which is made if it is missing; other files there stay.

    Raises :class:`UserError`, before anything is written, when one of the project's files is there already.
    """
    source, folder = files(), Path(folder)
    if there := [name for name in FILES if (folder / name).exists()]:
        raise UserError(f"{folder}: there is a {there[0]} already; nothing was written. Choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, ignore=_LEFT_OUT)
        else:
            shutil.copyfile(source / name, folder / name)
