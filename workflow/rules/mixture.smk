# Exact Gaussian mixtures: settings -> tables -> one page. No data, no network: `snakemake mixture_page`.


rule mixture:
    input:
        code=sources("mixture", "mixture.smk"),
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
        settings=project.params.mixture.model_dump_json(),
        sections=["mixture"],
    message:
        "Guidance study on exact mixtures: progress in {log}"
    shell:
        "featdiff mixture --settings {params.settings:q} --threads {threads} --out $(dirname {output.study}) > {log} 2>&1"


rule mixture_page:
    input:
        study=rules.mixture.output.study,
        pictures=rules.mixture.output.pictures,
        tables=rules.mixture.output.tables,
        code=sources("mixture-page", "mixture.smk"),
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
        sections=[],
    message:
        "Drawing the guidance study"
    shell:
        "featdiff mixture-page --study $(dirname {input.study}) --out {output.page} --figures {output.figures} > {log} 2>&1"
