"""Which runs leave something to record, by Snakemake's own reading of profile and arguments."""

from pathlib import Path

import pytest

from featdiff.errors import UserError
from featdiff.versions.graph import read_graph
from featdiff.versions.running import arguments, profile_path, why_not_recorded

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("profile", "extra", "words"),
    [
        ("local", [], None),
        ("gpu", ["--cores", "4"], None),
        ("slurm", [], None),
        ("local", ["--", "results/metrics.json"], None),
        ("tiny", [], "workflow/presets/tiny.yaml"),
        ("local", ["--configfile", "workflow/presets/tiny.yaml"], "settings beside params.yaml"),
        ("local", ["--config", "results=elsewhere"], "results=elsewhere"),
        ("local", ["-n"], "--dry-run makes nothing"),
        ("local", ["--touch"], "--touch makes nothing"),
        ("local", ["--directory", "/tmp"], "another folder"),
    ],
)
def test_only_a_run_of_params_yaml_into_results_leaves_something_to_record(profile, extra, words):
    why = why_not_recorded(arguments(profile_path(profile), extra))
    assert why is None if words is None else words in str(why)


def test_a_profile_is_a_name_or_a_path(tmp_path):
    (tmp_path / "config.yaml").write_text("cores: 1\n")
    assert profile_path("gpu") == Path("workflow/profiles/gpu")
    assert profile_path(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match=r"no such profile \(there are generic, gpu, local, slurm, tiny\)"):
        profile_path("cloud")


def test_arguments_that_snakemake_does_not_know_are_refused_in_its_words():
    with pytest.raises(UserError, match="--no-such-option"):
        why_not_recorded(arguments(profile_path("local"), ["--no-such-option"]))


def test_a_broken_settings_file_is_one_clear_message_before_snakemake_reads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text('configfile: "params.yaml"\n')
    (tmp_path / "params.yaml").write_text("datasets: [a, {\n")
    with pytest.raises(UserError, match=r"params\.yaml: not valid YAML(.|\n)*line 2"):
        read_graph()
