import json

import numpy as np
import pandas as pd
import pytest

from featdiff import artifacts, derived
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.evaluation import embedding, measure
from featdiff.evaluation.collect import collect
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.measure import evaluate_to
from featdiff.evaluation.selection import Counts, common_count, counts, draws, generator_of, shares, training_rows

CLASSES = ("brick", "grass", "gravel")
COMPARED = {"frechet", "frechet_floor", "kid", "precision", "recall", "density", "coverage", "vendi"}
COPIES = {"nearest_training", "nearest_training_test", "copied_share"}


@pytest.fixture(scope="module")
def evaluated(folder, settings):
    """Evaluation files of the floor, the guided samples and those without class."""
    data = (folder / "dataset.zip", folder / "dataset.npz")
    evaluate_to(settings, "real-textures", *data, None, None, folder / "real.json")
    for name in ("guided", "mixture"):
        evaluate_to(settings, name, *data, folder / f"{name}.zip", folder / f"{name}.npz", folder / f"{name}.json")
    return {
        name: artifacts.read_json(folder / f"{name}.json", "evaluation")[0] for name in ("real", "guided", "mixture")
    }


def table(evaluation):
    return pd.DataFrame(evaluation["rows"]).set_index(["class", "measure"])


def test_each_set_has_the_rows_it_should(evaluated):
    classes = (*CLASSES, "all")
    expected = {(c, m) for c in classes for m in COMPARED | COPIES | {"class_accuracy"}}
    assert set(table(evaluated["real"]).index) == expected
    assert set(table(evaluated["guided"]).index) == expected
    without = {(c, m) for c in classes for m in COMPARED} | {("all", m) for m in COPIES}
    assert set(table(evaluated["mixture"]).index) == without | {(c, "class_share") for c in CLASSES}


def test_every_comparison_holds_the_same_count(evaluated):
    counts = {row["count"] for e in evaluated.values() for row in e["rows"] if row["measure"] in COMPARED | COPIES}
    assert counts == {24}
    assert len({e["protocol"] for e in evaluated.values()}) == 1


def test_values_say_what_the_sets_are(evaluated):
    real, guided, mixture = (table(evaluated[name])["value"] for name in ("real", "guided", "mixture"))
    for name in CLASSES:
        assert real[name, "class_accuracy"] >= 0.9
        assert guided[name, "frechet"] < 0.6 * mixture[name, "frechet"]
        assert mixture[name, "class_share"] == pytest.approx(1 / 3, abs=0.1)
    assert abs(guided["all", "recall"] - real["all", "recall"]) < 0.3
    assert real["all", "nearest_training"] == real["all", "nearest_training_test"]
    assert (real.xs("copied_share", level="measure") <= 0.1).all()


def test_a_value_is_the_mean_over_the_draws(folder, settings, evaluated):
    data = archive.read(folder / "dataset.zip", "dataset")
    features = embedding.read(settings, folder / "dataset.npz", folder / "dataset.zip", "dataset")
    generator = generator_of
    reference = draws(training_rows(settings, data.index)[1], 24, 3, generator(settings, "real", 1))
    test = draws(data.rows_by_label("test")[1], 24, 3, generator(settings, "generated", 1))
    values = [frechet_distance(features.at(r), features.at(t)) for r, t in zip(reference, test, strict=True)]
    row = table(evaluated["real"]).loc["grass", "frechet"]
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["spread"] == pytest.approx(np.std(values, ddof=1))


def test_the_training_images_that_take_part_are_a_seeded_order_of_each_class_cut_off(folder, settings):
    index = archive.read(folder / "dataset.zip", "dataset").index
    found = training_rows(settings, index)
    assert list(found) == [0, 1, 2]
    for label, rows in found.items():
        of_class = np.flatnonzero((index["label"] == label) & (index["split"] == "train"))
        order = derived.numpy_generator(settings.seed, "evaluation", "training", label).permutation(of_class)
        assert np.array_equal(rows, order[:72])  # 3 draws of 24


def test_copied_training_images_are_reported(folder, settings, tmp_path):
    data = archive.read(folder / "dataset.zip", "dataset")
    copies = data.select(split="train")
    keep = np.sort(np.concatenate([np.flatnonzero(copies.labels == label)[:24] for label in range(3)]))
    path, features = tmp_path / "copies.zip", tmp_path / "copies.npz"
    mirrored = copies.images[keep][:, :, ::-1]
    archive.write(path, mirrored, copies.index.iloc[keep].reset_index(drop=True), artifacts.manifest("samples", {}))
    embedding.embed(settings, path, "samples", features)
    evaluate_to(settings, "copies", folder / "dataset.zip", folder / "dataset.npz", path, features, tmp_path / "c.json")
    rows = table(artifacts.read_json(tmp_path / "c.json", "evaluation")[0])["value"]
    assert rows["all", "copied_share"] == 1
    assert rows["brick", "nearest_training"] == 0


