"""What is needed of a data set: every shortfall is a sentence with a value, and that value does."""

import importlib.resources
from pathlib import Path
from typing import Any

import pytest
import typer.testing
import yaml
from PIL import Image

from featdiff import cli
from featdiff.data.counting import counts_in, judged, needs_of
from featdiff.data.needs import RESERVED, as_json, from_json, judge
from featdiff.data.prepare import prepare
from featdiff.errors import UserError
from featdiff.evaluation.protocol import ALL
from featdiff.evaluation.repeats import CLASSES
from featdiff.settings.project import Params

ENOUGH = {"train": 9, "test": 3}
COUNTS = {"cats": ENOUGH, "dogs": {"train": 15, "test": 5}}


def project(**sections: Any) -> Params:
    """A project with a folder of pets; rows of ``sections`` are put over it."""
    values: dict[str, Any] = {
        "datasets": {"pets": {"source": {"kind": "folder", "path": "images"}, "layout": {"kind": "crop", "size": 16}}},
        "networks": {"small": {"widths": [8, 16]}},
        "trainings": {"short": {"images": 64, "batch": 16, "partners": 7}},
        "models": {
            "guided": {"dataset": "pets", "network": "small", "training": "short", "condition": "feature"},
            "mixture": {"dataset": "pets", "network": "small", "training": "short", "condition": "none"},
        },
        "samplings": {
            "guided": sampling("guided", {"kind": "feature"}, 3),
            "mixture": sampling("mixture", {"kind": "none"}, 6),
        },
        "report": {"guided": "guided", "baseline": "mixture"},
    }
    for name, rows in sections.items():
        values[name] = {**values.get(name, {}), **rows}
    return Params.model_validate(values)


def sampling(model: str, guidance: dict[str, Any], images: int) -> dict[str, Any]:
    return {"model": model, "guidance": guidance, "sampler": {"kind": "ddpm", "steps": 4}, "images": images}


def problems(counts: dict[str, dict[str, int]], **sections: Any) -> list[str]:
    return needs_of(project(**sections), "pets").problems(counts)


def test_enough_is_no_problem() -> None:
    assert problems(COUNTS) == []


def test_groups_larger_than_a_class_name_the_partners_that_fit_it_and_the_batch() -> None:
    counts = {**COUNTS, "owls": {"train": 6, "test": 2}}
    (found,) = problems(counts)
    assert found == (
        "class 'owls' has 6 training image(s), and trainings.short.partners of 7 needs 8: set it to 3 or add images"
    )
    assert problems(counts, trainings={"short": {"images": 64, "batch": 16, "partners": 3}}) == []
    (found,) = problems(counts, trainings={"short": {"images": 64, "batch": 24, "partners": 7, "micro_batch": 8}})
    assert "set it to 3" in found
    found = "\n".join(problems(counts, trainings={"short": {"images": 64, "batch": 24, "partners": 11}}))
    assert found.count("set it to 5 or") == 2  # cats and owls: one value does for both
    seven = {"short": {"images": 64, "batch": 7, "partners": 6}}  # no smaller group divides seven
    (found,) = problems(counts, trainings=seven)
    assert "set it" not in found and found.endswith("add images")


def test_one_value_does_for_all_classes_that_are_too_small() -> None:
    small = {"cats": {"train": 6, "test": 2}, "dogs": {"train": 3, "test": 2}}
    found = problems(small)
    assert len(found) == 2 and all("set it to 1 or" in line for line in found)
    assert problems(small, trainings={"short": {"images": 64, "batch": 16, "partners": 1}}) == []


def test_a_model_without_features_needs_no_group() -> None:
    with_labels = {"condition": "label", "dataset": "pets", "network": "small", "training": "labels"}
    trainings = {"labels": {"images": 64, "batch": 16, "partners": 15}}
    assert problems(COUNTS, models={"told": with_labels}, trainings=trainings) == []


