# Everything -> one page that opens offline.


rule report:
    input:
        metrics=project.path("metrics.json"),
        quality=project.path("tables/quality.csv"),
        denoising=project.path("tables/denoising.csv"),
        scatter=project.path("tables/scatter.csv"),
        distances=project.path("tables/distances.csv"),
        data=project.dataset(project.reference_of(project.params.report.guided)),
        samples=[project.samples(name) for name in (project.params.report.guided, project.params.report.baseline)],
        centroids=project.guide_of(project.params.report.guided),
        mixture=project.reported_study(),
        levels=project.levels().values(),
        between=project.between(),
        repeats=project.repeats_table(),
        progress=project.progress().values(),
        health=project.health().values(),
        graph="workflow/rulegraph.json",
        accepted="workflow/accepted.json",
    output:
        report=project.path("report.html"),
    log:
        project.path("logs/report.log"),
    benchmark:
        project.path("benchmarks/report.tsv")
    resources:
        mem_mb=by_attempt(2000),
        runtime=30,
    params:
        code=fingerprint("report.smk", "report"),
        settings=verbatim(project.settings()),
        sections=sorted(project.params.model_fields_set),
        mixture=options("mixture", [project.path("mixture")] if project.reported_study() else []),
        bridge=options(
            "bridge", [project.path("mixture/bridge")] if project.reported_study() and project.bridge() else []
        ),
        levels=options("levels", map("=".join, project.levels().items())),
        between=options("between", [project.path("between", name) for name in project.params.between]),
        repeats=options("repeats-table", project.repeats_table()),
        progress=options("progress", map("=".join, project.progress().items())),
        health=options("health", map("=".join, project.health().items())),
        accepted=verbatim(options("accepted", accepted_words())),
    message:
        "Writing the report"
    shell:
        "featdiff report --settings {params.settings:q} --metrics {input.metrics} --quality {input.quality}"
        " --denoising-table {input.denoising} --scatter-table {input.scatter} --distances-table {input.distances}"
        " --data {input.data}"
        " --centroids {input.centroids} --graph {input.graph} {params.mixture} {params.bridge} {params.levels} {params.between}"
        " {params.repeats} {params.progress} {params.health} {params.accepted}"
        " --out {output.report} {input.samples} > {log} 2>&1"