def test_the_same_command_gives_the_same_bytes(folder, settings, evaluated, tmp_path):
    data = (folder / "dataset.zip", folder / "dataset.npz")
    evaluate_to(settings, "mixture", *data, folder / "mixture.zip", folder / "mixture.npz", tmp_path / "again.json")
    embedding.embed(settings, folder / "mixture.zip", "samples", tmp_path / "again.npz")
    assert (tmp_path / "again.json").read_bytes() == (folder / "mixture.json").read_bytes()
    assert (tmp_path / "again.npz").read_bytes() == (folder / "mixture.npz").read_bytes()


def test_features_of_another_archive_are_refused(folder, settings):
    with pytest.raises(UserError, match="features of another archive"):
        embedding.read(settings, folder / "guided.npz", folder / "mixture.zip", "samples")


def test_features_of_other_settings_are_refused(folder, settings):
    other = settings.model_copy(update={"extractor": settings.extractor.model_copy(update={"resize": 96})})
    with pytest.raises(UserError, match="extractor: .*64.*expected .*96"):
        embedding.read(other, folder / "guided.npz", folder / "guided.zip", "samples")
    more = settings.model_copy(update={"classifier_images": 75})
    with pytest.raises(UserError, match="classifier_images: 50, expected 75"):
        embedding.read(more, folder / "dataset.npz", folder / "dataset.zip", "dataset")


def test_too_few_samples_are_refused_with_the_counts(folder, settings):
    data = archive.read(folder / "dataset.zip", "dataset")
    samples = archive.read(folder / "guided.zip", "samples")
    few = archive.ImageArchive(samples.images[:-5], samples.index.iloc[:-5], samples.made)
    features = embedding.Features(np.zeros((len(few.index), 4)), np.arange(len(few.index)))
    with pytest.raises(UserError, match="class gravel has 21 samples, but 24 are compared"):
        measure.evaluate(settings, data, features, few, features)
    two = archive.ImageArchive(samples.images[:52], samples.index.iloc[:52], samples.made)
    with pytest.raises(UserError, match=r"classes \['brick', 'grass'\]; all of \['brick', 'grass', 'gravel'\], one"):
        measure.evaluate(settings, data, features, two, features)


def test_samples_of_one_class_are_measured_as_that_class_is_among_all(folder, settings):
    data, samples = archive.read(folder / "dataset.zip", "dataset"), archive.read(folder / "guided.zip", "samples")
    known = embedding.read(settings, folder / "dataset.npz", folder / "dataset.zip", "dataset")
    features = embedding.read(settings, folder / "guided.npz", folder / "guided.zip", "samples")
    of_grass = np.flatnonzero(samples.labels == 1)
    one = embedding.Features(features.at(of_grass), np.arange(len(of_grass)))
    every = [row for row in measure.evaluate(settings, data, known, samples, features) if row["class"] == "grass"]
    alone = measure.evaluate(settings, data, known, samples.select(label=1), one)
    assert {row["class"] for row in alone} == {"grass"}
    assert {row["measure"]: row["value"] for row in alone} == pytest.approx(
        {row["measure"]: row["value"] for row in every}
    )


def test_the_cost_of_samples_is_the_mean_of_their_network_evaluations(folder, settings):
    data, samples = archive.read(folder / "dataset.zip", "dataset"), archive.read(folder / "guided.zip", "samples")
    known = embedding.read(settings, folder / "dataset.npz", folder / "dataset.zip", "dataset")
    features = embedding.read(settings, folder / "guided.npz", folder / "guided.zip", "samples")
    index = samples.index.assign(evaluations=np.arange(len(samples.index)))
    rows = measure.evaluate(settings, data, known, archive.ImageArchive(samples.images, index, samples.made), features)
    cost = [row["value"] for row in rows if row["measure"] == "network_evaluations"]
    assert cost == [(len(index) - 1) / 2]


