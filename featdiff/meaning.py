"""What code means: the definitions that a command can reach, each as a digest of its syntax tree.

A comment, a docstring, a line break or the words of a message change no result, and no digest. What a function reaches
is followed by names: through imports at any depth, attributes of modules, re-exports. A name that can't be followed
stands for all of its module; so a digest may change when no result does, and not the other way round. Values that are
looked up while the program runs (``getattr``, a name in a string) are not followed: the package has its tables written
out for that reason. One package is passed by, because it only watches (:data:`ASIDE`); tests hold it to that.

Nothing here imports what it reads, and all that was read once is kept under the digest of its file (:data:`KEPT`).
"""

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "featdiff"
INSTALLED = Path(__file__).resolve().parent  # the package that runs
KEPT = Path(".featdiff/meaning.json")
EFFECTS = ""  # stands for what a module does when it is imported
WHOLE = "*"  # stands for all of a module
SPOKEN = {"print", "tqdm", "echo", "write", "warn", "set_postfix", "set_description"}  # calls whose words people read
ASIDE = f"{PACKAGE}.watching"  # is told how things go and gives nothing back: no digest depends on it
WORDS = {"help", "description", "title", "examples", "rich_help_panel"}  # arguments that people read

EXTENDING = f"{PACKAGE}.extending"
LOADED: list[Path] = []  # files from outside the package that this process runs

Node = tuple[str, str]
"""A module and the name of a definition in it."""


def root() -> Path:
    """The folder of the sources: of the clone that this is the root of, or of the installed package."""
    here = Path.cwd() / PACKAGE
    return here if (here / "meaning.py").is_file() else INSTALLED


def closure(module: str, name: str) -> dict[str, str]:
    """The digests of all that ``name`` of ``module`` can reach, itself among them, by MODULE:NAME.

    A name that the module imports stands for what it was imported from. Raises :class:`ValueError` when there is no
    such name.
    """
    code = _Code()
    read = code.read(module)
    if name not in read["names"] and name not in read["imports"]:
        raise ValueError(f"{module} has no definition '{name}'")
    return reached(code.at(f"{module}.{name}"))


def reached(nodes: Iterable[Node]) -> dict[str, str]:
    """The digests of all that these definitions can reach."""
    code = _Code()
    found: dict[str, str] = {}
    todo = list(nodes)
    seen: set[Node] = set()
    while todo:
        node = todo.pop()
        if node in seen or _aside(node):
            continue
        seen.add(node)
        todo += code.beyond(node)
        if digest := code.digest(node):
            found[":".join(node).rstrip(":")] = digest  # of what a module does by itself: the module alone
    code.keep()
    for folder in {code.file(module).parent for module, _ in seen} - {code.root}:
        for path in _package_data(folder, code.root):
            found[path.relative_to(code.root).as_posix()] = _sha256(path.read_bytes())
    return found


def _aside(node: Node) -> bool:
    return f"{node[0]}.".startswith(f"{ASIDE}.")


def with_outside(parts: dict[str, str], files: Iterable[Path]) -> dict[str, str]:
    """A closure with the files from outside the package that add to what it holds: see :mod:`featdiff.extending`.

    Such a file counts where the closure has one of the classes that it imports to extend, and then as a whole, with all
    that it reaches.
    """
    found, code = dict(parts), _Code()
    for path in sorted(files):
        tree = ast.parse(path.read_bytes())
        read = _Reader(path.stem, tree, code)
        bases = [other for target in read.imports.values() if target.startswith(EXTENDING) for other in code.at(target)]
        if not bases or any(":".join(base) in parts for base in bases):
            inner = [
                pair for node in ast.walk(tree) if isinstance(node, ast.stmt) for pair in _imported(node, path.stem)
            ]
            found |= reached(n for _, target in inner if not target.startswith(EXTENDING) for n in code.at(target))
            found[f"extensions/{path.name}"] = _sha256(_plain(tree).encode())
    return found


def code_of(function: Callable[..., Any]) -> str:
    """The digest of the closure of a function of the package, and of what was loaded from outside: a manifest's
    ``code``."""
    return digest(parts_of(function))


def parts_of(function: Callable[..., Any]) -> dict[str, str]:
    """The closure of a function of the package, with what was loaded from outside."""
    return with_outside(closure(function.__module__, function.__qualname__), LOADED)


def digest(parts: dict[str, str]) -> str:
    """One digest of a closure."""
    return _sha256("".join(f"{name}\0{parts[name]}\n" for name in sorted(parts)).encode())[:32]


def rule_text(path: Path) -> str:
    """A digest of a rule file without its comments and without what changes no result: messages, logs, resources."""
    kept, skipping = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        words, indent = line.split("#")[0].strip(), len(line) - len(line.lstrip())
        if indent <= 4 and words:
            skipping = indent == 4 and words.split(":")[0] in _ASIDE
        if words and not skipping:
            kept.append(words)
    return _sha256("\n".join(kept).encode())


