"""Whole runs of new projects with the tiny overlay, by the command that ``featdiff new`` ends with."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def run(command: str, cwd: Path) -> str:
    """What a person types into a shell of the environment, the working tree's package first."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stripes(folder: Path, count: int, *, across: bool, suffix: str) -> None:
    folder.mkdir(parents=True)
    wave = 50.0 * np.where(np.arange(30) // 3 % 2, 1, -1)
    for k in range(count):
        pixels = 128 + (wave[None, :] if across else wave[:, None]) + np.random.default_rng(k).normal(0, 6, (30, 30))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{k}.{suffix}")


def try_out(told: str) -> str:
    """The last command that the words name, without what stands behind it."""
    return told.strip().splitlines()[-1].partition(":")[2].partition("   (")[0].strip()


@pytest.mark.exhaustive
def test_class_folders_go_through_to_the_report(tmp_path: Path) -> None:
    stripes(tmp_path / "my images/up", 8, across=True, suffix="tif")
    stripes(tmp_path / "my images/down", 8, across=False, suffix="bmp")
    run(try_out(run("featdiff new 'my images'", tmp_path)), tmp_path)
    assert (tmp_path / "my-images-project/results/tiny/report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_images_without_classes_go_through_to_samples_and_measures_without_a_report(tmp_path: Path) -> None:
    stripes(tmp_path / "images", 12, across=True, suffix="gif")
    run(try_out(run("featdiff new images", tmp_path)), tmp_path)
    results = tmp_path / "images-project/results/tiny"
    assert (results / "metrics.json").is_file() and (results / "samples/mixture/samples.zip").is_file()
    assert not (results / "report.html").exists()
    run(f"featdiff sample --model '{results}' -n 4 --out grid.png", tmp_path)
    assert Image.open(tmp_path / "grid.png").size[0] > 0
