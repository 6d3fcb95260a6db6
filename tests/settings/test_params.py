"""Settings are refused with the key, the value and what is allowed; rows are resolved."""

import copy

import pytest
import yaml

from featdiff.errors import UserError
from featdiff.settings.base import parse
from featdiff.settings.project import Params, load


@pytest.fixture
def values():
    with open("params.yaml", encoding="utf-8") as stream:
        return yaml.safe_load(stream)


def refused(values, pattern):
    with pytest.raises(UserError, match=pattern):
        parse(Params, values, "params.yaml")


def test_the_projects_own_settings_are_valid_and_rows_resolve(values):
    parsed = parse(Params, values, "params.yaml")
    spec = parsed.train_spec("guided")
    assert spec.condition == "feature" and spec.network == parsed.networks[values["models"]["guided"]["network"]]


def test_unknown_keys_are_named(values):
    values["centroids"]["levles"] = 3
    refused(values, r"centroids\.levles: Extra inputs are not permitted \(got 3\)")


@pytest.mark.parametrize(
    ("path", "value", "pattern"),
    [
        ("trainings.preview.learning_rate", -1, r"learning_rate: Input should be greater than 0 \(got -1\)"),
        ("trainings.preview.learning_rate", ".nan", "learning_rate"),
        ("networks.small.widths", [8], r"widths: Tuple should have at least 2 items"),
        ("networks.small.matched", ["bottom"], r"matched names \['bottom'\].*encoder0"),
        ("models.guided.network", "huge", r"models.guided.network is 'huge', which is not a row.*small"),
        ("samplings.guided.model", "mixture", "feature guidance needs a model with condition: feature"),
        ("samplings.guided.sigma_end", 50, "must be below sigma_start"),
        (
            "samplings.guided.sampler.kind",
            "magic",
            "'magic' found using 'kind' does not match any of the expected tags: 'ddpm', 'ddpm-posterior', 'ddim'",
        ),
        ("trainings.preview.partners", 6, r"batch .* must be a multiple of partners \+ 1 \(7\)"),
        ("report.guided", "mixture", "not feature-guided"),
        (
            "samplings.guided.guidance",
            {"kind": "classifier-free"},
            r"also trained without a target: set trainings\.preview\.target_dropout above 0, or take .* difference",
        ),
        (
            "samplings.mixture.guidance",
            {"kind": "classifier-free"},
            "classifier-free guidance needs .* condition: feature or label",
        ),
        (
            "samplings.guided.guidance",
            {"kind": "difference", "examples": {"dataset": "sand", "images": 4}},
            "dataset is 'sand', which is not a row",
        ),
        ("samplings.guided.guidance", {"kind": "autoguidance", "weak": "none"}, "weak is 'none', which is not a row"),
        ("samplings.guided.guidance", {"kind": "autoguidance", "weak": "mixture"}, "must share data set and condition"),
        ("samplings.guided.guidance.interval", [2, 1], r"interval must rise, got \[2.0, 1.0\]"),
        (
            "samplings.guided.guidance.examples",
            {"dataset": "sand", "images": 4},
            "dataset is 'sand', which is not a row",
        ),
        ("models.guided.only", "brick", "a model of one class .* has nothing to be told"),
        ("datasets.textures.layout.size", 2, r"layout\.patches\.size: Input should be greater than or equal to 8"),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(values, path, value, pattern):
    *parents, last = path.split(".")
    table = values
    for key in parents:
        table = table[key]
    table[last] = value
    refused(values, pattern)


SOFT = {
    "networks": {"soft": {"widths": [8, 8], "form": "soft"}},
    "corruptions": {"blur": {"kind": "blur", "width": {"high": 8.0}}, "mask": {"kind": "mask"}},
    "models": {
        "soft": {
            "dataset": "textures",
            "network": "soft",
            "training": "preview",
            "condition": "label",
            "corruption": "blur",
        }
    },
    "samplings": {
        "soft": {
            "model": "soft",
            "guidance": {"kind": "none"},
            "sampler": {"kind": "momentum", "steps": 8},
            "images": 4,
        }
    },
}


def softened(values):
    """The settings with a soft-diffusion model and a sampling of it."""
    for table, rows in SOFT.items():
        values[table] = {**values.get(table, {}), **copy.deepcopy(rows)}
    return values


def test_a_corruption_resolves_and_models_without_one_have_none(values):
    parsed = parse(Params, softened(values), "params.yaml")
    assert parsed.train_spec("guided").corruption is None
    found = parsed.train_spec("soft").corruption
    assert (found.width.low, found.width.high, found.width.until) == (0.01, 8.0, 1.0)
    assert (found.noise.low, found.noise.high, found.noise.until) == (0.01, 0.1, 0.25)
    assert parsed.levels_spec("mask").corruption.kind == "mask"


@pytest.mark.parametrize(
    ("path", "value", "pattern"),
    [
        ("corruptions.blur.width.high", 25.0, r"width\.high \(25 pixels\) is wider than the images of 24 pixels"),
        ("corruptions.blur.width.low", 9.0, r"low \(9.0\) must not be above high"),
        ("corruptions.blur.noise", {"low": 0}, r"noise\.low: Input should be greater than 0 \(got 0\)"),
        ("corruptions.blur.kind", "fog", "'fog' found using 'kind' does not match any of the expected tags"),
        ("models.soft.corruption", "fog", "models.soft.corruption is 'fog', which is not a row.*blur"),
        ("models.soft.corruption", None, "form soft, which needs a corruption"),
        ("models.soft.network", "small", "needs a network of form soft, but networks.small has form edm"),
        ("networks.soft.noise_embedding", 0, "set noise_embedding above 0"),
        ("samplings.soft.sampler.kind", "naive-ish", "'naive-ish' found using 'kind'"),
        ("samplings.soft.sampler", {"kind": "ddpm"}, "has a corruption, which ddpm does not know: take one of naive"),
        ("samplings.soft.sampler.nu", 0.5, "nu is a setting of soft-ddim, not of momentum"),
        (
            "samplings.guided.sampler",
            {"kind": "flow"},
            "levels are chosen for a corruption, and models.guided has none",
        ),
        ("levels.nodes", 300, r"nodes \(300\) must not be more than candidates \(256\)"),
        ("levels.eps", 0, "eps: Input should be greater than 0"),
    ],
)
def test_wrong_corruptions_are_refused_with_what_is_allowed(values, path, value, pattern):
    *parents, last = path.split(".")
    table = softened(values)
    table.setdefault("levels", {})
    for key in parents:
        table = table[key]
    table[last] = value
    refused(values, pattern)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"first": "sand"}, "between.line: there is no class 'sand'; classes: brick, grass, gravel"),
        ({"second": "brick"}, "first and second are both 'brick'"),
        ({"sampling": "mixture"}, "samplings.mixture must have feature guidance without examples and interval"),
        ({"sampling": "none"}, "between.line.sampling is 'none', which is not a row"),
        ({"shares": [0, 1, 0.5]}, "shares must rise"),
    ],
)
def test_a_line_between_classes_that_cannot_be_drawn_is_refused(values, change, pattern):
    values["between"] = {"line": {"sampling": "guided", "first": "brick", "second": "grass", **change}}
    refused(values, pattern)


