for _experiment in plan.configuration.experiments:

    rule:  # a part has every N-th reconstruction, which share a GPU; a killed one resumes from its last snapshot
        name:
            f"experiment_{_experiment}"
        input:
            plan.materials_done(),
        output:
            f"steps/experiment/{_experiment}/{{part}}-of-{{parts}}-{{stamp}}.done",
        log:
            f"logs/experiment/{_experiment}/{{part}}-of-{{parts}}-{{stamp}}.log",
        params:
            experiment=_experiment,
            processes=plan.resources("experiment", _experiment).processes,
            arguments=plan.experiment_arguments(_experiment),
        threads: plan.resources("experiment", _experiment).cpus
        resources:
            **res("experiment", _experiment),
        shell:
            "{STEP} --done {output} --stamp {wildcards.stamp} --processes {params.processes}"
            " -- experiment {params.experiment} {params.arguments}"
            " --out experiments --part {wildcards.part}/{wildcards.parts} >> {log} 2>&1"
