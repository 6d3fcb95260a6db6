"""The same images in any form have the same numbers; several sets stand side by side; features are worked out once."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import prdc
import pytest
import typer.testing
from PIL import Image

import featdiff
from featdiff import artifacts, cli
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.evaluation import extractors, sets, whole
from featdiff.evaluation.any_images import OUTSIDE, REAL_TEST, evaluate, labels_of
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.kept import Keeper
from featdiff.evaluation.measure import evaluate_to
from featdiff.evaluation.sets import image_set, of_array
from featdiff.settings.evaluation import Lite0

CLASSES = ("brick", "grass", "gravel")
SETTINGS = OUTSIDE.model_copy(update={"extractor": Lite0(resize=32), "classifier_images": 30})
KEYS = ("class", "measure", "value", "count")


@pytest.fixture(scope="module")
def place(tmp_path_factory, patches):
    """Real images in folders of classes; generated ones as a folder, a zip, an npz of ADM's form and an archive."""
    where = tmp_path_factory.mktemp("any")
    images = {}
    for name, split, count in (("real", "train", 40), ("generated", "test", 12)):
        images[name] = np.concatenate([patches(c, split, count) for c in CLASSES])
        for i, image in enumerate(images[name]):
            file = where / name / CLASSES[i // count] / f"{i:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(file)
    with zipfile.ZipFile(where / "packed.zip", "w") as packed:
        for file in sorted((where / "generated").rglob("*.png")):
            packed.write(file, f"wrapped/{file.relative_to(where / 'generated')}")
        packed.writestr("__MACOSX/._junk.png", b"junk")
    labels = np.repeat(range(3), 12)
    np.savez(where / "adm.npz", images["generated"].repeat(3, -1), labels)
    np.savez_compressed(where / "unlabelled.npz", images["generated"].repeat(3, -1))
    names = [CLASSES[label] for label in labels]
    index = pd.DataFrame({"split": "samples", "label": labels, "class": names, "evaluations": 7})
    index["path"] = [f"samples/{name}/{i:03}.png" for i, name in enumerate(names)]
    archive.write(where / "ours.zip", images["generated"], index, artifacts.manifest("samples", {}))
    return where


def run(place, images, real="real", **options):
    given = place / images if isinstance(images, str) else images
    return evaluate(given, place / real, **{"settings": SETTINGS, "keep": place / "kept", **options})


def rows(result, samples=None):
    chosen = [row for row in result.rows if samples in (None, row["samples"])]
    return {tuple(row[key] for key in KEYS) for row in chosen if row["measure"] != "network_evaluations"}


@pytest.fixture(scope="module")
def reference(place):
    return run(place, "generated")


@pytest.mark.parametrize("form", ["packed.zip", "adm.npz", "ours.zip"])
def test_the_same_images_in_any_form_have_the_same_numbers_of_each_class_and_all(place, reference, form):
    found = run(place, form)
    assert rows(found) == rows(reference) and found.protocol == reference.protocol
    assert {row["class"] for row in found.rows} == {*CLASSES, "all"}
    if form == "ours.zip":
        assert found.value("network_evaluations") == 7
        drawn = featdiff.Images(image_set(place / form).images(), [c for c in CLASSES for _ in range(12)], {})
        assert rows(evaluate({"drawn": drawn}, place / "real", settings=SETTINGS, keep=place / "kept")) == rows(found)


def test_without_classes_the_measures_of_all_are_all(place, reference, patches):
    with np.load(place / "unlabelled.npz") as held:
        array = held["arr_0"]
    for source in (place / "unlabelled.npz", array, array[..., :1], list(map(str, [place / "unlabelled.npz"]))):
        found = featdiff.evaluate(source, place / "real", settings=SETTINGS, keep=place / "kept")
        assert {row["class"] for row in found.rows} == {"all"} and found.notes == []
        for measure in ("frechet", "precision", "vendi", "nearest_training", "copied_share"):
            assert found.value(measure) == pytest.approx(reference.value(measure), rel=1e-9)
        assert not any(row["measure"] == "class_accuracy" for row in found.rows)


def test_numbers_are_those_of_all_images_by_the_measures_themselves(place, reference):
    keeper = Keeper(SETTINGS.extractor, folder=place / "kept")
    real, generated = (keeper.embed(image_set(place / name)).features for name in ("real", "generated"))
    assert reference.value("frechet") == pytest.approx(frechet_distance(real, generated), rel=1e-6)
    found = run(place, "generated", real="generated")  # equal counts: everything against everything
    other = prdc.compute_prdc(generated, generated, SETTINGS.neighbours)
    for measure, value in other.items():
        assert found.value(measure) == pytest.approx(float(value), abs=1e-12)
    assert found.value("nearest_training") == 0
    assert run(place, "real").value("copied_share") == 1 > reference.value("copied_share")
    assert found.value("frechet") < 1e-6 < reference.value("frechet")


def test_three_images_have_two_neighbours_and_one_is_refused(place):
    array = np.asarray(image_set(place / "adm.npz").images())
    asked = SETTINGS.model_copy(update={"neighbours": 5})
    found = evaluate(array[:3], place / "real", settings=asked, keep=place / "kept")
    assert "; 2 neighbours (5 asked); " in found.protocol
    two = evaluate(array[:3], place / "real", settings=asked.model_copy(update={"neighbours": 2}), keep=place / "kept")
    for measure in ("precision", "recall", "density", "coverage"):
        assert found.value(measure) == two.value(measure)
    with pytest.raises(UserError, match="1 images are too few for a comparison: give at least 2"):
        evaluate(array[:1], place / "real", settings=asked, keep=place / "kept")


def test_sets_stand_side_by_side_at_the_count_of_the_smallest(place, reference):
    sides = {"few": np.asarray(image_set(place / "adm.npz").images()[:9]), "all": place / "adm.npz"}
    found = evaluate(sides, place / "real", settings=SETTINGS, keep=place / "kept")
    assert found.samples == ["few", "all"]
    counts = {row["count"] for row in found.rows if row["measure"] in ("frechet", "vendi", "precision")}
    assert {row["count"] for row in found.rows if row["class"] == "all" and row["measure"] == "frechet"} == {9}
    assert max(counts) == 9 and "9 images of each set against all 120 real ones" in found.protocol


def test_the_result_is_the_same_as_json_csv_and_markdown(place, reference, tmp_path):
    files = [tmp_path / f"result{suffix}" for suffix in (".json", ".csv", ".md")]
    arguments = [str(place / "generated"), str(place / "ours.zip"), str(place / "real"), "--keep", str(place / "cli")]
    options = [text for file in files for text in ("--out", str(file))]
    done = typer.testing.CliRunner().invoke(cli.app, ["evaluate", *arguments, *options])
    assert done.exit_code == 0, done.output
    loaded, table = json.loads(files[0].read_text()), pd.read_csv(files[1])
    assert len(loaded["rows"]) == len(table) and set(table["samples"]) == {"generated", "ours"}
    assert set(table["protocol"]) == {loaded["protocol"]}
    assert np.allclose(table["value"], [row["value"] for row in loaded["rows"]])
    text = files[2].read_text()
    line = next(row for row in loaded["rows"] if (row["class"], row["measure"]) == ("all", "frechet"))
    assert f"| Lite0 Frechet distance | {line['value']:.1f} ± {line['interval']:.1f} |" in text
    assert f"Protocol: {loaded['protocol']}." in text and text in done.output


def test_features_are_worked_out_once_and_a_killed_run_goes_on(place, tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "PART", 10)
    worked = []

    class Stops(extractors.Lite0Extractor):
        def features(self, images):
            if len(worked) == 2:
                raise KeyboardInterrupt
            worked.append(len(images))
            return super().features(images)

    monkeypatch.setattr(extractors, "Lite0Extractor", Stops)
    images = image_set(place / "generated")
    with pytest.raises(KeyboardInterrupt):
        Keeper(SETTINGS.extractor, folder=tmp_path / "kept").embed(images)
    worked[:] = [0]
    with pytest.raises(KeyboardInterrupt):
        Keeper(SETTINGS.extractor, folder=tmp_path / "kept").embed(images)
    assert worked == [0, 10]  # of 36 images the first 20 were there
    worked.clear()
    found = Keeper(SETTINGS.extractor, folder=tmp_path / "kept").embed(images)
    assert worked == [6] and np.array_equal(found.small, images.images())
    monkeypatch.undo()
    at_once = Keeper(SETTINGS.extractor, folder=place / "kept").embed(images)
    assert np.abs(found.features - at_once.features).max() < 1e-4


def test_large_images_are_searched_for_small_and_sizes_may_differ(tmp_path):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (25, 80, 64, 3), np.uint8)
    keeper = Keeper(Lite0(resize=32), folder=tmp_path)
    small = keeper.embed(of_array(images, "large")).small
    assert small is not None and small.shape == (25, 32, 32, 3)
    assert np.abs(small.mean((1, 2)) - images.mean((1, 2))).max() < 1
    for i in range(8):
        Image.fromarray(images[i, : 20 + i, :20]).save(tmp_path / f"{i}.png")
    found = evaluate(images, tmp_path, settings=SETTINGS, keep=tmp_path / "kept")
    assert not any(row["measure"] == "nearest_training" for row in found.rows)
    assert "of several; none was searched for" in found.notes[0]


