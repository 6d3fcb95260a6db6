"""Few images of one's own: refused in the first step with the setting that would do, and then it runs to the report."""

import importlib.resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image

from featdiff import artifacts
from featdiff.data.counting import counts_in
from tests.workflow.conftest import ROOT, Project

COUNTS = {"brick": 8, "grass": 12, "gravel": 20}
MODELS = ("guided", "mixture")
DATASET = "results/data/own/dataset.zip"


def squares(root: Path, counts: dict[str, int], start: int = 0) -> None:
    """So many squares of each packaged photograph, a folder each."""
    for name, count in counts.items():
        photograph = Image.open(str(importlib.resources.files("skimage.data") / f"{name}.png"))
        (root / "images" / name).mkdir(parents=True, exist_ok=True)
        for k in range(start, start + count):
            y, x = 64 * (k // 8), 64 * (k % 8)
            photograph.crop((x, y, x + 64, y + 64)).save(root / "images" / name / f"{k:03}.png")


def partners(count: int) -> dict[str, Any]:
    return {"trainings": {"preview": {"partners": count}}}


@pytest.fixture
def own(pristine: Project, tmp_path: Path) -> Project:
    """The project with tiny settings and 8, 12 and 20 images of its own."""
    project = pristine.copy(tmp_path / "clone")
    project.edit_params(yaml.safe_load((ROOT / "workflow/presets/tiny.yaml").read_text()))
    source = {"source": {"kind": "folder", "path": "images"}, "layout": {"kind": "crop", "size": 16}, "mode": "gray"}
    project.edit_params({"datasets": {"own": source}, "models": {name: {"dataset": "own"} for name in MODELS}})
    squares(project.root, COUNTS)
    return project


def test_too_few_images_end_the_first_step_and_later_settings_end_a_run_before_its_first_job(own: Project) -> None:
    done = own.snakemake("--", DATASET, ok=False)
    said = done.stdout + done.stderr
    wrong = "class 'brick' has 6 training image(s), and trainings.preview.partners of 7 needs 8: set it to 3"
    assert done.returncode and wrong in said and not (own.root / DATASET).exists()
    own.edit_params(partners(3))
    own.snakemake("--", DATASET)
    before = (own.root / DATASET).read_bytes()

    own.edit_params({"samplings": {"mixture": {"images": 1}}})  # fewer than are compared
    assert "prepare" not in own.stale()  # what later steps need changes no image
    done = own.snakemake(ok=False)
    wrong = f"{DATASET}: samplings.mixture.images is 1, and 2 images are compared: set it to 2"
    assert done.returncode and wrong in done.stderr and "Traceback" not in done.stdout + done.stderr
    assert not (own.root / "results/logs/train").exists()
    assert wrong in own.run("featdiff", "check", ok=False).stderr

    own.edit_params({"samplings": {"mixture": {"images": 36}}} | partners(7))
    assert "needs 8: set it to 3" in own.snakemake(ok=False).stderr
    squares(own.root, {"brick": 4}, start=8)  # more images: they are counted anew, not refused by the old counts
    own.snakemake("--", DATASET)
    assert (own.root / DATASET).read_bytes() != before
    assert counts_in(own.root / DATASET)["brick"] == {"train": 9, "test": 3}
    assert "enough images for them: own" in own.run("featdiff", "check").stdout


@pytest.mark.exhaustive  # three minutes; tests/starting runs such a graph each time
def test_eight_twelve_and_twenty_images_a_class_run_to_the_report(own: Project) -> None:
    own.edit_params(partners(3) | {"evaluation": {"neighbours": 5}})
    own.snakemake()
    assert {name: sum(has.values()) for name, has in counts_in(own.root / DATASET).items()} == COUNTS
    for name in ("guided", "guided-strong", "mixture", "real-own"):
        found, _ = artifacts.read_json(own.root / f"results/evaluation/{name}.json", "evaluation")
        assert "2 a side (12 asked, the smallest class of a split has 2)" in found["protocol"]
        assert "1 neighbour (5 asked)" in found["protocol"]
        values = pd.DataFrame(found["rows"])
        assert values["value"].notna().all() and set(values["class"]) == {*COUNTS, "all"}
    page = (own.root / "results/report.html").read_text(encoding="utf-8")
    assert "<title>Feature-guided samples of brick, grass and gravel</title>" in page
    assert "What the run should show" not in page
