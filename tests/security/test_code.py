"""What the code must never do, read from its syntax trees: unpickle, load unsafe YAML, build shell strings, unpack
archives."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow.common import options

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("featdiff", "workflow", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "urllib", "requests", "httpx"}
NAMES = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    "os.system", "os.popen", "pd.read_pickle", "torch.hub", "yaml.load", "yaml.full_load", "yaml.unsafe_load",
    "yaml.Loader", "yaml.UnsafeLoader", "torch.save", "np.save", "np.savez", "numpy.load",
}  # fmt: skip
METHODS = {"extractall", "to_pickle"}
NEEDED = {  # calls that are safe with this keyword alone
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "read_array": ("allow_pickle", False),
    "write_array": ("allow_pickle", False),
}
EXCEPTIONS = {
    ("featdiff/evaluation/extractors.py", "__import__"),  # of packages by their own names
    ("featdiff/data/assets.py", "pickle"),  # pinned by SHA-256, and an unpickler that builds arrays alone, see below
    ("featdiff/data/downloads.py", "urllib"),  # one address, checked by SHA-256 before the file has its name
    ("featdiff/versions/lock.py", "yaml.load"),  # with the C form of the safe loader, see below
}


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            yield from {name.partition(".")[0] for name in names} & MODULES
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ATTRIBUTES:
            yield ast.unparse(node)
        if isinstance(node, ast.Call):
            yield from call_faults(node)


def call_faults(node: ast.Call) -> Iterator[str]:
    called, last = ast.unparse(node.func), ast.unparse(node.func).rpartition(".")[2]
    words = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    if called in NAMES or (last in METHODS and "." in called):
        yield called
    if words.get("shell"):
        yield f"{called}(shell=True)"
    for name, (word, value) in NEEDED.items():
        if name in (called, last) and words.get(word) is not value:
            yield f"{called} without {word}={value}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_unpickles_loads_unsafely_or_builds_a_shell(path):
    found = set(faults(ast.parse((ROOT / path).read_text(encoding="utf-8"))))
    assert not {fault for fault in found if (path.as_posix(), fault) not in EXCEPTIONS}


def test_the_one_unpickler_refuses_all_but_what_it_names():
    tree = ast.parse((ROOT / "featdiff/data/assets.py").read_text())
    used = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "pickle"]
    assert sorted(used) == ["pickle.Unpickler", "pickle.UnpicklingError"]
    (reader,) = [
        n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and "pickle.Unpickler" in map(ast.unparse, n.bases)
    ]
    assert "find_class" in [n.name for n in reader.body if isinstance(n, ast.FunctionDef)]


def test_the_one_yaml_loader_is_a_safe_one():
    text = (ROOT / "featdiff/versions/lock.py").read_text()
    assert 'loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)' in text
    assert text.count("loader =") == 1
    assert re.findall(r"yaml\.load\([^()]*\)", text) == ["yaml.load(text, loader)"]


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(stream)",
        "yaml.load(text, yaml.Loader)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "archive.extractall(folder)",
        "eval(text)",
    ],
)
def test_the_reader_of_syntax_trees_finds(text):
    assert set(faults(ast.parse(text)))


SAFE = {  # what may stand in a command without quotes: paths of the workflow's own making, names of rows, numbers
    "input", "output", "log", "threads", "wildcards", "resources",
}  # fmt: skip


def test_every_command_quotes_what_a_user_may_write():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        commands = "".join(re.findall(r"shell:\n(.*?)(?=\n\n\n|\Z)", text, re.DOTALL))
        for field in re.findall(r"(?<!\{)\{([^{}]+)\}", commands):
            first, _, rest = field.partition(".")
            safe = first in SAFE or (first == "params" and (rest.endswith(":q") or made_safely(text, rest)))
            assert safe, f"{path.name}: {{{field}}} is not quoted"


def made_safely(text: str, name: str) -> bool:
    """Whether a rule file makes the param ``name`` of quoted options or a constant alone, wherever it does."""
    params = "".join(re.findall(r"^ +params:\n(?: {8,}.*\n)+", text, re.MULTILINE))
    made = re.findall(rf"^ {{8,12}}{name}=(.*?)(?=\n {{4,12}}\w|\n\Z)", params, re.MULTILINE | re.DOTALL)
    constant = re.compile(r'"[^"{}]*",')
    return bool(made) and all("options(" in one or constant.fullmatch(one) for one in made)


def test_options_are_quoted():
    assert options("x", ["a b", "$(c)"]) == "--x 'a b' --x '$(c)'"