def test_the_count_is_the_smallest_class_and_few_images_have_as_many_neighbours_as_there_are_others(folder, settings):
    data = archive.read(folder / "dataset.zip", "dataset")
    assert common_count(settings.model_copy(update={"images": 1000}), data) == 30
    assert "30 a side (1000 asked" in measure.protocol(settings.model_copy(update={"images": 1000}), data)
    assert "; 3 neighbours; " in measure.protocol(settings, data)
    known = embedding.read(settings, folder / "dataset.npz", folder / "dataset.zip", "dataset")
    of_brick = np.flatnonzero((data.index["split"] == "test") & (data.index["class"] == "brick"))

    def with_bricks(count):  # in the test images
        keep = np.setdiff1d(known.rows, of_brick[count:])
        few = archive.ImageArchive(data.images[keep], data.index.iloc[keep].reset_index(drop=True), data.made)
        return few, embedding.Features(known.at(keep), np.arange(len(keep)))

    few, features = with_bricks(3)
    assert "; 2 neighbours (3 asked); " in measure.protocol(settings, few)
    found = measure.evaluate(settings, few, features)
    assert found == measure.evaluate(settings.model_copy(update={"neighbours": 2}), few, features)
    assert {row["count"] for row in found if row["measure"] == "coverage"} == {3}
    with pytest.raises(UserError, match=r"brick \(test\) has 1 images; the measures need at least 2"):
        common_count(settings, with_bricks(1)[0])


def test_more_images_over_all_classes_leave_the_rows_of_a_class_as_they_were(folder, settings, evaluated, tmp_path):
    more = settings.model_copy(update={"images_all": 39})
    data = (folder / "dataset.zip", folder / "dataset.npz")
    over_all = "24 a side, 39 over all classes (each image's class drawn anew) against"
    assert over_all in measure.protocol(more, archive.read(data[0], "dataset"))
    for name, before in evaluated.items():
        samples = (None, None) if name == "real" else (folder / f"{name}.zip", folder / f"{name}.npz")
        evaluate_to(more, name, *data, *samples, tmp_path / f"{name}.json")
        rows, was = table(artifacts.read_json(tmp_path / f"{name}.json", "evaluation")[0]), table(before)
        over_all = [("all", m) for m in COMPARED | COPIES]
        assert set(rows.loc[over_all, "count"]) == {39}
        assert (rows.loc[over_all, "value"] != was.loc[over_all, "value"]).any()
        if name != "mixture":  # whose draws of 39 rows are others than those of 24
            pd.testing.assert_frame_equal(rows.drop(over_all), was.drop(over_all))


def test_too_few_samples_without_class_name_the_setting_that_asks_for_more(folder, settings):
    data, samples = archive.read(folder / "dataset.zip", "dataset"), archive.read(folder / "mixture.zip", "samples")
    known = embedding.read(settings, folder / "dataset.npz", folder / "dataset.zip", "dataset")
    features = embedding.read(settings, folder / "mixture.npz", folder / "mixture.zip", "samples")
    with pytest.raises(
        UserError, match=r"there are 39 samples, but 72 are compared: .* lower evaluation.images_all to 39"
    ):
        measure.evaluate(settings.model_copy(update={"images_all": 72}), data, known, samples, features)


def test_over_all_classes_the_draws_of_the_classes_are_put_together(folder, settings):
    every = settings.model_copy(update={"images_all": 1000})
    data = archive.read(folder / "dataset.zip", "dataset")
    features = embedding.read(every, folder / "dataset.npz", folder / "dataset.zip", "dataset")
    sides = [training_rows(every, data.index), data.rows_by_label("test")]
    of_real, of_test = (
        [draws(rows[label], 24, 3, generator_of(every, side, label)) for label in range(3)]
        for rows, side in zip(sides, ("real", "generated"), strict=True)
    )
    values = [
        frechet_distance(features.at(np.concatenate(r)), features.at(np.concatenate(t)))
        for r, t in zip(zip(*of_real, strict=True), zip(*of_test, strict=True), strict=True)
    ]
    rows = [r for r in measure.evaluate(every, data, features) if r["class"] == "all" and r["measure"] == "frechet"]
    assert [row["count"] for row in rows] == [72]
    assert rows[0]["value"] == pytest.approx(np.mean(values))


def test_draws_are_disjoint_where_they_can_be():
    g = np.random.default_rng(0)
    apart = np.concatenate(draws(np.arange(90), 30, 3, g))
    assert sorted(apart) == list(range(90))
    assert all(len(set(d)) == 30 for d in draws(np.arange(40), 30, 3, g))


@pytest.mark.parametrize("sizes", [Counts(32, 32, 146), Counts(192, 192, 3), Counts(60, 200, 10), Counts(20, 59, 3)])
def test_over_all_every_class_stands_for_its_share(sizes):
    g = np.random.default_rng(0)
    found = np.array([shares(sizes, g) for _ in range(4000)])
    assert (found.sum(1) == sizes.all).all() and found.max() <= sizes.one
    expected = sizes.all / sizes.classes
    error = np.sqrt(max(found.var(), expected) / len(found))
    assert np.abs(found.mean(0) - expected).max() < 5 * error
    pairs = (found * (found - 1)).mean() * sizes.classes**2 / (sizes.all * (sizes.all - 1))
    assert pairs < 0.97 if sizes.fixed else abs(pairs - 1) < 0.03  # of one class, over those of independent draws
    assert not sizes.fixed or (np.unique(found).tolist() == [19, 20])


