"""dvc.yaml: generated, current, and refused where it is not."""

import sys
from pathlib import Path

import yaml

from featdiff.settings.base import parse
from featdiff.settings.project import Params
from featdiff.versions import dvcfile

ROOT = Path(__file__).resolve().parents[2]


def test_dvc_yaml_and_the_rule_graph_are_what_the_snakefile_says(pristine):
    done = pristine.run("featdiff", "ledger", "check", ok=False)
    assert done.returncode == 0, f"{done.stderr}\nmend with: featdiff ledger write"


def test_writing_twice_gives_the_same_bytes(project):
    before = (project.root / "dvc.yaml").read_bytes()
    project.run("featdiff", "ledger", "write")
    once = (project.root / "dvc.yaml").read_bytes()
    project.run("featdiff", "ledger", "write")
    assert (project.root / "dvc.yaml").read_bytes() == once == before


def test_every_output_persists_and_only_small_text_stays_out_of_the_cache():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in stages.values():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                ((path, options),) = entry.items()
                assert options["persist"]
                assert (options.get("cache") is False) == path.endswith((".csv", "metrics.json"))


def test_temporary_shards_are_no_stage_but_what_they_depend_on_is_a_dependency():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert not [name for name in stages if name.startswith("sample-")]
    gather = stages["gather-guided"]
    assert "results/models/guided/centroids.npz" in gather["deps"]
    assert gather["params"][0] == {"workflow/code.json": ["commands.gather-with-sample-shard"]}
    assert "--allowed-rules gather sample --" in gather["cmd"]


def test_a_new_row_makes_the_ledger_ask_for_writing(project):
    project.edit_params({"trainings": {"other": {"images": 640}}, "models": {"guided": {"training": "other"}}})
    for command in ("check", "record", "adopt"):
        done = project.run("featdiff", "ledger", command, ok=False)
        assert done.returncode == 2
        assert "run 'featdiff ledger write'" in done.stderr
    project.run("featdiff", "ledger", "write")
    assert "trainings.other" in (project.root / "dvc.yaml").read_text()


def test_outside_a_project_the_ledger_says_where_to_go(pristine, tmp_path):
    done = type(pristine)(tmp_path).run("featdiff", "ledger", "check", ok=False)
    assert done.returncode == 2
    assert "project's root" in done.stderr


def test_a_section_left_to_its_defaults_is_not_named():
    values = {"samplings": {"guided": {"images": 3}}}
    assert dvcfile._has(values, "samplings.guided")
    assert not dvcfile._has(values, "evaluation")
    assert not dvcfile._has(values, "samplings.other")


def test_dvc_asks_for_every_written_setting_but_those_that_change_no_bits():
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    inception = {"kind": "inception", "weights": "some.pt", "sha256": "0" * 64}
    written |= {"evaluation": {"images": 3, "extractor": inception}}
    written["trainings"]["preview"] = {"images": 64, "save_every": 32}
    keys = dvcfile._keys(written, parse(Params, written, "here"))
    assert dvcfile._leaves(dvcfile._under(keys, "evaluation"), "evaluation") == [
        "evaluation.extractor.kind",
        "evaluation.extractor.sha256",
        "evaluation.images",
    ]
    row = "trainings.preview"
    assert dvcfile._leaves(dvcfile._under(keys, row), row) == ["trainings.preview.images"]


READ_AND_CHANGE = """
import sys
from pathlib import Path
from featdiff.versions.graph import read_graph
file = Path("featdiff/evaluation/kernel.py")
for _ in range(4):
    print(read_graph().codes["measure"].digest)
    file.write_text(file.read_text() + "if True:\\n    pass\\n")
"""


def test_a_graph_that_is_read_again_in_one_process_has_the_code_of_that_reading(project):
    digests = project.run(sys.executable, "-c", READ_AND_CHANGE).stdout.split()
    assert len(set(digests)) == 4