def test_a_sweep_of_what_there_is_not_is_refused(values):
    values["sweep"] = ["guided", "none"]
    refused(values, "sweep is 'none', which is not a row")


def test_a_share_that_is_no_number_is_one_message_about_that_share(values):
    values["between"] = {
        "line": {"sampling": "guided", "first": "brick", "second": "grass", "shares": [0, float("nan")]}
    }
    refused(values, r"1 bad setting\(s\)\n  between.line.shares.1: Input should be a finite number \(got nan\)$")
    values["between"]["line"]["shares"] = [0]
    refused(values, r"between.line.shares: Tuple should have at least 2 items after validation, not 1 \(got \[0\]\)$")


def test_a_row_that_the_sweep_names_twice_is_refused(values):
    values["sweep"] = ["guided", "mixture", "guided"]
    refused(values, "sweep: guided stands there twice: name each once")


def with_repeats(values, **repeats):
    """Two further networks, autoguidance, and repeats of it."""
    values["trainings"]["short"] = {**values["trainings"]["preview"], "images": 64}
    values["models"]["weak"] = {**values["models"]["guided"], "training": "short"}
    auto = {"kind": "autoguidance", "weak": "weak"}
    values["samplings"]["auto"] = {**values["samplings"]["guided"], "guidance": auto}
    values["repeats"] = {"seeds": [1, 2], "rows": ["guided-strong", "auto"], **repeats}
    return values


