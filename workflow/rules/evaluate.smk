# Images -> features -> measures -> tables. The same measures for each set of samples and for the real test images (the floor).


rule embed:
    input:
        images=lambda wildcards: project.images(wildcards.kind, wildcards.name),
        weights=project.weights(),
    output:
        features=project.path("{kind}/{name}/features.npz"),
    log:
        project.path("logs/embed/{kind}-{name}.log"),
    benchmark:
        project.path("benchmarks/embed/{kind}-{name}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=60,
    params:
        code=fingerprint("evaluate.smk", "embed"),
        settings=lambda wildcards: project.embed_settings(wildcards.kind),
        sections=lambda wildcards: project.embed_sections(wildcards.kind),
    message:
        "Features of {wildcards.kind}/{wildcards.name}"
    shell:
        "featdiff embed --settings {params.settings:q} --images {input.images} --out {output.features} > {log} 2>&1"


rule evaluate:
    input:
        unpack(lambda wildcards: project.measured(wildcards.name)),
    output:
        evaluation=project.path("evaluation/{name}.json"),
    log:
        project.path("logs/evaluate/{name}.log"),
    benchmark:
        project.path("benchmarks/evaluate/{name}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=60,
    params:
        code=fingerprint("evaluate.smk", "measure"),
        settings=verbatim(project.params.evaluation.model_dump_json()),
        sections=["evaluation"],
        measured=lambda wildcards: all_options(project.measured(wildcards.name)),
    message:
        "Evaluating {wildcards.name}"
    shell:
        "featdiff measure --settings {params.settings:q} {params.measured} --name {wildcards.name}"
        " --out {output.evaluation} > {log} 2>&1"


rule between_measures:
    input:
        images=project.path("between/{line}/images.zip"),
        weights=project.weights(),
        data=lambda wildcards: project.dataset(project.between_dataset(wildcards.line)),
        data_features=lambda wildcards: project.features("data", project.between_dataset(wildcards.line)),
    output:
        measures=project.path("between/{line}/measures.json"),
    log:
        project.path("logs/between_measures/{line}.log"),
    benchmark:
        project.path("benchmarks/between_measures/{line}.tsv")
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=60,
    params:
        code=fingerprint("evaluate.smk", "between-measures"),
        settings=verbatim(project.params.evaluation.model_dump_json()),
        sections=["evaluation"],
    message:
        "Measuring images between classes: {wildcards.line}"
    shell:
        "featdiff between-measures --settings {params.settings:q} --images {input.images} --data {input.data}"
        " --data-features {input.data_features} --out {output.measures} > {log} 2>&1"


rule collect:
    input:
        evaluations=project.evaluations(),
        denoising=project.denoising().values(),
        distances=project.distances().values(),
    output:
        metrics=project.path("metrics.json"),
        quality=project.path("tables/quality.csv"),
        denoising=project.path("tables/denoising.csv"),
        scatter=project.path("tables/scatter.csv"),
        distances=project.path("tables/distances.csv"),
    log:
        project.path("logs/collect.log"),
    benchmark:
        project.path("benchmarks/collect.tsv")
    resources:
        mem_mb=by_attempt(1000),
        runtime=20,
    params:
        code=fingerprint("evaluate.smk", "collect"),
        sections=[],
        models=" ".join(
            [
                options("denoising", map("=".join, project.denoising().items())),
                options("distances", map("=".join, project.distances().items())),
            ]
        ),
    message:
        "Collecting all measures"
    shell:
        "featdiff collect --out {output.metrics} --quality {output.quality} --denoising-table {output.denoising}"
        " --scatter-table {output.scatter} --distances-table {output.distances} {params.models} {input.evaluations}"
        " > {log} 2>&1"
