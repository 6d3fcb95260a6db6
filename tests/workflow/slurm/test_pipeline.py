"""A real Slurm runs the whole tiny pipeline, with the profile as it stands."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.slurm.conftest import ONE_THREAD

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def pipeline(on_cluster, small, tmp_path_factory):
    """The whole tiny pipeline, run by Slurm alone."""
    run = on_cluster(small.copy(tmp_path_factory.mktemp("pipeline") / "clone"))
    run.edit_profile(ONE_THREAD)
    try:
        run.finish(run.start())
    finally:
        run.stop()
    return run


def test_the_whole_pipeline_gives_the_same_bits_as_without_slurm_each_made_once(pipeline, finished):
    run = pipeline
    made = {p.relative_to(run.root) for p in (run.root / "results").rglob("*") if p.is_file()}
    made = {path for path in made if path.parts[1] not in ("logs", "benchmarks")}
    assert Path("results/report.html") in made
    differ = [p for p in made if (run.root / p).read_bytes() != (finished.root / p).read_bytes()]
    assert not differ
    assert {str(path): run.written(str(path)) for path in made} == dict.fromkeys(map(str, made), 1)
    assert run.project.stale() == {}


# Rule, or group with its rules: jobs, partition, GPUs, memory and time at the first attempt. A group takes the time of
# all.
ASKED = {
    "prepare": (1, "cpu", None, "2000M", "01:00:00"),
    "train": (2, "gpu", "gres:gpu:1", "8000M", "04:00:00"),
    "sample": (3, "gpu", "gres:gpu:1", "2000M", "04:00:00"),
    "model_centroids_denoise_distances": (1, "gpu", "gres:gpu:1", "2000M", "06:00:00"),
    "model_denoise": (1, "gpu", "gres:gpu:1", "2000M", "02:00:00"),
    "features_embed": (1, "gpu", "gres:gpu:1", "2000M", "01:00:00"),
    "features_embed_gather": (2, "gpu", "gres:gpu:1", "2000M", "02:00:00"),
    "measures_evaluate": (1, "cpu", None, "2000M", "03:00:00"),
    "tables_collect_health_progress_report": (1, "cpu", None, "2000M", "02:30:00"),
}


def test_each_job_gets_the_partition_gpu_memory_and_time_that_its_rule_asks_for(pipeline):
    got = Counter()
    for job in pipeline.jobs():
        name = job["Comment"].removeprefix("rule_").partition("_wildcards_")[0]
        memory = re.search(r"mem=(\w+)", job["TRES"])[1]
        assert job["NodeList"].startswith(job["Partition"])
        assert job["JobState"] == "COMPLETED"
        got[name, job["Partition"], job.get("TresPerJob"), memory, job["TimeLimit"]] += 1
    assert got == {(name, *asked): count for name, (count, *asked) in ASKED.items()}
