rule download:  # on the machine that runs Snakemake: a cluster's nodes often see no internet
    output:
        "steps/download/{stamp}.done",
    log:
        "logs/download/{stamp}.log",
    params:
        arguments=plan.download_arguments(),
    shell:
        "{STEP} --done {output} --stamp {wildcards.stamp}"
        " -- download {params.arguments} --to downloads --yes >> {log} 2>&1"


rule simulate:
    output:
        "steps/simulate/{recording}.done",
    log:
        "logs/simulate/{recording}.log",
    params:
        options=lambda w: plan.simulate_options(w.recording),
    threads: plan.resources("simulate").cpus
    resources:
        **res("simulate"),
    shell:
        "{STEP} --done {output} --makes recordings/{wildcards.recording}"
        " -- simulate recordings/{wildcards.recording} {params.options} >> {log} 2>&1"