_ASIDE = ("message", "log", "benchmark", "threads", "resources", "priority")


class _Code:
    """The package's modules as graphs of their definitions; what was read once is not read again."""

    def __init__(self) -> None:
        self.reader = _sha256(Path(__file__).read_bytes())
        self.known = _kept(self.reader)
        self.new = False
        self.root = root()
        self.modules: dict[str, dict[str, Any]] = {}

    def read(self, module: str) -> dict[str, Any]:
        """Of a module: ``names`` (digest and references of each definition) and ``imports`` (where other names
        lead)."""
        if module not in self.modules:
            content = self.file(module).read_bytes()
            key = f"{module}:{_sha256(content)}"
            if key not in self.known:
                self.known[key] = _Reader(module, ast.parse(content), self).found()
                self.new = True
            self.modules[module] = self.known[key]
        return self.modules[module]

    def file(self, module: str) -> Path:
        """The file of a module of the package; it need not be there."""
        parts = module.split(".")[1:]
        package = self.root.joinpath(*parts, "__init__.py")
        return package if package.is_file() or not parts else self.root.joinpath(*parts).with_suffix(".py")

    def is_module(self, module: str) -> bool:
        return module.split(".")[0] == PACKAGE and self.file(module).is_file()

    def module_of(self, path: str) -> str:
        """The module that an import of this path loads."""
        return path if self.is_module(path) else path.rpartition(".")[0]

    def digest(self, node: Node) -> str:
        module, name = node
        names = self.read(module)["names"]
        if name == WHOLE or node == (PACKAGE, "__version__"):
            return ""
        return str(names[name][0]) if name in names else ""

    def beyond(self, node: Node) -> Iterator[Node]:
        """What a definition reaches in one step, and what importing its module does."""
        module, name = node
        read = self.read(module)
        yield module, EFFECTS
        if name == EFFECTS:
            yield from ((other, EFFECTS) for other in read["loads"])
        if name == WHOLE:
            yield from ((module, other) for other in read["names"])
        elif name in read["names"]:
            for path in read["names"][name][1]:
                yield from self.resolve(module, path, read["names"][name][2])

    def resolve(self, module: str, path: str, own: dict[str, str]) -> Iterator[Node]:
        """The nodes that a dotted name means in a module; ``own`` are names that the definition imports itself."""
        first, _, rest = path.partition(".")
        read = self.read(module)
        target = own.get(first) or (None if first in read["names"] else read["imports"].get(first))
        if target is not None:
            yield from self.at(f"{target}.{rest}" if rest else target)
        elif first in read["names"]:
            yield module, first

    def at(self, path: str) -> Iterator[Node]:
        """The node at an absolute dotted path: a definition of the longest prefix that is a module."""
        parts = path.split(".")
        for count in range(len(parts), 0, -1):
            module = ".".join(parts[:count])
            if not self.is_module(module):
                continue
            if count == len(parts):
                yield module, WHOLE if module != PACKAGE else EFFECTS
                return
            name, read = parts[count], self.read(module)
            if name in read["names"]:
                yield module, name
            elif name in read["imports"]:
                yield from self.at(".".join([read["imports"][name], *parts[count + 1 :]]))
            else:
                yield module, WHOLE
            return

    def keep(self) -> None:
        """Write down what is new; a folder that can't be written costs only the time to read again."""
        if self.new:
            part = KEPT.with_name(f"{KEPT.name}.{os.getpid()}")
            with contextlib.suppress(OSError):
                KEPT.parent.mkdir(exist_ok=True)
                part.write_text(json.dumps({"reader": self.reader, "known": self.known}), encoding="utf-8")
                part.replace(KEPT)
            self.new = False


