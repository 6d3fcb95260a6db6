"""The graph: the right jobs, complete dependencies, and one clear message for what a user can get wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from featdiff.settings.project import load, schema

ROOT = Path(__file__).resolve().parents[2]
MINE = {"model": "mixture", "guidance": {"kind": "none"}, "sampler": {"kind": "ddim"}, "images": 8}
PACKED = {"kind": "zip", "name": None, "path": "mine.zip"}


def test_schema_file_is_the_one_that_the_settings_generate():
    path = ROOT / "workflow/schemas/params.schema.json"
    assert path.read_text() == schema(), f"out of date; mend with: featdiff schema > {path.relative_to(ROOT)}"


def test_a_dry_run_lists_exactly_the_jobs_that_the_rows_call_for(project):
    rows = load(ROOT / "params.yaml")
    feature = [name for name, model in rows.models.items() if model.condition == "feature"]
    datasets = {model.dataset for model in rows.models.values()}
    expected = {
        "prepare": len(datasets),
        "train": len(rows.models),
        "progress": 2,  # of the report's two models
        "health": len(rows.models),
        "centroids": len(feature),
        "denoise": len(rows.models),
        "distances": sum(model.condition != "none" for model in rows.models.values()),
        "sample": sum(sampling.shards for sampling in rows.samplings.values()),
        "gather": len(rows.samplings),
        "embed": len(rows.samplings) + len(datasets),
        "evaluate": len(rows.samplings) + len(datasets),
        "collect": 1,
        "report": 1,
    }
    assert {rule: count for rule, count in project.stale().items() if rule in expected} == expected


def test_soft_diffusion_plans_its_levels_once_for_a_corruption_and_plain_models_need_none(project):
    preset = yaml.safe_load((ROOT / "workflow/presets/soft.yaml").read_text())
    planned, before = project.stale("--configfile", "workflow/presets/soft.yaml"), project.stale()
    assert planned["levels"] == len(preset["corruptions"]) and "levels" not in before
    assert planned["train"] == before["train"] + len(preset["models"])
    assert planned["gather"] == before["gather"] + len(preset["samplings"])
    assert planned["distances"] == before["distances"]


def test_the_graph_is_built_without_torch():
    code = "import sys, workflow.common, workflow.sources; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_rule_declares_its_settings_sections_code_and_log():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        rules = text.count("\nrule ")
        for needed in ("sections=", "code=", "    log:", "    benchmark:", "mem_mb=by_attempt", "runtime="):
            assert text.count(needed) >= rules, f"{path.name}: a rule without {needed}"


def test_lint_finds_nothing(project):
    assert "good condition" in project.run("snakemake", "--lint").stderr


@pytest.mark.parametrize("profile", ["local", "gpu", "tiny", "slurm", "generic"])
def test_each_profile_plans_the_whole_graph(project, profile):
    done = project.run("snakemake", "--workflow-profile", f"workflow/profiles/{profile}", "--dry-run")
    assert "Writing the report" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"evaluation": {"neighbors": 5}}, ["evaluation.neighbors", "not permitted"]),
        ({"samplings": 5}, ["samplings", "valid dictionary"]),
        ({"samplings": {"guided": {"images": 0}}}, ["samplings.guided.images", "greater than or equal to 1", "got 0"]),
        ({"models": {"guided": {"dataset": "stones"}}}, ["models.guided.dataset", "stones", "textures"]),
        ({"datasets": {"../x": {}}}, ["datasets", "../x"]),
        ({"networks": {"small": {"widths": [8, 8, 8, 8, 8, 8]}}}, ["models.guided", "pixels", "a multiple of 32"]),
        ({"samplings": {"real-textures": MINE}}, ["real-textures", "choose another"]),
        ({"datasets": {"textures": {"source": PACKED}}}, ["datasets.textures.source"]),
    ],
)  # fmt: skip
def test_a_bad_setting_ends_with_one_message_that_names_it(project, change, words):
    project.edit_params(change)
    done = project.snakemake("--dry-run", ok=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_an_overlay_that_changes_a_row_which_is_gone_names_the_row(project):
    rows = yaml.safe_load((project.root / "params.yaml").read_text())
    del rows["samplings"]["guided-strong"]
    (project.root / "params.yaml").write_text(yaml.safe_dump(rows))
    done = project.run("snakemake", "--workflow-profile", "workflow/profiles/tiny", "--dry-run", ok=False)
    assert done.returncode == 2
    assert "params.yaml has no row samplings.guided-strong: put it back, or take it out" in done.stderr


def test_missing_images_are_named_before_anything_runs(project):
    project.edit_params({"datasets": {"textures": {"source": {"kind": "folder", "path": "my images"}}}})
    text = (project.root / "params.yaml").read_text().replace("      name: skimage-textures\n", "")
    (project.root / "params.yaml").write_text(text)
    done = project.snakemake("--dry-run", ok=False)
    assert done.returncode == 2
    assert "datasets.textures.source.path: 'my images' is missing or empty" in done.stderr


NASTY = ["plain", "a b'c", '$(touch pwned) "q"', "süß;touch pwned&", "x" * 200]


def test_class_names_and_raw_files_with_any_characters_never_reach_a_shell(project):
    folder = project.root / "raw images"
    for number, name in enumerate(NASTY):
        (folder / name).mkdir(parents=True)
        for index in range(4):
            Image.new("L", (16, 16), 40 * number + 8 * index).save(folder / name / f"{name} {index}.png")
    rows = yaml.safe_load((project.root / "params.yaml").read_text())
    rows["datasets"]["textures"] = {
        "source": {"kind": "folder", "path": "raw images"},
        "layout": {"kind": "crop", "size": 16},
        "test_fraction": 0.5,
    }
    rows["trainings"]["preview"]["partners"] = 1  # two images a class are for training
    (project.root / "params.yaml").write_text(yaml.safe_dump(rows))
    project.snakemake("--", "results/data/textures/dataset.zip")
    assert not list(project.root.rglob("pwned*"))
    made = project.run("unzip", "-p", "results/data/textures/dataset.zip", "index.csv").stdout
    assert all(name.split('"')[0] in made for name in NASTY)
    assert "prepare" not in project.stale()
    (folder / "plain").rename(folder / "{wildcard}")
    assert "takes braces for wildcards" in project.snakemake("--dry-run", ok=False).stderr
    (folder / "{wildcard}").rename(folder / "plain")
    Image.new("L", (16, 16), 7).save(folder / "plain" / "one more.png")
    assert project.stale()["prepare"] == 1


@pytest.mark.parametrize("preset", ["partners", "guidance"])
def test_every_preset_over_the_default_settings_is_a_graph_with_all_its_models(project, preset):
    rows = yaml.safe_load((project.root / f"workflow/presets/{preset}.yaml").read_text())
    planned = project.stale("--configfile", "params.yaml", f"workflow/presets/{preset}.yaml")
    default = project.stale()
    assert planned["train"] == default["train"] + len(rows["models"])
    assert planned["gather"] == default["gather"] + len(rows["samplings"])


def test_new_classes_from_a_few_images_are_a_data_set_and_a_table_of_centroids_each(project):
    textures = yaml.safe_load((project.root / "params.yaml").read_text())["datasets"]["textures"]
    guidance = {"kind": "feature", "examples": {"dataset": "sand", "images": 4}}
    project.edit_params(
        {
            "datasets": {"textures": {"classes": ["brick", "grass"]}, "sand": {**textures, "classes": ["gravel"]}},
            "samplings": {"few": {"model": "guided", "guidance": guidance, "sampler": {"kind": "ddpm"}, "images": 8}},
        }
    )
    planned = project.stale("results/evaluation/few.json")
    assert planned == {
        "prepare": 2,
        "train": 1,
        "centroids": 1,
        "examples": 1,
        "sample": 1,
        "gather": 1,
        "embed": 2,
        "evaluate": 1,
    }


def test_the_guidance_study_runs_for_its_page_and_for_a_report_that_asks_for_it(project):
    study = {"mixture", "mixture_bridge", "mixture_page"}
    assert not study & set(project.stale())
    assert set(project.stale("mixture_page")) == study
    project.edit_params({"report": {"mixture": True}})
    asked = project.snakemake("--dry-run", "--printshellcmds").stdout
    assert "--mixture results/mixture --bridge results/mixture/bridge" in asked and "mixture_page" not in asked
    rows = yaml.safe_load((project.root / "params.yaml").read_text())
    del rows["mixture"]["bridge"]
    (project.root / "params.yaml").write_text(yaml.safe_dump(rows))
    assert set(project.stale("mixture_page")) == study - {"mixture_bridge"}
    del rows["mixture"]
    (project.root / "params.yaml").write_text(yaml.safe_dump(rows))
    assert "there is no section 'mixture'" in project.snakemake("--dry-run", ok=False).stderr
