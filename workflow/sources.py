"""The source files a command depends on, found by following imports, so that a changed module reruns what uses it.

A rule holds one digest of them all as its param ``code``: Snakemake runs a job again when it differs from the one the job ran
with, and need not look at some fifty files for each of a thousand jobs. The ledger gives DVC the files themselves.

``featdiff/cli.py`` holds one function a command, which imports what it needs inside itself. The closure starts from that
function and from the top of ``cli.py``, and follows every import of ``featdiff`` in every file it reaches. Files that are
not Python (templates, style sheets) count with the folder of a module that is reached.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "featdiff"
CLI = Path(PACKAGE, "cli.py")
FILES: dict[str, tuple[str, ...]] = {}  # what each fingerprint was taken of, for the ledger


def fingerprint(rule_file: str, *commands: str) -> str:
    """Names and contents of the files that these commands run as one digest: the param ``code`` of a rule."""
    files = sources(rule_file, *commands)
    content = hashlib.sha256()
    for file in files:
        status = Path(file).stat()
        content.update(f"{file}\0{_sha256(file, status.st_mtime_ns, status.st_size)}\n".encode())
    name = f"code of {' and '.join(commands)}: {content.hexdigest()[:32]}"
    FILES[name] = tuple(files)
    return name


@cache
def _sha256(file: str, mtime_ns: int, size: int) -> str:
    """Of a file as it was then; many commands share most of their files."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def sources(rule_file: str, *commands: str) -> list[str]:
    """The files that ``featdiff COMMAND`` runs, and the rule file that calls it, as sorted paths from the root."""
    found = {CLI, Path(PACKAGE, "__init__.py"), Path("workflow", "rules", rule_file)}
    todo = [m for command in commands for node in _command_nodes(command) for m in _imports(node, CLI)]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _imports_of(path)
    data = {file for folder in {p.parent for p in found if p.name != CLI.name} for file in _package_data(folder)}
    return sorted(path.as_posix() for path in found | data)


@cache
def _imports_of(path: Path) -> tuple[Path, ...]:
    return tuple(_imports(_tree(path), path))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _command_nodes(command: str) -> list[ast.stmt]:
    """All of ``cli.py`` but the functions of the other commands."""
    functions = [node for node in _tree(CLI).body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    wanted = [node for node in functions if _command_name(node) == command]
    if len(wanted) != 1:
        raise ValueError(f"{CLI}: {len(wanted)} commands are called '{command}'; a rule needs exactly one")
    return [node for node in _tree(CLI).body if node not in functions or node in wanted]


def _command_name(function: ast.FunctionDef) -> str:
    """The name typer gives a function: the decorator's first argument, or its own name with dashes."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and decorator.args and isinstance(decorator.args[0], ast.Constant):
            return str(decorator.args[0].value)
    return function.name.replace("_", "-")


def _imports(tree: ast.AST, path: Path) -> Iterator[Path]:
    """The files of ``featdiff`` that the imports anywhere inside ``tree`` run."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names: Iterable[str] = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: relative import; write it in full, the workflow follows it")
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _files(name)


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
    if parts[0] != PACKAGE:
        return ()
    above = [Path(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return tuple(path for path in (*above, Path(*parts).with_suffix(".py")) if path.is_file())


@cache
def _package_data(folder: Path) -> tuple[Path, ...]:
    """Templates and the like in a folder of the package; nothing that tools leave behind."""
    if folder.parts[0] != PACKAGE or len(folder.parts) == 1:
        return ()
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".py")
    return tuple(p for p in files if not any(part[0] == "." or part == "__pycache__" for part in p.parts))
