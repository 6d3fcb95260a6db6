# The weights of FID, where no setting and no environment variable names them. Needs a network; runs where Snakemake does.


localrules:
    weights,


rule weights:
    output:
        weights="assets/inception.pt",
    log:
        project.path("logs/weights.log"),
    benchmark:
        project.path("benchmarks/weights.tsv")
    resources:
        mem_mb=by_attempt(1000),
        runtime=20,
    params:
        code=fingerprint("weights.smk", "fetch-weights"),
        sections=[],
    message:
        "Fetching the weights of FID"
    shell:
        "featdiff fetch-weights --out {output.weights} > {log} 2>&1"
