# Models that differ in one setting each -> one table. Only where the settings have a sweep: workflow/presets/sweep.yaml.


rule sweep:
    input:
        evaluations=[project.path("evaluation", f"{name}.json") for name in project.params.sweep],
        denoising=project.swept("denoising").values(),
        health=project.swept("health").values(),
    output:
        table=project.path("tables/sweep.csv"),
    log:
        project.path("logs/sweep.log"),
    benchmark:
        project.path("benchmarks/sweep.tsv")
    resources:
        mem_mb=by_attempt(1000),
        runtime=20,
    params:
        code=fingerprint("sweep.smk", "sweep"),
        settings=verbatim(project.settings()),
        sections=sorted(project.params.model_fields_set),
        denoising=options("denoising", map("=".join, project.swept("denoising").items())),
        health=options("health", map("=".join, project.swept("health").items())),
    message:
        "The table of the sweep"
    shell:
        "featdiff sweep --settings {params.settings:q} {params.denoising} {params.health} --out {output.table} {input.evaluations}"
        " > {log} 2>&1"