@cache
def _kept(reader: str) -> dict[str, Any]:
    """What earlier runs read with this very reader."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(KEPT.read_text(encoding="utf-8"))
        if found["reader"] == reader:
            return dict(found["known"])
    return {}


class _Reader:
    """Takes a module apart."""

    def __init__(self, module: str, tree: ast.Module, code: _Code):
        self.module, self.code = module, code
        self.imports: dict[str, str] = {}
        self.parts: dict[str, list[ast.stmt]] = {EFFECTS: []}
        for statement in tree.body[1:] if _is_docstring(tree.body[:1]) else tree.body:
            self.sort(statement)

    def sort(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.imports |= dict(_imported(statement, self.module))
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.parts.setdefault(statement.name, []).append(statement)
        elif names := _assigned(statement):
            for name in names:
                self.parts.setdefault(name, []).append(statement)
        elif not _is_main_block(statement):
            self.parts[EFFECTS].append(statement)
            for inner in ast.walk(statement):  # names that it makes, and imports inside try and if
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    self.imports |= dict(_imported(inner, self.module))

    def found(self) -> dict[str, Any]:
        names = {name: self.described(statements) for name, statements in self.parts.items()}
        loads = sorted({module for path in self.imports.values() if (module := self.code.module_of(path))})
        return {"names": names, "imports": self.imports, "loads": loads}

    def described(self, statements: list[ast.stmt]) -> list[Any]:
        """Digest, references and own imports of a definition."""
        own: dict[str, str] = {}
        for statement in statements:
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    own |= dict(_imported(inner, self.module))
        plain = [text for statement in statements for text in [_plain(statement)] if text]
        references = sorted({path for statement in statements for path in _references(statement)})
        return [_sha256("\n".join(plain).encode())[:32] if plain else "", references, own]


def _imported(statement: ast.stmt, module: str) -> Iterator[tuple[str, str]]:
    """Local names of an import of the package, and the absolute paths they stand for."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name.split(".")[0] == PACKAGE:
                yield (alias.asname, alias.name) if alias.asname else (PACKAGE, PACKAGE)
    elif isinstance(statement, ast.ImportFrom):
        if statement.level:
            raise ValueError(f"{module}:{statement.lineno}: relative import; write it in full, digests follow it")
        if str(statement.module).split(".")[0] == PACKAGE:
            for alias in statement.names:
                yield alias.asname or alias.name, f"{statement.module}.{alias.name}"


def _assigned(statement: ast.stmt) -> list[str]:
    """The names that an assignment at the top of a module makes or changes."""
    if isinstance(statement, ast.Assign):
        targets: Iterable[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    else:
        return []
    found = [name for target in targets for name in ([*target.elts] if isinstance(target, ast.Tuple) else [target])]
    return (
        [name.id for name in found if isinstance(name, ast.Name)] if all(isinstance(n, ast.Name) for n in found) else []
    )


def _references(tree: ast.AST) -> Iterator[str]:
    """Every name, with the attributes asked of it, and every annotation written as text."""
    if isinstance(tree, ast.Attribute):
        parts, inner = [tree.attr], tree.value
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield ".".join([inner.id, *reversed(parts)])
            return
    if isinstance(tree, ast.Name):
        yield tree.id
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str) and tree.value.isidentifier():
        yield tree.value
    for child in ast.iter_child_nodes(tree):
        yield from _references(child)


def _plain(node: Any) -> str:
    """A syntax tree as text, the same for all Pythons and without what people alone read."""
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_spoken(node.value):
            return _plain_call(node.value, spoken=True) if _calls(node.value) else ""
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            return f"Raise({_plain(node.exc.func)})"
        if isinstance(node, ast.Call):
            return _plain_call(node, spoken=_is_spoken(node))
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and not isinstance(node, ast.Lambda):
                value = value[1:] if _is_docstring(value[:1]) else value
            if name not in ("kind", "type_comment", "ctx", "type_params") and (text := _plain(value)):
                fields.append(f"{name}={text}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{';'.join(text for text in map(_plain, node) if text)}]" if node else ""
    return "" if node is None else repr(node)


def _plain_call(call: ast.Call, *, spoken: bool) -> str:
    """A call without the words it is given to show; of one that only shows, the calls inside it."""
    if spoken and _name_of(call) == "tqdm":  # shows how far it is in going through something
        return f"Call({_plain(call.func)};{_plain(call.args)})"
    if spoken:
        return f"Spoken({';'.join(_plain(inner) for inner in _calls(call))})"
    given = [f"{k.arg}={_plain(k.value)}" for k in call.keywords if k.arg not in WORDS]
    return f"Call({_plain(call.func)};{_plain(call.args)};{','.join(given)})"


def _is_spoken(call: ast.Call) -> bool:
    if _name_of(call) == "write":  # of a stream of words, not of a file
        streams = ("sys.stderr", "sys.stdout")
        return isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in streams
    return _name_of(call) in SPOKEN


def _name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else str(getattr(call.func, "id", ""))


def _calls(call: ast.Call) -> list[ast.Call]:
    """Calls among the arguments of one, which do something before it speaks; what only forms words is none."""
    inner = [node for argument in [*call.args, *(k.value for k in call.keywords)] for node in ast.walk(argument)]
    return [
        node
        for node in inner
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in _FORMS
    ]


_FORMS = {"str", "len", "round", "repr", "sorted", "list", "map", "max", "min", "sum", "join", "zip"}


def _is_docstring(statements: list[Any]) -> bool:
    return bool(statements) and isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant)


def _is_main_block(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test).startswith(("__name__ ==", "TYPE_CHECKING"))


# --- files
# --------------------------------------------------------------------------------------------------------------


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@cache
def _package_data(folder: Path, root: Path) -> tuple[Path, ...]:
    """Templates and the like in a folder of the package; nothing that tools leave behind."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".py")
    left = ("__pycache__",)
    return tuple(p for p in files if not any(q[0] == "." or q in left for q in p.relative_to(root).parts))