def test_one_image_of_each_of_many_small_classes_is_refused_with_the_counts_that_would_do(folder, settings):
    data = archive.read(folder / "dataset.zip", "dataset")
    few = settings.model_copy(update={"images": 2, "neighbours": 1, "images_all": 3})
    with pytest.raises(UserError, match="3 images of 3 classes with 2 each.*images_all to 2, or above 3"):
        counts(few, data)


def write_denoising(path):
    rows = [
        {"target": t, "class": c, "sigma": s, "psnr": 20 + s + i, "spread": 0.1, "images": 8}
        for t in ("right", "none")
        for i, c in enumerate(CLASSES)
        for s in (0.1, 0.5)
    ]
    row = {"block": "middle", "sigma": 0.1, "between": 6.0, "within": 2.0, "nearest_centroid": 0.9}
    scatter = [{**row, "network": "trained", "ratio": 3.0}, {**row, "network": "untrained", "ratio": 1.0}]
    artifacts.write_json(path, {"rows": rows, "scatter": scatter}, artifacts.manifest("denoising", {}))
    return path


def write_distances(path, **centroids):
    pair = {"model": "m", "first": "brick", "second": "grass", "density": 3.0, "error": 0.1, **centroids}
    artifacts.write_json(path, {"rows": [pair]}, artifacts.manifest("distances", {}))
    return path


def gather(where, evaluations, denoisings, distances=None):
    collect(
        evaluations,
        denoisings,
        distances or {},
        metrics=where / "metrics.json",
        quality=where / "quality.csv",
        denoising_table=where / "denoising.csv",
        scatter_table=where / "scatter.csv",
        distances_table=where / "distances.csv",
    )


def test_collect_gathers_metrics_and_tidy_tables(folder, evaluated, tmp_path):
    files = [folder / f"{name}.json" for name in ("real", "guided", "mixture")]
    distances = {
        "guided": write_distances(tmp_path / "a.json", centroids=2.0),
        "label": write_distances(tmp_path / "b.json"),
    }
    gather(tmp_path, files, {"guided": write_denoising(tmp_path / "d.json")}, distances)
    pairs = pd.read_csv(tmp_path / "distances.csv")
    assert list(pairs) == ["model", "first", "second", "density", "error", "centroids"]
    assert pairs["centroids"].tolist() == pytest.approx([2.0, float("nan")], nan_ok=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    value = table(evaluated["guided"]).loc["brick", "frechet"]["value"]
    assert metrics["quality"]["guided"]["brick"]["frechet"] == value
    assert metrics["psnr"]["guided"]["right"]["sigma_0.1"] == pytest.approx(21.1)
    assert metrics["scatter"]["guided"]["middle"]["sigma_0.1"] == 3
    assert list(metrics["protocol"].values()) == [evaluated["real"]["protocol"]]
    quality = pd.read_csv(tmp_path / "quality.csv")
    assert list(quality) == ["samples", "class", "measure", "value", "spread", "interval", "count", "protocol"]
    assert len(quality) == sum(len(e["rows"]) for e in evaluated.values())
    assert set(quality["samples"]) == {"real-textures", "guided", "mixture"}
    denoising = pd.read_csv(tmp_path / "denoising.csv")
    assert list(denoising) == ["model", "target", "class", "sigma", "psnr", "spread", "images"] and len(denoising) == 12
    assert pd.read_csv(tmp_path / "scatter.csv")["model"].tolist() == ["guided", "guided"]


def test_collect_refuses_mixed_protocols_and_equal_names(folder, settings, evaluated, tmp_path):
    other = settings.model_copy(update={"neighbours": 4})
    evaluate_to(
        other, "real-other", folder / "dataset.zip", folder / "dataset.npz", None, None, tmp_path / "other.json"
    )
    with pytest.raises(UserError, match=r"different protocols(.|\n)*3 neighbours(.|\n)*4 neighbours"):
        gather(tmp_path, [folder / "guided.json", tmp_path / "other.json"], {})
    assert not (tmp_path / "metrics.json").exists()
    twin = tmp_path / "twin.json"
    twin.write_bytes((folder / "guided.json").read_bytes())
    with pytest.raises(UserError, match="same name"):
        gather(tmp_path, [folder / "guided.json", twin], {})


def test_collect_without_denoising_writes_tables_with_headers(folder, evaluated, tmp_path):
    gather(tmp_path, [folder / "guided.json"], {})
    assert (tmp_path / "scatter.csv").read_text() == "model,network,block,sigma,between,within,ratio,nearest_centroid\n"
