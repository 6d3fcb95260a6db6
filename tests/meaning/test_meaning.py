"""A digest of code follows what it means: words change nothing, what a command can reach changes it, and nothing is
missed."""

import inspect
import json
import shutil
import sys
import threading
from pathlib import Path

import pytest

from featdiff import meaning
from featdiff.cli import app
from workflow import sources

ROOT = Path(__file__).resolve().parents[2]
RULES = {
    "prepare": "data",
    "train": "train",
    "record-training": "progress",
    "health": "health",
    "centroids": "centroids",
    "denoise": "centroids",
    "distances": "centroids",
    "sample-shard": "sample",
    "gather": "sample",
    "embed": "evaluate",
    "measure": "evaluate",
    "collect": "evaluate",
    "report": "report",
    "mixture": "mixture",
    "mixture-bridge": "mixture",
}


CALLERS = ("featdiff.cli:", "featdiff.commands.rows:", "featdiff:__getattr__")  # how a command is called
BEFORE: dict[str, str] = {}  # the digests of the sources as they are


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the sources to change, which digests are taken of."""
    for part in ("featdiff", "workflow/rules"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digests() -> dict[str, str]:
    return {name: meaning.digest(sources.reach(f"{rule}.smk", name)) for name, rule in RULES.items()}


def changed(tree: Path, file: str, old: str, new: str) -> set[str]:
    """The commands whose code another text of a file changes."""
    if not BEFORE:
        BEFORE.update(digests())
    path = tree / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    after = digests()
    path.write_text(text)
    return {name for name in RULES if BEFORE[name] != after[name]}


EVERYWHERE = (
    "featdiff/cli.py",
    "featdiff/commands/options.py",
    "featdiff/commands/training.py",
    "featdiff/artifacts.py",
    "featdiff/seeds.py",
    "featdiff/locks.py",
    "featdiff/errors.py",
)


@pytest.mark.parametrize("file", [*EVERYWHERE, "featdiff/training/loop.py", "featdiff/settings/base.py"])
def test_comments_docstrings_and_formatting_change_nothing(tree, file):
    assert not changed(tree, file, '"""', '"""Other words. ')
    assert not changed(tree, file, "\n\n\n", "\n\n\n\n# a comment\n\n\n")


def test_words_that_people_read_change_nothing(tree):
    assert not changed(tree, "featdiff/training/loop.py", "the training loss is", "the loss of this training is")
    assert not changed(tree, "featdiff/training/loop.py", 'unit="image"', 'unit="picture"')
    assert not changed(tree, "featdiff/training/loop.py", "peak memory of the GPU", "the GPU's peak")
    assert not changed(tree, "featdiff/settings/training.py", "Largest norm of", "The largest norm of")
    assert not changed(tree, "featdiff/commands/training.py", 'help="Processes that share', 'help="How many share')


def test_what_a_progress_bar_goes_through_counts(tree):
    (tree / "featdiff/seeds.py").write_text(
        "from tqdm import tqdm\n\n\ndef f(a, b):\n    return list(tqdm(a, unit='x'))\n"
    )
    before = meaning.closure("featdiff.seeds", "f")
    (tree / "featdiff/seeds.py").write_text(
        "from tqdm import tqdm\n\n\ndef f(a, b):\n    return list(tqdm(a, unit='y'))\n"
    )
    assert meaning.closure("featdiff.seeds", "f") == before
    (tree / "featdiff/seeds.py").write_text(
        "from tqdm import tqdm\n\n\ndef f(a, b):\n    return list(tqdm(b, unit='x'))\n"
    )
    assert meaning.closure("featdiff.seeds", "f") != before


def test_a_rules_resources_log_and_message_change_nothing_and_its_command_does(tree):
    assert not changed(tree, "workflow/rules/train.smk", "mem_mb=by_attempt(2000)", "mem_mb=by_attempt(4000)")
    assert not changed(tree, "workflow/rules/train.smk", "Training {wildcards", "Now training {wildcards")
    assert changed(tree, "workflow/rules/train.smk", "featdiff train", "nice featdiff train") == {"train"}


def test_a_new_command_changes_nothing(tree):
    new = "def new() -> None:\n    from featdiff.seeds import derive\n\n    derive(0)\n\n\n"
    assert not changed(tree, "featdiff/commands/data.py", "def prepare", new + "def prepare")
    assert not changed(tree, "featdiff/cli.py", "import fetch, prepare\n", "import fetch, new, prepare\n")


def test_a_new_table_of_the_report_is_the_reports_alone(tree):
    new = "def new_table() -> int:\n    return 1\n\n\nNEW = new_table()\n\n\ndef write_report("
    found = changed(tree, "featdiff/reporting/page.py", "def write_report(", new)
    assert not found  # nothing shows it yet
    shown = changed(tree, "featdiff/reporting/provenance.py", "SHORT = 12", "SHORT = 13")
    assert shown == {"report"}


def test_a_new_sampler_changes_samplings_and_no_training(tree):
    new = 'class NewSampler(Discrete):\n    """New."""\n\n    kind: Literal["new"]\n    label = "new"\n\n\nSAMPLERS'
    path = "featdiff/kinds/samplers.py"
    text = (tree / path).read_text()
    start = text.index("SAMPLERS")
    head, table = text[:start], text[start:]
    (tree / path).write_text(head + new + table.removeprefix("SAMPLERS").replace("(", "(NewSampler, ", 1))
    after = digests()
    (tree / path).write_text(text)
    found = {name for name, digest in digests().items() if digest != after[name]}
    assert "sample-shard" in found
    assert not found & {"prepare", "train", "centroids", "denoise", "distances", "embed", "measure"}


def test_a_changed_sampler_changes_what_draws(tree):
    found = changed(tree, "featdiff/diffusion/samplers.py", "(s**2 - fresh**2) ** 0.5", "(s**2 - fresh**2 + 0) ** 0.5")
    assert "sample-shard" in found and not found & {"prepare", "train", "centroids", "embed", "measure"}


def test_a_new_measure_changes_evaluations_and_no_features(tree):
    found = changed(tree, "featdiff/evaluation/diversity.py", "eigvalsh(matrix)", "eigvalsh(matrix + 0)")
    assert "measure" in found and not found & {"prepare", "train", "sample-shard", "gather", "embed"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("featdiff/diffusion/losses.py", "return 1 / t**2", "return 2 / t**2"),
        ("featdiff/networks/normalisation.py", "EPSILON = 1e-6", "EPSILON = 1e-5"),
        ("featdiff/philox.py", "_ROUNDS = 10", "_ROUNDS = 7"),
        ("featdiff/diffusion/levels.py", "clamp(min=1e-4)", "clamp(min=1e-3)"),
        ("featdiff/training/loop.py", "0.9, 0.99", "0.9, 0.999"),
    ],
)
def test_a_change_of_loss_network_or_noise_changes_trainings(tree, file, old, new):
    found = changed(tree, file, old, new)
    assert {"train", "mixture-bridge"} <= found and "prepare" not in found and "measure" not in found


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("featdiff/watching/previews.py", "STEPS = 10", "STEPS = 11"),
        ("featdiff/watching/previews.py", "def write(", "NEW = len('a new constant')\n\n\ndef write("),
        ("featdiff/watching/watcher.py", "RECORDS = 400", "RECORDS = 300"),
        ("featdiff/watching/page.py", "WIDTH, HEIGHT,", "HEIGHT, WIDTH,"),
    ],
)
def test_what_only_watches_changes_nothing(tree, file, old, new):
    assert not changed(tree, file, old, new)


def test_what_the_report_shows_of_trainings_is_no_trainings(tree):
    kept = 'TIMES = ("seconds",'
    assert changed(tree, "featdiff/training/record.py", kept, "TIMES = (") == {"record-training"}
    assert changed(tree, "featdiff/reporting/learning.py", "FRAME = 96", "FRAME = 97") == {"report"}
    assert changed(tree, "workflow/rules/progress.smk", "featdiff record", "nice featdiff record") == {
        "record-training"
    }


def test_the_look_at_a_network_is_no_trainings_and_no_reports(tree):
    assert changed(tree, "featdiff/training/health.py", "MOST_DEAD = 0.5", "MOST_DEAD = 0.4") == {"health"}
    assert changed(tree, "workflow/rules/health.smk", "featdiff health", "nice featdiff health") == {"health"}


def test_a_template_is_the_reports(tree):
    assert changed(tree, "featdiff/reporting/report.css", "{", "{ ") >= {"report"}
    assert "train" not in changed(tree, "featdiff/reporting/report.css", "{", "{ ")


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"featdiff.cli has no definition 'nothing'"):
        meaning.closure("featdiff.cli", "nothing")


# --- nothing is missed --------------------------------------------------------------------------------------------


class Calls:
    """Every definition of the package that runs meanwhile, by MODULE:NAME."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, frame, event, argument) -> None:
        if event == "call" and (module := frame.f_globals.get("__name__", "")).startswith("featdiff"):
            name = frame.f_code.co_qualname.split(".")[0]
            function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # the bodies of modules and classes are none
            if function and not name.startswith(("<", "__create_fn__")):
                self.seen.add(f"{module}:{name}")

    def __enter__(self) -> "Calls":
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *error) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def test_what_a_command_calls_is_in_its_closure(tiny_dataset, tiny_spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 160})})
    settings = {
        "images": 8,
        "classifier_images": 8,
        "neighbours": 3,
        "repeats": 3,
        "kid_subset_size": 4,
        "kid_subsets": 3,
    }
    settings["extractor"] = {"kind": "lite0", "resize": 32}
    drawn = {"model": "m", "guidance": {"kind": "feature"}, "sampler": {"kind": "ddpm", "steps": 4}, "images": 8}
    data = ["--data", str(tiny_dataset)]
    told = ["--model", "c.safetensors"]
    steps = {
        "train": (short.model_dump(mode="json"), [*data, "--out", "c.safetensors", "--state", "state"]),
        "centroids": ({"levels": 3, "images_per_class": 8, "draws": 1}, [*data, *told, "--out", "t.npz"]),
        "sample-shard": (drawn, [*told, "--centroids", "t.npz", "--shard", "0", "--out", "0.zip"]),
        "gather": (None, ["0.zip", "--out", "s.zip"]),
        "embed": (settings, ["--images", str(tiny_dataset), "--out", "d.npz"]),
        "denoise": ({"images_per_class": 4}, [*data, *told, "--centroids", "t.npz", "--name", "m", "--out", "p.json"]),
        "health": (None, [*data, *told, "--out", "h.json"]),
        "record-training": (None, [*told, "--folder", "watched", "--out", "r.zip"]),
        "measure": (settings, [*data, "--data-features", "d.npz", "--out", "e.json", "--name", "real"]),
    }
    for name, (values, arguments) in steps.items():
        given = [] if values is None else ["--settings", json.dumps(values)]
        with Calls() as calls:
            app([name, *given, *arguments], standalone_mode=False)
        missed = calls.seen - set(meaning.closure("featdiff.cli", name.replace("-", "_")))
        missed = {one for one in missed if not one.startswith(CALLERS)}
        assert not missed, f"{name} calls {sorted(missed)}"
