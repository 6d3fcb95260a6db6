# Exact Gaussian mixtures: settings -> tables -> one page, with a network trained on one: `snakemake mixture_page`.


rule mixture:
    output:
        study=project.path("mixture/study.json"),
        pictures=project.path("mixture/pictures.npz"),
        tables=project.mixture_tables(),
    log:
        project.path("logs/mixture.log"),
    benchmark:
        project.path("benchmarks/mixture.tsv")
    threads: 2
    resources:
        mem_mb=by_attempt(2000),
        runtime=30,
    params:
        code=fingerprint("mixture.smk", "mixture"),
        settings=verbatim(project.params.mixture.model_copy(update={"bridge": None}).model_dump_json()),
        sections=[f"mixture.{part}" for part in sorted(project.params.mixture.model_fields_set - {"bridge"})],
    message:
        "Guidance study on exact mixtures: progress in {log}"
    shell:
        "featdiff mixture --settings {params.settings:q} --threads {threads} --out $(dirname {output.study}) > {log} 2>&1"


if project.bridge():

    rule mixture_bridge:
        output:
            bridge=project.path("mixture/bridge/bridge.json"),
            pictures=project.path("mixture/bridge/pictures.npz"),
            tables=project.bridge_tables(),
        log:
            project.path("logs/mixture_bridge.log"),
        benchmark:
            project.path("benchmarks/mixture_bridge.tsv")
        threads: 2
        resources:
            mem_mb=by_attempt(2000),
            runtime=60,
        params:
            code=fingerprint("mixture.smk", "mixture-bridge"),
            settings=verbatim(project.params.mixture.bridge.model_dump_json()),
            sections=["mixture.bridge"],
            state=".featdiff/state",
        message:
            "A network trained on an exact mixture: progress in {log}"
        shell:
            "featdiff mixture-bridge --settings {params.settings:q} --threads {threads} --state {params.state}"
            " --out $(dirname {output.bridge}) > {log} 2>&1"


rule mixture_page:
    input:
        study=rules.mixture.output.study,
        pictures=rules.mixture.output.pictures,
        tables=rules.mixture.output.tables,
        bridge=project.bridge(),
    output:
        page=project.path("mixture/report.html"),
        figures=project.path("mixture/figures.zip"),
    log:
        project.path("logs/mixture_page.log"),
    benchmark:
        project.path("benchmarks/mixture_page.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(1000),
        runtime=10,
    params:
        code=fingerprint("mixture.smk", "mixture-page"),
        sections=[],
        bridge=options("bridge", [project.path("mixture/bridge")] if project.bridge() else []),
    message:
        "Drawing the guidance study"
    shell:
        "featdiff mixture-page --study $(dirname {input.study}) {params.bridge} --out {output.page}"
        " --figures {output.figures} > {log} 2>&1"
