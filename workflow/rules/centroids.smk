# What a trained network knows: class centroids of phi at each noise level, and how well it denoises with and without.


rule centroids:
    input:
        data=lambda wildcards: project.dataset_of(wildcards.model),
        model=project.path("models/{model}/checkpoint.safetensors"),
        code=sources("centroids", "centroids.smk"),
    output:
        centroids=project.path("models/{model}/centroids.npz"),
    log:
        project.path("logs/centroids/{model}.log"),
    benchmark:
        project.path("benchmarks/centroids/{model}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=120,
    params:
        settings=project.params.centroids.model_dump_json(),
        sections=["centroids"],
    message:
        "Class centroids of {wildcards.model}"
    shell:
        "featdiff centroids --settings {params.settings:q} --data {input.data} --model {input.model}"
        " --out {output.centroids} > {log} 2>&1"


rule denoise:
    input:
        data=lambda wildcards: project.dataset_of(wildcards.model),
        model=project.path("models/{model}/checkpoint.safetensors"),
        centroids=lambda wildcards: project.centroids_of(wildcards.model),
        code=sources("denoise", "centroids.smk"),
    output:
        denoising=project.path("models/{model}/denoising.json"),
    log:
        project.path("logs/denoise/{model}.log"),
    benchmark:
        project.path("benchmarks/denoise/{model}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=120,
    params:
        settings=project.params.denoising.model_dump_json(),
        sections=["denoising"],
        centroids=lambda wildcards: options("centroids", project.centroids_of(wildcards.model)),
    message:
        "Denoising test images with {wildcards.model}"
    shell:
        "featdiff denoise --settings {params.settings:q} --data {input.data} --model {input.model}"
        " {params.centroids} --name {wildcards.model} --out {output.denoising} > {log} 2>&1"
