# What a trained network knows: class centroids of phi, how well it denoises with and without, how far apart its classes lie.


rule centroids:
    input:
        data=lambda wildcards: project.dataset_of(wildcards.model),
        model=project.path("models/{model}/checkpoint.safetensors"),
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
        code=fingerprint("centroids.smk", "centroids"),
        settings=verbatim(project.params.centroids.model_dump_json()),
        sections=["centroids"],
    message:
        "Class centroids of {wildcards.model}"
    shell:
        "featdiff centroids --settings {params.settings:q} --data {input.data} --model {input.model}"
        " --out {output.centroids} > {log} 2>&1"


rule examples:
    input:
        data=lambda wildcards: project.dataset(wildcards.dataset),
        model=project.path("models/{model}/checkpoint.safetensors"),
        known=project.path("models/{model}/centroids.npz"),
    output:
        centroids=project.path("models/{model}/examples/{dataset}-{images}.npz"),
    log:
        project.path("logs/examples/{model}-{dataset}-{images}.log"),
    benchmark:
        project.path("benchmarks/examples/{model}-{dataset}-{images}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=120,
    params:
        code=fingerprint("centroids.smk", "centroids"),
        settings=lambda wildcards: project.examples(wildcards.images).model_dump_json(),
        sections=["centroids"],
    message:
        "Centroids of {wildcards.dataset} from {wildcards.images} images a class, by {wildcards.model}"
    shell:
        "featdiff centroids --new-classes --settings {params.settings:q} --data {input.data} --model {input.model}"
        " --known {input.known} --out {output.centroids} > {log} 2>&1"


rule denoise:
    input:
        data=lambda wildcards: project.dataset_of(wildcards.model),
        model=project.path("models/{model}/checkpoint.safetensors"),
        centroids=lambda wildcards: project.centroids_of(wildcards.model),
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
        code=fingerprint("centroids.smk", "denoise"),
        settings=verbatim(project.params.denoising.model_dump_json()),
        sections=["denoising"],
        centroids=lambda wildcards: options("centroids", project.centroids_of(wildcards.model)),
    message:
        "Denoising test images with {wildcards.model}"
    shell:
        "featdiff denoise --settings {params.settings:q} --data {input.data} --model {input.model}"
        " {params.centroids} --name {wildcards.model} --out {output.denoising} > {log} 2>&1"


rule distances:
    input:
        data=lambda wildcards: project.dataset_of(wildcards.model),
        model=project.path("models/{model}/checkpoint.safetensors"),
        centroids=lambda wildcards: project.centroids_of(wildcards.model),
    output:
        distances=project.path("models/{model}/distances.json"),
    log:
        project.path("logs/distances/{model}.log"),
    benchmark:
        project.path("benchmarks/distances/{model}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=120,
    params:
        code=fingerprint("centroids.smk", "distances"),
        settings=verbatim(project.params.distances.model_dump_json()),
        sections=["distances"],
        centroids=lambda wildcards: options("centroids", project.centroids_of(wildcards.model)),
    message:
        "Distances between the classes of {wildcards.model}"
    shell:
        "featdiff distances --settings {params.settings:q} --data {input.data} --model {input.model}"
        " {params.centroids} --name {wildcards.model} --out {output.distances} > {log} 2>&1"
