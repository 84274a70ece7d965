rule report:
    input:
        plan.parts_done("natural") if "natural" in plan.configuration.experiments else [],
    output:
        "steps/report.done",
    log:
        "logs/report.log",
    params:
        options=plan.report_options(),
    threads: plan.resources("report").cpus
    resources:
        **res("report"),
    shell:
        "{STEP} --done {output} --remakes report.html"
        " -- report experiments/natural/jobs --out report.html {params.options} >> {log} 2>&1"


rule figures:
    input:
        plan.steps()["experiment"],
    output:
        "steps/figures.done",
    log:
        "logs/figures.log",
    params:
        options=plan.figures_options(),
    threads: plan.resources("figures").cpus
    resources:
        **res("figures"),
    shell:
        "{STEP} --done {output} --remakes figures"
        " -- figures all --results experiments --out figures {params.options} >> {log} 2>&1"


rule table:
    input:
        plan.steps()["experiment"],
    output:
        "steps/table.done",
    log:
        "logs/table.log",
    threads: plan.resources("table").cpus
    resources:
        **res("table"),
    shell:
        "{STEP} --done {output} --remakes table.md -- workflow --table . >> {log} 2>&1"
