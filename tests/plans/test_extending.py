"""One of each kind from outside the package, as docs/how-to/extending.md shows them, runs from images to the report
that names it."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from featdiff import cli, extending
from tests.workflow.conftest import Project
from workflow.sources import reach

PAGE = Path(__file__).parents[2] / "docs/how-to/extending.md"
LABELS = ("noisy DDIM", "fade", "early guidance", "Gap of means", "dilated convolutions", "stretched images")
SETTINGS = {
    "datasets": {
        "own": {
            "source": {"kind": "folder", "path": "images"},
            "layout": {"kind": "stretch", "size": 16},
            "test_fraction": 0.4,
        }
    },
    "networks": {
        "small": {"widths": [8, 12], "block": {"kind": "dilated"}},
        "soft": {"widths": [8, 12], "form": "soft", "block": {"kind": "dilated"}},
    },
    "trainings": {"short": {"images": 256, "batch": 16, "partners": 3, "partner_noise": "clean"}},
    "corruptions": {"fade": {"kind": "fade", "strength": {"high": 4.0}}},
    "models": {
        "guided": {"dataset": "own", "network": "small", "training": "short", "condition": "feature"},
        "mixture": {"dataset": "own", "network": "small", "training": "short", "condition": "none"},
        "soft": {"dataset": "own", "network": "soft", "training": "short", "condition": "none", "corruption": "fade"},
    },
    "centroids": {"levels": 4, "images_per_class": 12, "draws": 1},
    "levels": {"candidates": 16, "nodes": 4, "images": 16, "projections": 8, "start_images": 32, "start_rank": 4},
    "samplings": {
        **{
            f"guided-{strength}": {
                "model": "guided",
                "guidance": {"kind": "early", "strength": strength},
                "sampler": {"kind": "ddim-noisy", "steps": 3},
                "images": 8,
            }
            for strength in (1, 2)
        },
        "mixture": {
            "model": "mixture",
            "guidance": {"kind": "none"},
            "sampler": {"kind": "ddim-noisy", "steps": 3},
            "images": 16,
        },
        "soft": {
            "model": "soft",
            "guidance": {"kind": "none"},
            "sampler": {"kind": "momentum", "steps": 3},
            "images": 16,
        },
    },
    "evaluation": {
        "images": 8,
        "neighbours": 3,
        "kid_subsets": 2,
        "kid_subset_size": 6,
        "classifier_images": 12,
        "extractor": {"kind": "lite0", "resize": 32},
    },
    "denoising": {"images_per_class": 4},
    "report": {"guided": "guided-1", "baseline": "mixture", "images_per_class": 2},
}


@pytest.fixture
def extended(project: Project) -> Project:
    """A project of oblong images of two classes, with the page's examples as its extensions."""
    random = np.random.default_rng(0)
    for c, name in enumerate(("dark", "light")):
        (project.root / "images" / name).mkdir(parents=True)
        for i in range(24):
            pixels = random.integers(100 * c, 100 * c + 100, (18 + i % 3, 30)).astype(np.uint8)
            Image.fromarray(pixels).save(project.root / "images" / name / f"{i}.png")
    (project.root / "extensions").mkdir()
    for i, text in enumerate(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)):
        (project.root / "extensions" / f"example_{i}.py").write_text(text, encoding="utf-8")
    (project.root / "params.yaml").write_text(yaml.safe_dump(SETTINGS, sort_keys=False))
    yield project
    extending.unload()


def test_one_of_each_kind_from_outside_runs_to_the_report_and_is_named_there(extended, monkeypatch):
    planned = extended.snakemake("--dry-run", "--printshellcmds").stdout
    commands = re.findall(r"^Shell command: (featdiff .*) > \S+ 2>&1$", planned, re.MULTILINE)
    assert {shlex.split(command)[1] for command in commands} >= {
        "prepare",
        "train",
        "levels",
        "sample-shard",
        "measure",
        "report",
    }
    monkeypatch.chdir(extended.root)
    drawn = [name for name in reach("sample.smk", "sample-shard") if name.startswith("extensions/")]
    trained = [name for name in reach("train.smk", "train") if name.startswith("extensions/")]
    assert drawn and set(drawn) != set(trained)  # each file counts for what uses the kind that it adds
    for command in commands:  # in this process: each start of torch takes seconds
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code, command
    page = Path("results/report.html").read_text(encoding="utf-8")
    for label in LABELS:
        assert f">{label}" in page, label
    assert "early guidance" in page.partition('id="frontier"')[2].partition("</figure>")[0]
    assert "strength of the fade" in page.partition('id="levels-fade"')[2].partition("</figure>")[0]
    assert "mean_gap" in Path("results/tables/quality.csv").read_text(encoding="utf-8")