def test_repeats_are_copies_of_rows_and_their_models_with_another_seed(values):
    found = parse(Params, with_repeats(values), "params.yaml")
    assert set(found.copies("models")) == {"guided-seed-1", "guided-seed-2", "weak-seed-1", "weak-seed-2"}
    assert found.copies("samplings")["auto-seed-2"] == ("auto", 2)
    auto, own = found.samplings["auto-seed-2"], found.samplings["auto"]
    assert (auto.model, auto.guidance.weak, auto.seed) == ("guided-seed-2", "weak-seed-2", 2)
    back = {"model": own.model, "guidance": own.guidance, "seed": 0}
    assert auto.model_copy(update=back) == own
    for name, (row, seed) in found.copies("models").items():
        assert found.models[name] == found.models[row].model_copy(update={"seed": seed})
    again = parse(Params, found.model_dump(mode="json"), "written with its copies")
    assert again == found
    del values["repeats"]
    without = parse(Params, values, "params.yaml")
    assert found.without_copies().model_copy(update={"repeats": None}) == without


@pytest.mark.parametrize(
    ("repeats", "pattern"),
    [
        ({"rows": ["none"]}, "repeats.rows is 'none', which is not a row.*guided-strong"),
        ({"rows": []}, "repeats.rows: Tuple should have at least 1 item"),
        ({"rows": ["auto", "auto"]}, "repeats.rows: auto stands there twice"),
        ({"seeds": []}, "repeats.seeds: Tuple should have at least 1 item"),
        ({"seeds": [3, 3]}, "repeats.seeds: 3 stands there twice"),
        ({"seeds": [-1]}, r"1 bad setting\(s\)\n  repeats.seeds.0: Input should be greater than or equal to 0"),
        ({"seeds": [0]}, "repeats.seeds: 0 is the seed of samplings.guided-strong itself"),
        ({"seeds": [7]}, "repeats.seeds: 7 is the seed of models.weak itself"),
    ],
)
def test_repeats_that_cannot_be_are_one_message_each(values, repeats, pattern):
    with_repeats(values, **repeats)["models"]["weak"]["seed"] = 7
    refused(values, pattern)


def test_a_copy_does_not_take_the_place_of_another_row(values):
    with_repeats(values)["models"]["guided-seed-2"] = {**values["models"]["guided"], "seed": 5}
    refused(values, "models.guided-seed-2 is what repeats would call a copy, but there is another row of this name")


def test_a_name_that_would_become_too_long_is_told_as_such(values):
    name = "x" * 60
    values["samplings"][name] = values["samplings"]["mixture"]
    values["repeats"] = {"seeds": [1], "rows": [name]}
    refused(values, f"samplings.{name}-seed-1 would be longer than 64 characters")


def test_how_many_images_the_sampling_draws_makes_no_difference_to_a_line(values):
    values["between"] = {"line": {"sampling": "guided", "first": "brick", "second": "grass"}}
    specs = []
    for images in (7, 8):
        values["samplings"]["guided"]["images"] = images
        specs.append(parse(Params, values, "params.yaml").between_spec("line"))
    assert specs[0] == specs[1] and specs[0].sampling.images == 96


def test_several_mistakes_are_told_at_once(values):
    broken = copy.deepcopy(values)
    broken["centroids"]["draws"] = 0
    broken["denoising"]["images_per_class"] = "many"
    refused(broken, r"2 bad setting\(s\)\n.*draws.*\n.*images_per_class")


def test_a_missing_or_broken_file_is_one_clear_message(tmp_path):
    with pytest.raises(UserError, match="no such settings file"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1,")
    with pytest.raises(UserError, match="not valid YAML"):
        load(tmp_path / "params.yaml")


def test_a_grid_of_regions_is_refused_only_where_a_matched_block_has_fewer_positions(values):
    values["networks"]["small"] = {"widths": [8, 8, 8, 8], "grid": 4}
    refused(values, r"has 3 positions a side, fewer than its grid of 4")
    values["networks"]["small"]["matched"] = ["encoder0", "encoder2", "decoder0"]
    parse(Params, values, "params.yaml")


def test_sampling_beyond_the_centroids_grid_is_refused_where_the_grid_is_used(values):
    values["samplings"]["guided"]["sigma_start"] = 80
    parse(Params, values, "params.yaml")
    values["trainings"]["preview"]["partner_noise"] = "same"
    refused(values, r"goes from sigma 80.0.*beyond the centroids' grid.*widen")
