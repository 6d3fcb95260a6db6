"""A wheel built from the clone, installed by itself: commands and API work outside the repository, and so does a new
project."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from featdiff import project
from featdiff.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Run a command in a folder of its own, where featdiff is what the wheel installed."""
    folder = tmp_path_factory.mktemp("outside")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = folder / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(ROOT)], check=True)
    site = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), *map(str, wheels.iterdir())], check=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONPATH": str(site)}

    def run(*command: str, cwd: Path) -> str:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run.site = site
    run.folder = folder
    return run


def test_the_installed_package_is_not_the_clones_and_starts_a_project_that_plans_the_whole_graph(outside):
    work = outside.folder / "work"
    work.mkdir()
    code = "import featdiff, featdiff.project as p; p.write('mine'); print(featdiff.__file__)"
    assert str(outside.site) in outside(sys.executable, "-c", code, cwd=work)
    assert "all settings are valid" in outside(sys.executable, "-m", "featdiff.cli", "check", cwd=work / "mine")
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    tiny = ["--workflow-profile", "workflow/profiles/tiny"]
    plan = outside(snakemake, *tiny, "--dry-run", "--quiet", "rules", cwd=work / "mine")
    assert "report" in plan and "train" in plan


def test_the_installed_package_starts_a_project_for_somebody_s_own_images(outside):
    import numpy as np
    from PIL import Image

    work = outside.folder / "own"
    for name in ("cats", "dogs"):
        (work / "pets" / name).mkdir(parents=True)
        for k in range(8):
            pixels = np.random.default_rng([k, len(name), ord(name[0])]).integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(work / "pets" / name / f"{k}.png")
    told = outside(sys.executable, "-m", "featdiff", "new", "pets", cwd=work)
    assert "16 images of 2 classes" in told and "cd pets-project && " in told
    assert "all settings are valid" in outside(sys.executable, "-m", "featdiff", "check", cwd=work / "pets-project")
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    plan = outside(
        snakemake,
        *("--workflow-profile", "workflow/profiles/tiny", "--dry-run", "--quiet", "rules"),
        cwd=work / "pets-project",
    )
    assert "report" in plan and "train" in plan


def test_the_installed_package_samples_a_model_in_a_folder_of_its_own(outside, tiny_dataset, tiny_checkpoint):
    from featdiff.features.centroids import extract
    from featdiff.settings.centroids import Centroids

    work = outside.folder / "model"
    work.mkdir()
    (work / "checkpoint.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    extract(
        Centroids(levels=3, images_per_class=8), tiny_dataset, work / "checkpoint.safetensors", work / "centroids.npz"
    )
    code = "import featdiff; print(featdiff.load('checkpoint.safetensors').sample('stripes', 2, steps=2))"
    assert "Images(2, 8, 8, 1) uint8 of stripes" in outside(sys.executable, "-c", code, cwd=work)
    told = ["sample", "--model", "checkpoint.safetensors", "--class", "flat", "-n", "2", "--steps", "2"]
    outside(sys.executable, "-m", "featdiff", *told, "--out", "flat.zip", cwd=work)
    assert sorted(path.name for path in work.iterdir() if path.suffix == ".zip") == ["flat.zip"]


def test_a_project_is_not_written_over_another(tmp_path):
    (tmp_path / "params.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"there is a params.yaml already; nothing was written"):
        project.write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["params.yaml"]


def test_in_a_clone_the_files_are_those_at_its_root():
    assert project.files() == ROOT
