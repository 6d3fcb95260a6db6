# What a training has shown of itself -> one file, for the report and for other clones. Apart from the training's rule, so that
# no change of this one touches a training.


rule progress:
    input:
        model=project.path("models/{model}/checkpoint.safetensors"),
    output:
        progress=project.path("models/{model}/progress.zip"),
    log:
        project.path("logs/progress/{model}.log"),
    benchmark:
        project.path("benchmarks/progress/{model}.tsv")
    resources:
        mem_mb=by_attempt(1000),
        runtime=20,
    params:
        code=fingerprint("progress.smk", "record-training"),
        sections=[],
        folder=lambda wildcards: project.progress_folder(wildcards.model),
    message:
        "What the training of {wildcards.model} has shown"
    shell:
        "featdiff record-training --model {input.model} --folder {params.folder:q} --out {output.progress} > {log} 2>&1"
