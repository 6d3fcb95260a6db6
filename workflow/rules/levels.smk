# Soft diffusion: a data set and a corruption -> chosen levels, and where sampling starts.


wildcard_constraints:
    corruption=one_of(project.corruptions),


rule levels:
    input:
        data=project.path("data/{dataset}/dataset.zip"),
    output:
        levels=project.path("levels/{dataset}/{corruption}.npz"),
    log:
        project.path("logs/levels/{dataset}-{corruption}.log"),
    benchmark:
        project.path("benchmarks/levels/{dataset}-{corruption}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(4000),
        runtime=60,
    params:
        code=fingerprint("levels.smk", "levels"),
        settings=lambda wildcards: project.params.levels_spec(wildcards.corruption).model_dump_json(),
        sections=["corruptions.{corruption}", "levels"],
    message:
        "Levels of {wildcards.corruption} for data set {wildcards.dataset}"
    shell:
        "featdiff levels --settings {params.settings:q} --data {input.data} --out {output.levels} > {log} 2>&1"