def test_images_that_a_setting_has_cut_off_can_be_had_back() -> None:
    pets = {"source": {"kind": "folder", "path": "images"}, "layout": {"kind": "crop", "size": 16}}
    (found,) = problems({"cats": {"train": 4, "test": 3}}, datasets={"pets": {**pets, "max_images_per_class": 4}})
    assert "set it to 3 or set datasets.pets.max_images_per_class to 8 or add images" in found


@pytest.mark.parametrize(("train", "test", "way"), [(7, 1, "set datasets.pets.test_fraction to 0.25"), (2, 1, "add")])
def test_a_class_with_one_test_image_names_the_fraction_that_would_do(train: int, test: int, way: str) -> None:
    found = [line for line in problems({**COUNTS, "owls": {"train": train, "test": test}}) if "test image" in line]
    assert len(found) == 1 and "class 'owls' has 1 test image(s)" in found[0] and f"need 2: {way}" in found[0]
    if train == 7:
        assert round(0.25 * (train + test)) == 2


def test_patches_are_had_by_their_stride() -> None:
    layout = {"kind": "patches", "size": 16, "stride": 4, "test_stride": 16}
    pets = {"source": {"kind": "folder", "path": "images"}, "layout": layout}
    (found,) = problems({"cats": {"train": 90, "test": 1}}, datasets={"pets": pets})
    assert "lower datasets.pets.layout.test_stride or raise datasets.pets.test_fraction" in found


def test_fewer_samples_than_are_compared_name_both_settings_that_would_do() -> None:
    (found,) = problems(COUNTS, samplings={"guided": sampling("guided", {"kind": "feature"}, 2)})
    assert found.startswith("samplings.guided.images is 2, and 3 images of each class are compared: set it to 3, or ")
    assert found.endswith("evaluation.images to 2")
    few = {"guided": sampling("guided", {"kind": "feature"}, 2)}
    assert problems(COUNTS, samplings=few, evaluation={"images": 2}) == []
    (found,) = problems(
        COUNTS,
        evaluation={"images_all": 40, "neighbours": 2, "images": 4},
        samplings={"mixture": sampling("mixture", {"kind": "none"}, 5)},
    )
    assert (
        "samplings.mixture.images is 5, and 6 images are compared: set it to 6, or evaluation.images_all to 5" in found
    )


def test_one_image_of_each_of_many_classes_is_no_draw() -> None:
    counts = {name: {"train": 9, "test": 2} for name in "abc"}
    (found,) = problems(counts, evaluation={"images_all": 3, "neighbours": 1})
    assert "set evaluation.images_all to 2, or above 3" in found
    assert problems(counts, evaluation={"images_all": 2, "neighbours": 1}) == []


def test_classes_that_settings_name_must_be_there_and_none_may_have_a_name_of_the_tables() -> None:
    row = {"dataset": "pets", "network": "small", "training": "short", "condition": "none", "only": "owls"}
    line = {"sampling": "guided", "first": "cats", "second": "newts"}
    found = problems(COUNTS, models={"alone": row}, between={"line": line})
    assert [text.split(",")[0] for text in found] == [
        "models.alone.only names the class 'owls'",
        "between.line.second names the class 'newts'",
    ]
    assert set(RESERVED) == {ALL, CLASSES}
    assert "rename the class" in problems({**COUNTS, "all": ENOUGH})[0]


def test_rows_of_other_data_sets_and_copies_ask_nothing_more() -> None:
    other = {"source": {"kind": "packaged"}, "layout": {"kind": "crop", "size": 16}}
    model = {"dataset": "other", "network": "small", "training": "long", "condition": "feature"}
    long = {"images": 64, "batch": 64, "partners": 31}
    alone = needs_of(project(), "pets")
    more = project(datasets={"other": other}, models={"more": model}, trainings={"long": long})
    assert needs_of(more, "pets") == alone
    assert [group.partners for group in needs_of(more, "other").groups] == [31]
    assert needs_of(project(repeats={"seeds": [1, 2], "rows": ["guided"]}), "pets") == alone


