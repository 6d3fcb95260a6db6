"""Presets for published settings: planned from the images on; without the images, one message that says what to put
where."""

from pathlib import Path

import pytest
import yaml
from PIL import Image

from featdiff.settings.base import parse
from featdiff.settings.project import Params

ROOT = Path(__file__).resolve().parents[2]


def preset(name):
    return yaml.safe_load((ROOT / f"workflow/presets/{name}.yaml").read_text())


@pytest.mark.parametrize(
    ("name", "path", "target"),
    [
        ("celeba64", "images/celeba/faces", "results/evaluation/celeba-momentum.json"),
        ("cifar10", "images/cifar10/frog", "results/evaluation/cifar-feature.json"),
    ],
)
def test_a_preset_of_images_that_are_not_shipped_asks_for_them_and_then_plans_its_target(project, name, path, target):
    options = ("--dry-run", "--configfile", f"workflow/presets/{name}.yaml", "--", target)
    refused = project.snakemake(*options, ok=False)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert f"source.path: '{Path(path).parent}' is missing or empty; it should be a folder" in refused.stderr
    (project.root / path).mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(project.root / path / "1.png")
    planned = project.stale(*options[1:])
    assert {"prepare", "train", "levels", "sample", "gather", "embed", "evaluate"} <= set(planned)
    assert planned["train"] == planned["levels"] == 1
    assert ("centroids" in planned) == (name == "cifar10")


def test_the_animals_are_fetched_first_and_by_nobody_else(project):
    target = "results/evaluation/animals-blur-label.json"
    planned = project.stale("--configfile", "workflow/presets/animals.yaml", "--", target)
    assert planned["asset"] == planned["prepare"] == planned["levels"] == 1
    assert "asset" not in project.stale()


def test_the_textures_are_fetched_first_and_new_classes_wait_for_a_network_that_never_saw_them(project):
    planned = project.stale(
        "--configfile", "params.yaml", "workflow/presets/ufoai.yaml", "--", "results/evaluation/ufoai-4.json"
    )
    assert planned["asset"] == planned["train"] == planned["examples"] == 1 and planned["prepare"] == 2
    rows = preset("ufoai")["datasets"]
    assert {name: row["classes"]["take"] for name, row in rows.items()} == {"ufoai": "known", "ufoai-new": "new"}
    same = [{**row, "classes": {**row["classes"], "take": None}} for row in rows.values()]
    assert {**same[0], "layout": None} == {**same[1], "layout": None}
    assert {**same[0]["layout"], "test_stride": 12} == same[1]["layout"]


def test_one_line_of_settings_fetches_the_weights_of_fid_first_unless_they_are_named(project, monkeypatch):
    (project.root / "fid.yaml").write_text("evaluation: {extractor: {kind: inception}}\n")
    options = ("--configfile", "params.yaml", "fid.yaml", "--", "results/evaluation/guided.json")
    monkeypatch.delenv("FEATDIFF_INCEPTION", raising=False)
    assert project.stale(*options)["weights"] == 1
    monkeypatch.setenv("FEATDIFF_INCEPTION", "anywhere.pt")
    planned = project.stale(*options)
    assert "weights" not in planned and planned["embed"] == 2


@pytest.mark.parametrize("name", ["paper", "paper-colour"])
def test_the_papers_width_knows_all_textures_but_those_held_back_and_draws_new_ones_from_1_to_400_images(project, name):
    overlays = ("--configfile", "params.yaml", "workflow/presets/paper.yaml")
    rows = [name, f"{name}-1", f"{name}-16", f"{name}-400", f"real-{name}", f"real-{name}-new"]
    planned = project.stale(*overlays, "--", *(f"results/evaluation/{row}.json" for row in rows))
    assert planned["asset"] == planned["train"] == planned["centroids"] == 1 and planned["prepare"] == 2
    assert planned["examples"] == 3 and planned["evaluate"] == 6
    known, new = (preset("paper")["datasets"][row] for row in (name, f"{name}-new"))
    assert known["classes"] == {"new": 40, "take": "known"} and new == {**known, "classes": {"new": 40, "take": "new"}}


def test_images_between_classes_need_no_further_training(project):
    planned = project.stale("--configfile", "params.yaml", "workflow/presets/between.yaml")
    assert planned["between"] == planned["between_measures"] == 2
    default = project.stale()
    assert "between" not in default and planned["train"] == default["train"]


def test_the_sweep_is_one_target_with_one_table(project):
    planned = project.stale("--configfile", "params.yaml", "workflow/presets/sweep.yaml", "--", "sweep")
    count = len(preset("sweep")["sweep"])
    assert planned["sweep"] == 1 and planned["train"] == planned["evaluate"] == count
    assert planned["denoise"] == planned["health"] == count
    assert "report" not in planned and "distances" not in planned
    assert "sweep" not in project.stale()


