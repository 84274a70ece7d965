rule report:
    input:
        plan.shown_done(),
    output:
        "steps/report/{stamp}.done",
    log:
        "logs/report/{stamp}.log",
    params:
        options=plan.report_options(),
    threads: plan.resources("report").cpus
    resources:
        **res("report"),
    shell:
        "{STEP} --done {output} --stamp {wildcards.stamp}"
        " -- report experiments/natural/jobs --out report.html --overwrite {params.options} >> {log} 2>&1"


rule figures:
    input:
        plan.experiments_done(),
    output:
        "steps/figures/{stamp}.done",
    log:
        "logs/figures/{stamp}.log",
    params:
        options=plan.figures_options(),
    threads: plan.resources("figures").cpus
    resources:
        **res("figures"),
    shell:
        "{STEP} --done {output} --stamp {wildcards.stamp}"
        " -- figures all --results experiments --out figures --overwrite {params.options} >> {log} 2>&1"


rule table:
    input:
        plan.experiments_done(),
    output:
        "steps/table/{stamp}.done",
    log:
        "logs/table/{stamp}.log",
    threads: plan.resources("table").cpus
    resources:
        **res("table"),
    shell:
        "{STEP} --done {output} --stamp {wildcards.stamp} -- workflow --table . >> {log} 2>&1"
