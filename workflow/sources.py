"""The source files a command depends on, found by following imports, so that a changed module reruns what uses it.

What a file imports is kept in ``.featdiff/imports.json`` under the file's digest: reading a hundred syntax trees takes longer
than all else that a run with nothing to do does for itself.

A rule holds one digest of them all as its param ``code``: Snakemake runs a job again when it differs from the one the job ran
with, and need not look at some fifty files for each of a thousand jobs. The ledger gives DVC the files themselves.

``featdiff/cli.py`` holds one function a command, which imports what it needs inside itself. The closure starts from that
function and from the top of ``cli.py``, and follows every import of ``featdiff`` in every file it reaches. Files that are
not Python (templates, style sheets) count with the folder of a module that is reached; files of ``extensions/`` count for all.
"""

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "featdiff"
CLI = Path(PACKAGE, "cli.py")
FILES: dict[str, tuple[str, ...]] = {}  # what each fingerprint was taken of, for the ledger
EXTENSIONS = Path("extensions")  # loaded by every command (featdiff/extending.py)
LOADER = (
    "main"  # of the command line: it loads them by way of all tables, of which a command uses what it imports itself
)
KEPT = Path(".featdiff/imports.json")
REST = ""  # stands for all of a file but the functions of its commands


def fingerprint(rule_file: str, *commands: str) -> str:
    """Names and contents of the files that these commands run as one digest: the param ``code`` of a rule."""
    files = sources(rule_file, *commands)
    content = hashlib.sha256("".join(f"{file}\0{_digest(Path(file))}\n" for file in files).encode())
    name = f"code of {' and '.join(commands)}: {content.hexdigest()[:32]}"
    FILES[name] = tuple(files)
    return name


def sources(rule_file: str, *commands: str) -> list[str]:
    """The files that ``featdiff COMMAND`` runs, and the rule file that calls it, as sorted paths from the root."""
    imports = _Imports()
    found = {CLI, Path(PACKAGE, "__init__.py"), Path("workflow", "rules", rule_file)}
    todo = [file for part in (REST, *commands) for file in imports.of(CLI, part)]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += imports.of(path)
    imports.keep()
    data = {file for folder in {p.parent for p in found if p.name != CLI.name} for file in _package_data(folder)}
    return sorted(path.as_posix() for path in found | data | set(EXTENSIONS.glob("*.py")))


class _Imports:
    """Which files each file imports; what was read once, in this run or an earlier one, is not read again."""

    def __init__(self) -> None:
        self.reader = _digest(Path(__file__))
        self.names = _kept(self.reader)
        self.new = False

    def of(self, path: Path, part: str = REST) -> list[Path]:
        digest = _digest(path)
        if digest not in self.names:
            self.names[digest] = _read(path)
            self.new = True
        parts = self.names[digest]
        if part not in parts:
            raise ValueError(f"{path}: no command is called '{part}'; it has {', '.join(sorted(filter(None, parts)))}")
        return [file for name in parts[part] for file in _files(name)]

    def keep(self) -> None:
        """Write down what is new; a folder that can't be written costs only the time to read again."""
        if self.new:
            part = KEPT.with_name(f"{KEPT.name}.{os.getpid()}")
            with contextlib.suppress(OSError):
                KEPT.parent.mkdir(exist_ok=True)
                part.write_text(json.dumps({"reader": self.reader, "names": self.names}), encoding="utf-8")
                part.replace(KEPT)
            self.new = False


@cache
def _kept(reader: str) -> dict[str, dict[str, list[str]]]:
    """What earlier runs read with this very reader: digest of a file to part of it to the names it imports."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(KEPT.read_text(encoding="utf-8"))
        if found["reader"] == reader:
            return dict(found["names"])
    return {}


def _digest(path: Path) -> str:
    status = path.stat()
    return _sha256(path, status.st_mtime_ns, status.st_size)


@cache
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Of a file as it was then; the commands share most of their files."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> dict[str, list[str]]:
    """The modules of the package that a file imports anywhere; those in functions of commands by the command's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    functions = [n for n in tree.body if path == CLI and isinstance(n, ast.FunctionDef)]
    commands = [n for n in functions if n.decorator_list]
    apart = [*commands, *(n for n in functions if n.name == LOADER)]
    found = {REST: [name for node in tree.body if node not in apart for name in _imports(node, path)]}
    for node in commands:
        name = _command_name(node)
        if name in found:
            raise ValueError(f"{path}:{node.lineno}: two commands are called '{name}'; a rule needs exactly one")
        found[name] = list(_imports(node, path))
    return found


def _command_name(function: ast.FunctionDef) -> str:
    """The name typer gives a function: the decorator's first argument, or its own name with dashes."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and decorator.args and isinstance(decorator.args[0], ast.Constant):
            return str(decorator.args[0].value)
    return function.name.replace("_", "-")


def _imports(tree: ast.AST, path: Path) -> Iterator[str]:
    """The modules of ``featdiff`` that the imports anywhere inside ``tree`` may mean."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names: Iterable[str] = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: relative import; write it in full, the workflow follows it")
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, at any depth. No expression holds an import, so none is walked through."""
    yield tree
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, block, None) or ():
            if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from _statements(node)


@cache
def _files(module: str) -> tuple[Path, ...]:
    """A module of ``featdiff`` as its file, with the ``__init__.py`` of each package above it."""
    parts = module.split(".")
    above = [Path(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return tuple(path for path in (*above, Path(*parts).with_suffix(".py")) if path.is_file())


@cache
def _package_data(folder: Path) -> tuple[Path, ...]:
    """Templates and the like in a folder of the package; nothing that tools leave behind."""
    if folder.parts[0] != PACKAGE or len(folder.parts) == 1:
        return ()
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".py")
    return tuple(p for p in files if not any(part[0] == "." or part == "__pycache__" for part in p.parts))