def test_repeats_train_each_model_once_a_seed_and_are_one_target_with_one_table(project):
    overlays = ("--configfile", "params.yaml", "workflow/presets/guidance.yaml", "workflow/presets/repeats.yaml")
    rows, seeds = preset("repeats")["repeats"]["rows"], preset("repeats")["repeats"]["seeds"]
    planned = project.stale(*overlays, "--", "repeats")
    count = 1 + len(seeds)
    assert planned["repeats"] == 1 and "report" not in planned
    assert planned["evaluate"] == planned["gather"] == len(rows) * count
    # guided, label; and the two weaker models of autoguidance, which are not measured
    assert planned["train"] == 4 * count and planned["denoise"] == 2 * count and planned["distances"] == count
    assert "repeats" not in project.stale()
    text = project.snakemake("--dry-run", "--printshellcmds", *overlays).stdout
    collect = next(line for line in text.splitlines() if "featdiff collect" in line)
    assert "results/evaluation/label-1.json" in collect and "-seed-" not in collect
    assert "--repeats-table results/tables/repeats.csv" in text
    project.edit_params({"repeats": {"seeds": [1], "rows": ["feature-auto-2", "feature-auto-3", "guided"]}})
    planned = project.stale("--configfile", "params.yaml", "workflow/presets/guidance.yaml", "--", "repeats")
    assert (
        planned["train"] == 4 and planned["denoise"] == 2
    )  # the weaker models of autoguidance are trained, not measured


def test_repeats_of_the_textures_share_models_among_known_and_new_classes(project):
    overlays = ("--configfile", "params.yaml", "workflow/presets/ufoai.yaml", "workflow/presets/ufoai-repeats.yaml")
    planned = project.stale(*overlays, "--", "repeats")
    assert planned["repeats"] == 1 and planned["train"] == 6 and planned["evaluate"] == 18
    assert planned["examples"] == 12 and planned["centroids"] == planned["distances"] == 3 and planned["denoise"] == 6


@pytest.mark.parametrize("name", ["evaluations", "sweep", "partners", "soft"])
def test_repeats_of_a_preset_train_its_models_again_and_nothing_else(project, name):
    overlays = ("--configfile", "params.yaml", f"workflow/presets/{name}.yaml", f"workflow/presets/{name}-repeats.yaml")
    planned = project.stale(*overlays, "--", "repeats")
    rows = preset(f"{name}-repeats")["repeats"]["rows"]
    assert planned["evaluate"] == 3 * len(rows) and "report" not in planned and "distances" not in planned
    assert planned["train"] == 3 * {"evaluations": 1, "soft": 2}.get(name, len(rows))


def test_lines_between_classes_are_measured_by_further_trainings(project):
    overlays = ("--configfile", "params.yaml", "workflow/presets/between.yaml", "workflow/presets/between-repeats.yaml")
    lines = [f"{line}{seed}" for line in preset("between")["between"] for seed in ("", "-seed-1", "-seed-2")]
    planned = project.stale(*overlays, "--", *(f"results/between/{line}/measures.json" for line in lines))
    assert planned["between"] == planned["between_measures"] == 6 and planned["train"] == 3


def test_every_sampler_is_measured_from_five_to_five_hundred_evaluations():
    rows = preset("evaluations")["samplings"].values()
    steps = {}
    for row in rows:
        sampler = row["sampler"]
        if sampler["kind"] != "ascent":
            cost = sampler["steps"] * 2 - 1 if sampler["kind"] == "heun" else sampler["steps"]
            steps.setdefault(sampler["kind"], []).append(cost)
    assert set(steps) == {"ddpm", "ddim", "heun", "dpm++2m"}
    assert all(min(found) == 5 and max(found) in (499, 500) and 25 in found for found in steps.values())


@pytest.mark.parametrize("name", ["soft", "animals"])
def test_the_comparison_on_many_images_draws_what_it_compares_from_one_network(project, name):
    overlays = ("--configfile", "params.yaml", f"workflow/presets/{name}.yaml", f"workflow/presets/{name}-many.yaml")
    rows, evaluation = preset(f"{name}-many")["samplings"], preset(f"{name}-many")["evaluation"]
    planned = project.stale(*overlays, "--", *(f"results/evaluation/{row}.json" for row in rows))
    assert planned["train"] == planned["levels"] == 1 and planned["evaluate"] == len(rows)
    assert {row["images"] for row in rows.values()} == {evaluation["images"]}


def test_the_published_blur_and_noise_are_the_settings_of_the_presets():
    celeba, cifar = (preset(name)["corruptions"] for name in ("celeba64", "cifar10"))
    assert celeba["celeba-blur"]["width"] == {"low": 0.01, "high": 23.0}
    assert cifar["cifar-blur"]["width"]["high"] / 32 == pytest.approx(23 / 64)
    assert celeba["celeba-blur"]["noise"] == cifar["cifar-blur"]["noise"] == {"low": 0.01, "high": 0.1, "until": 0.25}
    assert preset("celeba64")["levels"]["nodes"] == 32 and preset("celeba64")["levels"]["candidates"] == 256


def beside_the_defaults(name):
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for table, rows in preset(name).items():
        values[table] = {**values.get(table, {}), **rows} if isinstance(rows, dict) else rows
    return parse(Params, values, name)


@pytest.mark.parametrize("name", ["ufoai", "paper", "evaluations", "guidance", "partners", "sweep"])
def test_the_settings_of_a_preset_are_valid_beside_the_defaults(name):
    assert set(preset(name)["samplings"]) < set(beside_the_defaults(name).samplings)


@pytest.mark.parametrize("name", ["soft", "animals", "celeba64", "cifar10"])
def test_every_model_and_sampling_of_a_preset_is_valid_beside_the_default_settings(name):
    parsed = beside_the_defaults(name)
    assert {parsed.train_spec(model).corruption.kind for model in preset(name)["models"]} >= {"blur", "identity"}
