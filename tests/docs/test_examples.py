"""The examples of the pages run: Python and shell on a small model, settings as an overlay of params.yaml."""

import copy
import re
import shlex

import pytest
import yaml
from snakemake.utils import update_config
from typer.testing import CliRunner

import featdiff
from featdiff.cli import app
from featdiff.settings.base import parse
from featdiff.settings.project import Params
from tests.docs.pages import DOCS, PAGES, ROOT, blocks, named

OURS = {"grass": "flat", "gravel": "stripes", "data/textures": "data/tiny"}  # of the small run of the tests
TUTORIALS = [ROOT / "README.md", DOCS / "tutorials/python.md", DOCS / "tutorials/few-examples.md"]
SHELL = [page for page in PAGES if blocks(page, "bash")]
SETTINGS = [page for page in PAGES if blocks(page, "yaml")]


@pytest.fixture
def folder(results, tmp_path, monkeypatch):
    """A project's folder with the results of a run."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "results").symlink_to(results, target_is_directory=True)
    monkeypatch.chdir(work)
    return work


def ours(block: str) -> str:
    for theirs, own in OURS.items():
        block = block.replace(theirs, own)
    return block


@pytest.mark.parametrize("page", TUTORIALS, ids=named(TUTORIALS))
def test_the_python_of_a_page_runs_one_block_after_the_other(page, folder):
    names = {}
    for block in blocks(page, "python"):
        exec(compile(ours(block), str(page), "exec"), names)
    assert isinstance(names["style"], featdiff.Target) and list(folder.glob("*.png"))
    if page.name == "python.md":
        assert {"flat.zip", "grid.png", "my-model"} <= {path.name for path in folder.iterdir()}
        assert names["clean"].shape == names["noisy"].shape


@pytest.mark.parametrize("page", SHELL, ids=named(SHELL))
def test_the_commands_of_a_page_run_one_after_the_other(page, folder):
    for block in blocks(page, "bash"):
        for line in ours(block).splitlines():
            name, *words = shlex.split(line, comments=True)
            assert name == "featdiff"
            done = CliRunner().invoke(app, words, catch_exceptions=False)
            assert done.exit_code == 0, f"{line}\n{done.output}"


@pytest.mark.parametrize("page", SETTINGS, ids=named(SETTINGS))
def test_the_settings_of_a_page_are_valid_over_those_of_the_default(page):
    for block in blocks(page, "yaml"):
        values = copy.deepcopy(yaml.safe_load((ROOT / "params.yaml").read_text()))
        update_config(values, yaml.safe_load(re.sub(r"#.*", "", block)))
        parse(Params, values, page.name)


def test_the_mixture_of_the_explanation_is_as_sure_as_it_says():
    names = {}
    (block,) = blocks(DOCS / "explanation/mixtures.md", "python")
    fewer = block.replace("randn(1000", "randn(400").replace("zeros(1000", "zeros(400").replace("2000)", "500)")
    exec(compile(fewer, "page", "exec"), names)
    assert names["law"].log_odds(names["x"], 0).sigmoid().mean().item() == pytest.approx(0.935, abs=0.04)
