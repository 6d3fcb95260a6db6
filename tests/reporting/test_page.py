"""The page has what it must, refers to nothing outside itself, escapes names, and is the same each time."""

import re

import numpy as np
import pytest
from lxml import html
from markupsafe import Markup
from typer.testing import CliRunner

from featdiff import cli
from featdiff.errors import UserError
from featdiff.reporting.page import Section, derived_title
from featdiff.settings.project import Params

SECTIONS = ("samples", "targets", "quality", "denoising", "features", "made")


@pytest.fixture(scope="module")
def text(run, write, tmp_path_factory) -> str:
    return write(run, tmp_path_factory.mktemp("page") / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return html.document_fromstring(text)


@pytest.mark.parametrize("name", SECTIONS)
def test_section_is_there_with_a_heading(page, name):
    assert page.xpath(f"//section[@id='sec-{name}']/h2")


def test_pictures_come_first_and_then_the_verdicts(page):
    assert [s.removeprefix("sec-") for s in page.xpath("//main/section/@id")][:2] == ["samples", "targets"]


def test_the_targets_of_the_packaged_photographs_are_not_shown_for_other_images(run, write, tmp_path):
    values = run.settings.model_dump(mode="json")
    values["datasets"]["textures"]["source"] = {"kind": "folder", "path": "images"}
    own = Params.model_validate(values)
    shown = html.document_fromstring(write(run, tmp_path / "own.html", settings=own).read_text(encoding="utf-8"))
    sections = [s.removeprefix("sec-") for s in shown.xpath("//main/section/@id")]
    assert sections == [name for name in SECTIONS if name != "targets"]
    assert not shown.xpath("//a[@href='#sec-targets']") and not shown.xpath("//table[@id='targets']")
    assert " hold" not in shown.xpath("string(//dl)") and "Targets" not in shown.xpath("string(//dl)")


@pytest.mark.parametrize(
    ("classes", "title"),
    [
        (("cats",), "cats"),
        (("cats", "dogs"), "cats and dogs"),
        (("brick", "grass", "gravel"), "brick, grass and gravel"),
        (("a", "b", "c", "d"), "a, b, c and d"),
        (("a", "b", "c", "d", "e"), "5 classes"),
        (("a class of a very long name", "another class of a very long name", "x"), "3 classes"),
        (tuple(map(str, range(146))), "146 classes"),
    ],
)
def test_the_title_names_the_classes_or_their_number(classes, title):
    assert derived_title(classes) == f"Feature-guided samples of {title}"


def test_without_a_title_the_page_has_that_of_its_classes(make, write, tmp_path):
    pets = make(("cats", "dogs"))
    report = pets.settings.report.model_copy(update={"title": None})
    settings = pets.settings.model_copy(update={"report": report})
    shown = html.document_fromstring(write(pets, tmp_path / "pets.html", settings=settings).read_text(encoding="utf-8"))
    assert shown.xpath("//title/text()") == shown.xpath("//h1/text()") == ["Feature-guided samples of cats and dogs"]


def test_every_class_has_three_grids_of_its_images(page, run):
    pictures = page.xpath("//figure[@id='samples']//div[starts-with(@class, 'grid')]//img")
    assert len(pictures) == 3 * len(run.classes)
    assert all(
        p.get("src").startswith("data:image/png;base64,") and p.get("alt").startswith("6 images") for p in pictures
    )
    headings = [h.text_content() for h in page.xpath("//figure[@id='samples']//h4")]
    assert headings[::3] == [f"{name}, guided" for name in run.classes]


@pytest.mark.parametrize(
    ("figure", "panels"),
    [("psnr", 3), ("scatter", 3), ("nearest", 3), ("embedding", 6), ("isometry", 1), ("dots", 3), ("rules", 1)],
)
def test_figure_has_its_panels_described_and_a_caption(page, figure, panels):
    drawings = page.xpath(f"//figure[@id='{figure}']//*[local-name()='svg']")
    assert len(drawings) == panels
    assert all(d.get("role") == "img" and d.get("aria-label") and d.get("viewbox") for d in drawings)
    assert len(page.xpath(f"//figure[@id='{figure}']/figcaption")[0].text_content()) > 100


def test_quality_table_has_guided_mixture_and_real_rows_for_each_class(page, run):
    groups = page.xpath("//table[@id='quality']/tbody")
    assert [g.xpath("string(.//tr[@class='group'])") for g in groups] == ["All classes together", *run.classes]
    assert all(g.xpath(".//th[@scope='row']/text()") == ["Guided", "Mixture", "Real test"] for g in groups)
    headings = page.xpath("//table[@id='quality']/thead//th/text()")
    assert "Lite0 Frechet distance\N{NO-BREAK SPACE}↓" in headings
    assert not any("FID" in h for h in headings)
    assert "12 a side" in page.xpath("string(//section[@id='sec-quality']//ul)")


def test_settings_versions_and_digests_are_there(page, run):
    assert "steps: 4" in page.xpath("string(//section[@id='sec-made']//pre)")
    assert "torch" in page.xpath("string(//table[@id='versions'])")
    assert len(page.xpath("//table[@id='artifacts']//tbody/tr")) == 5


def test_nothing_outside_is_referenced(page, text):
    attributes = page.xpath("//@src | //@href | //@*[local-name()='href'] | //@srcset | //@poster | //@action")
    outside = {a for a in attributes if not a.startswith(("data:", "#"))}
    assert outside == {"https://arxiv.org/abs/2410.11646"}
    assert page.xpath("//a[starts-with(@href, 'http')]/@href") == list(outside)
    style = page.xpath("string(//style[1])")
    assert "@import" not in style
    assert "url(" not in style
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert not page.xpath("//script | //iframe | //object | //embed | //base")


def test_hostile_class_name_and_title_are_shown_as_text(page, text, run):
    assert "<script" not in text
    assert run.classes[1] in page.xpath("string(//figure[@id='samples'])")
    assert run.classes[1] in page.xpath("string(//h1)")
    labels = page.xpath("//figure[@id='embedding']//*[local-name()='text']/text()")
    assert any(label.startswith("<script>") for label in labels)
    assert "brick & $mortar$" in labels


def test_identifiers_are_unique_and_references_resolve(page, text):
    identifiers = page.xpath("//@id")
    assert len(identifiers) == len(set(identifiers))
    targets = re.findall(r"url\(#([^)]*)\)", text) + [
        a[1:] for a in page.xpath("//@*[local-name()='href']") if a[:1] == "#"
    ]
    assert set(targets) <= set(identifiers)


def test_two_builds_give_the_same_bytes(run, write, tmp_path, text):
    assert write(run, tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_many_classes_in_colour_stay_below_the_size_limit(make, write, tmp_path):
    run = make(tuple(f"class-{i:03d}" for i in range(40)), channels=3)
    out = write(run, tmp_path / "report.html")
    page = html.fromstring(out.read_text(encoding="utf-8"))
    assert out.stat().st_size < 5_000_000
    assert len(page.xpath("//figure[@id='samples']//div[starts-with(@class, 'grid')]//img")) == 3 * 12
    folded = page.xpath("//details/figure[@id='more-samples']//div[starts-with(@class, 'grid')]//img")
    assert len(folded) == 2 * 28
    assert "12 of 40 classes" in page.xpath("string(//figure[@id='samples']/figcaption)")
    assert len(page.xpath("//table[@id='quality']/tbody")) == 1
    assert len(page.xpath("//details/div/table[@id='quality-classes']/tbody")) == 41


def test_two_classes_make_a_report(make, write, tmp_path):
    assert write(make(("a", "b")), tmp_path / "report.html").exists()


def test_further_sections_are_shown_and_linked(run, write, tmp_path):
    section = Section("mixture", "Exact mixtures", Markup("<p>body</p>"))
    page = html.fromstring(write(run, tmp_path / "r.html", sections=[section]).read_text(encoding="utf-8"))
    assert page.xpath("string(//section[@id='sec-mixture']/p)") == "body"
    assert page.xpath("//nav/a[@href='#sec-mixture']")


def test_command_line_writes_the_same_report(run, tmp_path, text):
    out = tmp_path / "report.html"
    arguments = [
        "report",
        "--settings",
        run.settings.model_dump_json(),
        "--metrics",
        run.metrics,
        "--quality",
        run.quality,
    ]
    arguments += ["--denoising-table", run.denoising, "--scatter-table", run.scatter, "--data", run.dataset]
    arguments += ["--distances-table", run.distances]
    arguments += ["--centroids", run.centroids, "--graph", run.rules, "--out", out, *run.samples.values()]
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8") == text


def test_swapped_samples_are_refused(run, write, tmp_path):
    swapped = {"guided": run.samples["mixture"], "mixture": run.samples["guided"]}
    with pytest.raises(UserError, match="other settings than samplings.guided"):
        write(run, tmp_path / "r.html", samples=swapped)


def test_wrong_table_and_missing_file_are_named(run, write, tmp_path):
    with pytest.raises(UserError, match=r"quality\.csv: not a scatter table"):
        write(run, tmp_path / "r.html", scatter=run.quality)
    with pytest.raises(UserError, match=r"gone\.csv: no such file"):
        write(run, tmp_path / "r.html", quality=tmp_path / "gone.csv")
    with pytest.raises(UserError, match=r"quality\.csv: damaged"):
        write(run, tmp_path / "r.html", metrics=run.quality)


def test_pictures_are_the_images_of_the_archive(page, run):
    import base64
    import io

    from PIL import Image

    from featdiff.data import archive

    source = page.xpath("//figure[@id='samples']//img/@src")[0]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    images = archive.read(run.samples["guided"], "samples").select(label=0).images
    side = images.shape[1]
    for i in range(6):
        x = i * (side + 1)
        np.testing.assert_array_equal(sheet[:side, x : x + side, 0], images[i, ..., 0])


def test_the_users_word_stands_beside_the_artifacts_that_it_lets_stand(run, write, tmp_path):
    words = [
        ("train", "a <b>renamed</b> variable"),
        ("gather-with-sample-shard", "order of imports"),
        ("sweep", "none"),
    ]
    page = html.fromstring(write(run, tmp_path / "r.html", accepted=words).read_text(encoding="utf-8"))
    table = page.xpath("//table[@id='artifacts']//tr")
    rows = {row.xpath("string(th)"): row.xpath("string(td[last()])") for row in table}
    assert rows["samples guided"] == "gather-with-sample-shard: order of imports"
    assert rows["data set"] == "–" and "none" not in rows.values()
    assert "Accepted changes" in page.xpath("string(//table[@id='artifacts']/thead)")
