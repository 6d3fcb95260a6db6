# The whole pipeline: images -> data set -> trained networks -> centroids -> samples -> measures -> report.
# Settings come from params.yaml (overlays: --configfile FILE); resources from a profile in workflow/profiles.
from snakemake.utils import min_version

from workflow.common import Project, all_options, by_attempt, by_model, one_of, options, shell_prefix, verbatim
from workflow.running import collect_seldom, hold, is_run, run_file, tell_of_changes
from workflow.sources import accepted_words, begin, fingerprint, go_by
from workflow.watching import show

min_version("9.0")


configfile: "params.yaml"


container: "docker://python:3.11-slim"


collect_seldom()
project = Project(config)
shell.prefix(shell_prefix())
hold(project.results, workflow)
if not workflow.is_main_process:
    go_by(run_file(project.results))


wildcard_constraints:
    dataset=one_of(project.datasets),
    model=one_of(project.models),
    sampling=one_of(project.samplings),
    line=one_of(project.params.between) or "none",
    shard=r"\d+",
    images=r"\d+",
    kind="data|samples",
    name="[a-z0-9_-]+",


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/progress.smk"
include: "workflow/rules/health.smk"
include: "workflow/rules/centroids.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/evaluate.smk"


if project.params.report:

    include: "workflow/rules/report.smk"


if project.assets:

    include: "workflow/rules/assets.smk"


if project.weights():

    include: "workflow/rules/weights.smk"


if project.corruptions:

    include: "workflow/rules/levels.smk"


if project.params.mixture:

    include: "workflow/rules/mixture.smk"


if project.params.sweep:

    include: "workflow/rules/sweep.smk"


if project.params.repeats:

    include: "workflow/rules/repeats.smk"


if is_run(workflow):
    begin(run_file(project.results))
    show(project.path("logs/train"), workflow)


onstart:
    project.judge_counts(
        file for job in workflow.dag.needrun_jobs() if job.rule.name == "prepare" for file in job.output
    )


onsuccess:
    tell_of_changes()


onerror:
    tell_of_changes()


localrules:
    all,


rule all:
    default_target: True
    input:
        project.kept(),
        rules.collect.output,