def test_against_a_data_set_of_the_pipeline_the_numbers_are_those_of_its_report(folder, settings, tmp_path):
    evaluate_to(settings, "guided", *(folder / name for name in ("dataset.zip", "dataset.npz", "guided.zip")),
                folder / "guided.npz", tmp_path / "guided.json")  # fmt: skip
    evaluate_to(settings, "real", folder / "dataset.zip", folder / "dataset.npz", None, None, tmp_path / "real.json")
    with zipfile.ZipFile(folder / "guided.zip") as packed:
        for name in (name for name in packed.namelist() if name.endswith(".png")):
            image = Image.open(io.BytesIO(packed.read(name))).convert("RGB")
            (tmp_path / "theirs" / name).parent.mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "theirs" / name)
    found = evaluate(tmp_path / "theirs", folder / "dataset.zip", settings=settings, keep=tmp_path / "kept")
    for name, samples in (("guided", "theirs"), ("real", REAL_TEST)):
        expected = artifacts.read_json(tmp_path / f"{name}.json", "evaluation")[0]
        assert found.protocol == expected["protocol"]
        own = {(row["class"], row["measure"]): row for row in found.rows if row["samples"] == samples}
        assert len(own) == len(expected["rows"])
        for row in expected["rows"]:
            assert own[row["class"], row["measure"]]["value"] == pytest.approx(row["value"], rel=1e-4, abs=1e-4)


