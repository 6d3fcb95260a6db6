# A trained network -> images, scattered over jobs and gathered into one archive. Shards are temporary; gather declares all
# that they are made from, so it is stale whenever they would be.


rule sample:
    input:
        unpack(lambda wildcards: project.drawn_from(wildcards.sampling)),
    output:
        shard=temp(project.path("samples/{sampling}/shards/{shard}.zip")),
    log:
        project.path("logs/sample/{sampling}-{shard}.log"),
    benchmark:
        project.path("benchmarks/sample/{sampling}-{shard}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=240,
    params:
        code=fingerprint("sample.smk", "sample-shard"),
        settings=lambda wildcards: project.params.samplings[wildcards.sampling].model_dump_json(),
        sections=lambda wildcards: project.sample_sections(wildcards.sampling),
        drawn_from=lambda wildcards: all_options(project.drawn_from(wildcards.sampling)),
    message:
        "Sampling {wildcards.sampling}, shard {wildcards.shard}"
    shell:
        "featdiff sample-shard --settings {params.settings:q} {params.drawn_from}"
        " --shard {wildcards.shard} --out {output.shard} > {log} 2>&1"


rule gather:
    input:
        unpack(lambda wildcards: project.drawn_from(wildcards.sampling)),
        shards=lambda wildcards: project.shards_of(wildcards.sampling),
    output:
        samples=project.path("samples/{sampling}/samples.zip"),
    log:
        project.path("logs/gather/{sampling}.log"),
    benchmark:
        project.path("benchmarks/gather/{sampling}.tsv")
    resources:
        mem_mb=by_attempt(2000),
        runtime=60,
    params:
        code=fingerprint("sample.smk", "gather", "sample-shard"),
        settings=lambda wildcards: project.params.samplings[wildcards.sampling].model_dump_json(),
        sections=lambda wildcards: project.sample_sections(wildcards.sampling),
    message:
        "Gathering the samples of {wildcards.sampling}"
    shell:
        "featdiff gather --out {output.samples} {input.shards} > {log} 2>&1"


rule between:
    input:
        model=lambda wildcards: project.model_of(project.params.between[wildcards.line].sampling),
        centroids=lambda wildcards: project.guide_of(project.params.between[wildcards.line].sampling),
    output:
        images=project.path("between/{line}/images.zip"),
    log:
        project.path("logs/between/{line}.log"),
    benchmark:
        project.path("benchmarks/between/{line}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=120,
    params:
        code=fingerprint("sample.smk", "between"),
        settings=lambda wildcards: project.params.between_spec(wildcards.line).model_dump_json(),
        sections=lambda wildcards: project.between_sections(wildcards.line),
    message:
        "Images between classes: {wildcards.line}"
    shell:
        "featdiff between --settings {params.settings:q} --model {input.model} --centroids {input.centroids}"
        " --out {output.images} > {log} 2>&1"
