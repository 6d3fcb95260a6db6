# A look at each trained network: which of its blocks live. Apart from the training's rule, so that no change of it touches a
# training.


rule health:
    input:
        data=lambda wildcards: project.dataset_of(wildcards.model),
        model=project.path("models/{model}/checkpoint.safetensors"),
    output:
        health=project.path("models/{model}/health.json"),
    log:
        project.path("logs/health/{model}.log"),
    benchmark:
        project.path("benchmarks/health/{model}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=30,
    params:
        code=fingerprint("health.smk", "health"),
        sections=[],
    message:
        "Looking at the blocks of {wildcards.model}"
    shell:
        "featdiff health --data {input.data} --model {input.model} --out {output.health} > {log} 2>&1"