def test_the_kernel_distance_is_told_that_each_class_has_the_same_number_of_images():
    side = whole._balanced(np.arange(6), np.array([1, 0, 1, 0, 2, 2]))
    assert side.rows.tolist() == [1, 3, 0, 2, 4, 5] and side.strata == [2, 2, 2]
    assert whole._balanced(np.arange(5), np.array([1, 0, 1, 0, 2])).strata == ()


def test_labels_are_found_by_name_or_by_number():
    images = np.zeros((3, 4, 4, 3), np.uint8)
    names = ["ant", "bee", "cow"]
    assert labels_of(names, of_array(images, "", np.array(["cow", "ant", "ant"]))).tolist() == [2, 0, 0]
    assert labels_of(names, of_array(images, "", np.array([1, 1, 2]))).tolist() == [1, 1, 2]
    assert labels_of(names, of_array(images, "", np.array(["cow", "dog", "ant"]))) is None
    assert labels_of(names, of_array(images, "", np.array([1, 1, 3]))) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f / "none", "there is no such file or folder"),
        (lambda f: f, "holds no PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF images"),
        (lambda f: (f / "a.txt", (f / "a.txt").write_text("a"))[0], "not a folder of images, a zip or an npz"),
        (lambda f: (f / "a.npz", np.savez(f / "a.npz", x=np.zeros(3)))[0], "holds x, but no images .* under 'arr_0'"),
        (lambda f: (f / "b.npz", np.savez(f / "b.npz", np.zeros((2, 4, 4, 3))))[0], "holds float64, images are needed"),
        (lambda f: np.zeros((2, 4, 4, 3)), r"not \(2, 4, 4, 3\) float64"),
        (
            lambda f: (f, (f / "a.png").write_bytes(b"x"))[0],
            "GIF or AVIF image; mend it",
        ),
    ],
)
def test_what_is_no_set_of_images_gets_one_message(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        image_set(make(tmp_path)).images()
