# Images of any source -> one archive with labels, split and manifest.


rule prepare:
    input:
        raw=lambda wildcards: project.raw[wildcards.dataset],
    output:
        dataset=project.path("data/{dataset}/dataset.zip"),
    log:
        project.path("logs/prepare/{dataset}.log"),
    benchmark:
        project.path("benchmarks/prepare/{dataset}.tsv")
    resources:
        mem_mb=by_attempt(2000),
        runtime=60,
    params:
        code=fingerprint("data.smk", "prepare"),
        settings=lambda wildcards: project.params.datasets[wildcards.dataset].model_dump_json(),
        sections=["datasets.{dataset}"],
        needs=lambda wildcards, output: project.needs,  # it takes the output: so Snakemake does not go by its value
    message:
        "Preparing data set {wildcards.dataset}"
    shell:
        "featdiff prepare --settings {params.settings:q} --needs {params.needs:q} --name {wildcards.dataset}"
        " --out {output.dataset} > {log} 2>&1"
