# A data set -> a trained network. The resume state lies in .featdiff/state, outside the outputs: kill it, start it again.
# What there is to see of it lies beside its log, and changes nothing.


rule train:
    input:
        data=lambda wildcards: project.dataset_of(wildcards.model),
    output:
        model=project.path("models/{model}/checkpoint.safetensors"),
    log:
        project.path("logs/train/{model}.log"),
    benchmark:
        project.path("benchmarks/train/{model}.tsv")
    priority: 10
    threads: 1
    resources:
        mem_mb=by_attempt(2000),
        runtime=240,
        processes=1,  # one a GPU; more of them share each batch, on this many nodes
        nodes=1,
        save_every=lambda wildcards: project.params.train_spec(wildcards.model).training.save_every,
        previews=lambda wildcards: project.params.train_spec(wildcards.model).training.previews,
    params:
        code=fingerprint("train.smk", "train"),
        settings=lambda wildcards: project.train_settings(wildcards.model),
        sections=lambda wildcards: project.train_sections(wildcards.model),
        state=".featdiff/state",
        progress=lambda wildcards: project.progress_folder(wildcards.model),
    message:
        "Training {wildcards.model}: curves and pictures in {params.progress}.html, all words in {log}"
    shell:
        "featdiff train --settings {params.settings:q} --data {input.data} --state {params.state}"
        " --out {output.model} --save-every {resources.save_every}"
        " --progress {params.progress:q} --previews {resources.previews}"
        " --processes {resources.processes} --nodes {resources.nodes} > {log} 2>&1"
