"""The report's section on training: curves of what was recorded, frames of what was drawn, words where it is lost."""

import io
import json

import numpy as np
import pytest
from lxml import html
from PIL import Image

from featdiff import artifacts
from featdiff.training import record


def progress(path, names, *, previews=5, empty=False):
    """A record with made-up numbers and pictures."""
    run = {"run": "a", "name": "x", "rows": list(names), "size": 6, "images": 500}
    rows = [
        {
            "step": k,
            "images": 100 * k,
            "loss": 1 / k,
            "learning_rate": 0.1,
            "psnr/0.1": 20 + k,
            "psnr/1": 9,
            "dead/b0": k,
        }
        for k in range(1, 6)
    ]
    members = {"run.json": json.dumps(run).encode(), "stats.jsonl": "\n".join(map(json.dumps, rows)).encode()}
    if empty:
        members = {"run.json": b"{}", "stats.jsonl": b""}
    for k in range(0 if empty else previews):
        stream = io.BytesIO()
        Image.fromarray(np.full((6 * len(names), 24), 40 * k, np.uint8)).save(stream, "png")
        members[f"previews/{100 * (k + 1):08d}.png"] = stream.getvalue()
    artifacts.write_zip(path, members, artifacts.manifest("progress", {}))
    return path


@pytest.fixture(scope="module")
def page(run, write, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning")
    files = {
        "guided": progress(folder / "g.zip", run.classes),
        "mixture": progress(folder / "m.zip", ["no class"]),
    }
    return html.fromstring(write(run, folder / "report.html", progress=files).read_text(encoding="utf-8"))


def test_the_section_stands_between_samples_and_verdicts_with_every_recorded_curve(page):
    assert page.xpath("//main/section/@id")[:3] == ["sec-samples", "sec-training", "sec-targets"]
    drawings = page.xpath("//figure[@id='learned']//*[local-name()='svg']/@aria-label")
    assert [text.split(" against")[0] for text in drawings] == [
        "Training loss",
        "PSNR of test images",
        "Learning rate",
        "dead",
    ]
    legend = page.xpath("//figure[@id='learned']//*[local-name()='text']/text()")
    assert {"guided model, σ = 0.1", "mixture model, σ = 1", "guided model, b0"} <= set(legend)


def test_the_film_has_a_frame_of_each_class_at_each_preview(page, run):
    frames = page.xpath("//figure[@id='film-guided']//div[@class='frame']")
    assert len(frames) == 5 * len(run.classes)
    assert [frame.xpath("string(small)") for frame in frames[:5]] == ["100", "200", "300", "400", "500"]
    assert frames[0].xpath(".//img/@alt") == [f"{run.classes[0]} after 100 training images"]
    assert page.xpath("//figure[@id='film-guided']//h4/text()") == list(run.classes)


def test_a_lost_record_is_told(run, write, tmp_path):
    files = {"guided": progress(tmp_path / "g.zip", [], empty=True)}
    page = html.fromstring(write(run, tmp_path / "report.html", progress=files).read_text(encoding="utf-8"))
    assert "guided model: no record of the training is here" in page.xpath("string(//section[@id='sec-training'])")


def test_a_record_is_of_its_checkpoint_and_holds_no_times(tiny_dataset, tiny_spec, tmp_path):
    from featdiff.training import loop
    from featdiff.watching.watcher import Watcher

    spec = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 160})})
    for name, row in {"a": spec, "b": spec.model_copy(update={"seed": 1})}.items():
        loop.train(
            row, tiny_dataset, tmp_path / f"{name}.safetensors", state=tmp_path / "s", watcher=Watcher(tmp_path / name)
        )
    for folder, model in (("a", "a"), ("b", "b"), ("b", "a"), ("gone", "a")):
        record.write(tmp_path / folder, tmp_path / f"{model}.safetensors", tmp_path / f"{folder}-{model}.zip")
    own, other = record.read(tmp_path / "a-a.zip"), record.read(tmp_path / "b-a.zip")
    assert own.stats[-1]["images"] == 160 and list(own.previews) == [160] and own.run["rows"] == ["flat", "stripes"]
    assert not any(set(row) & set(record.TIMES) for row in own.stats)
    assert record.read(tmp_path / "b-b.zip").stats and not other.stats and not other.previews
    assert not record.read(tmp_path / "gone-a.zip").stats