def test_needs_go_through_the_command_line_and_a_long_list_is_cut() -> None:
    needs = needs_of(project(), "pets")
    assert from_json(as_json({"pets": needs}), "pets") == needs and from_json("{}", "pets") is None
    with pytest.raises(UserError, match="--needs takes JSON text"):
        from_json("pets.yaml", "pets")
    with pytest.raises(UserError, match="data set 'pets': not enough(.|\n)*'00'(.|\n)*'09'(.|\n)*and 2 more"):
        judge("data set 'pets'", needs, {f"{k:02}": {"train": 2, "test": 2} for k in range(12)})


# --- real images ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8, 12 and 20 squares of the packaged photographs, a folder each."""
    root = tmp_path_factory.mktemp("own")
    for name, count in (("brick", 8), ("grass", 12), ("gravel", 20)):
        photograph = Image.open(str(importlib.resources.files("skimage.data") / f"{name}.png"))
        (root / "images" / name).mkdir(parents=True)
        for k in range(count):
            y, x = 64 * (k // 8), 64 * (k % 8)
            photograph.crop((x, y, x + 64, y + 64)).save(root / "images" / name / f"{k:03}.png")
    return root


def test_preparing_refuses_too_few_images_before_anything_is_written(images: Path, tmp_path: Path) -> None:
    params = project()
    settings = params.datasets["pets"].model_copy(
        update={"source": params.datasets["pets"].source.model_copy(update={"path": str(images / "images")})}
    )
    command = ["prepare", "--settings", settings.model_dump_json(), "--name", "pets", "--out", str(tmp_path / "d.zip")]
    done = typer.testing.CliRunner().invoke(cli.app, [*command, "--needs", as_json({"pets": needs_of(params, "pets")})])
    assert isinstance(done.exception, UserError) and "class 'brick' has 6 training image(s)" in str(done.exception)
    assert not list(tmp_path.glob("*.zip"))
    fewer = project(trainings={"short": {"images": 64, "batch": 16, "partners": 3}})
    done = typer.testing.CliRunner().invoke(cli.app, [*command, "--needs", as_json({"pets": needs_of(fewer, "pets")})])
    assert done.exit_code == 0, done.output
    plain = typer.testing.CliRunner().invoke(cli.app, [*command[:-1], str(tmp_path / "plain.zip")])
    assert plain.exit_code == 0
    assert (tmp_path / "plain.zip").read_bytes() == (tmp_path / "d.zip").read_bytes()  # needs change no bit


def test_counts_of_an_archive_are_those_of_its_images(images: Path, tmp_path: Path) -> None:
    summary = prepare(project().datasets["pets"], tmp_path / "d.zip", base=images)
    assert counts_in(tmp_path / "d.zip") == summary.counts
    assert summary.counts["brick"] == {"train": 6, "test": 2}


def test_check_judges_archives_that_are_there_unless_their_settings_have_changed(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project()
    prepare(params.datasets["pets"], tmp_path / "results/data/pets/dataset.zip", base=images)
    monkeypatch.chdir(tmp_path)

    def check(*options: str, **sections: Any) -> typer.testing.Result:
        text = yaml.safe_dump(project(**sections).model_dump(mode="json"))
        Path("mine.yaml").write_text(text)
        return typer.testing.CliRunner().invoke(cli.app, ["check", "mine.yaml", *options])

    done = check()
    assert isinstance(done.exception, UserError) and "partners of 7 needs 8: set it to 3" in str(done.exception)
    assert check("--results", "elsewhere").output == "mine.yaml: all settings are valid\n"
    done = check(trainings={"short": {"images": 64, "batch": 16, "partners": 3}})
    assert done.output == "mine.yaml: all settings are valid\nresults: enough images for them: pets\n"
    changed = params.datasets["pets"].model_dump(mode="json") | {"test_fraction": 0.3}
    assert check(datasets={"pets": changed}).output == "mine.yaml: all settings are valid\n"
    assert judged(project(datasets={"pets": changed}), [("pets", Path("results/data/pets/dataset.zip"))]) == ([], [])
