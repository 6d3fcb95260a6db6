# Rows trained and drawn again with other seeds -> one table. Only where the settings have repeats: workflow/presets/repeats.yaml.


rule repeats:
    input:
        **project.repeated(),
    output:
        table=project.repeats_table(),
    log:
        project.path("logs/repeats.log"),
    benchmark:
        project.path("benchmarks/repeats.tsv")
    resources:
        mem_mb=by_attempt(1000),
        runtime=20,
    params:
        code=fingerprint("repeats.smk", "repeats"),
        settings=verbatim(project.settings()),
        sections=sorted(project.params.model_fields_set),
        denoising=options("denoising", by_model(project.repeated()["denoising"])),
        distances=options("distances", by_model(project.repeated()["distances"])),
    message:
        "The table of repeated trainings"
    shell:
        "featdiff repeats --settings {params.settings:q} {params.denoising} {params.distances} --out {output.table} {input.evaluations}"
        " > {log} 2>&1"
