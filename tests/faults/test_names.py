"""Names that users choose, through the whole pipeline: they are data everywhere, and reach no shell, path or page as
anything else."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lxml import html
from PIL import Image

from featdiff.data import archive

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
NAMES = [
    "a b'c",
    '$(touch pwned) "q"',
    "`touch pwned`",
    "süß;touch pwned&",
    "石 | touch pwned",
    "<img src=x onerror=alert(1)>",
    "x" * 200,
    "-rf *",
    "NA",
    "1,2",
]
BRACES = "{wildcards.model} {0}"  # in the zip alone: Snakemake takes braces in the names of files for wildcards
PLACE = "my $(touch pwned) `touch pwned` 'images'; touch pwned"
TITLE = "</title><script>alert(1)</script> $(touch pwned) {input} '"
COUNT = 16  # images of a class


def write_folder(root: Path, names: list[str]) -> None:
    """Different images of each class, darker and lighter."""
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        draw = np.random.default_rng(number)
        for i in range(COUNT):
            pixels = draw.integers(20 * number, 20 * number + 40, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{name[:20]} {i}.png")


def write_zip(path: Path, root: Path) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(root.rglob("*.png")):
            packed.write(file, file.relative_to(root))


@pytest.fixture(scope="module")
def nasty(unstarted: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny project after a whole run on a zip of such classes; one of its models learns from a folder of them."""
    project = unstarted.copy(tmp_path_factory.mktemp("nasty $(touch pwned) 'names'") / "my clone; touch pwned")
    write_folder(project.root / PLACE, NAMES)
    write_folder(project.root / "packed", [*NAMES, BRACES])
    write_zip(project.root / f"{PLACE}.zip", project.root / "packed")
    rows = yaml.safe_load((project.root / "params.yaml").read_text())
    crop = {"layout": {"kind": "crop", "size": 16}, "test_fraction": 0.5}
    rows["datasets"] = {
        "packed": {"source": {"kind": "zip", "path": f"{PLACE}.zip"}, **crop},
        "loose": {"source": {"kind": "folder", "path": PLACE}, **crop},
    }
    rows["trainings"]["preview"] |= {"images": 160, "partners": 3}
    for model in rows["models"].values():
        model["dataset"] = "packed"
    rows["models"]["other"] = {**rows["models"]["mixture"], "dataset": "loose"}
    rows["evaluation"] |= {"images": 6, "neighbours": 3, "kid_subset_size": 4, "classifier_images": 8}
    rows["report"]["title"] = TITLE
    (project.root / "params.yaml").write_text(yaml.safe_dump(rows, allow_unicode=True))
    project.snakemake()
    return project


@pytest.mark.fault(
    (
        "class names with quotes, $( ), backticks, ;, |, &, <img>, 200 characters, "
        "unicode, braces; paths and titles like that"
    ),
    "nothing: they are text",
)
def test_no_name_runs_as_a_command(nasty):
    assert not list(nasty.root.parent.rglob("pwned*"))
    assert not list(Path.cwd().glob("pwned*"))


def test_every_class_is_known_by_its_name_from_the_archive_to_the_page(nasty):
    results = nasty.root / "results"
    for name, kind, found in (
        ("data/packed/dataset.zip", "dataset", {*NAMES, BRACES}),
        ("data/loose/dataset.zip", "dataset", set(NAMES)),
        ("samples/guided/samples.zip", "samples", {*NAMES, BRACES}),
    ):
        assert set(archive.read(results / name, kind).classes) == found
    page = html.fromstring((results / "report.html").read_text(encoding="utf-8"))
    assert all(name in page.text_content() for name in (*NAMES, BRACES))


def test_the_page_holds_no_element_that_a_name_or_title_wrote(nasty):
    text = (nasty.root / "results/report.html").read_text(encoding="utf-8")
    page = html.fromstring(text)
    assert not page.xpath("//script | //@onerror | //img[@src='x']")
    assert page.xpath("string(//title)").strip() == TITLE
    assert "<img src=x" not in text


def test_a_second_run_does_nothing(nasty):
    assert "Nothing to be done" in nasty.snakemake().stderr


@pytest.mark.parametrize("results", ["my results", "$(touch pwned)", "a'b", "a;b", "{x}"])
def test_a_results_folder_with_characters_that_a_shell_reads_is_refused(unstarted, results, tmp_path):
    done = unstarted.copy(tmp_path / "clone").snakemake("--dry-run", "--config", f"results={results}", ok=False)
    assert done.returncode == 2
    assert "letters, digits" in done.stderr
    assert "Traceback" not in done.stderr
