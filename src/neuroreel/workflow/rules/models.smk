rule decoder:
    input:
        lambda w: plan.recording_done(w.recording),
    output:
        "steps/decoder/{recording}.done",
    log:
        "logs/decoder/{recording}.log",
    params:
        recording=lambda w: plan.recording(w.recording),
        options=plan.decoder_options(),
    threads: plan.resources("decoder").cpus
    resources:
        **res("decoder"),
    shell:
        "{STEP} --done {output}"
        " -- train {params.recording:q} --out decoders/{wildcards.recording} --seeds {params.options} >> {log} 2>&1"


rule train:  # one job per seed; a killed one resumes from its last finished epoch
    input:
        lambda w: plan.training_done(w.group),
    output:
        "steps/train/{group}/{seed}.done",
    log:
        "logs/train/{group}/{seed}.log",
    params:
        recordings=lambda w: [plan.recording(name) for name in plan.groups[w.group]],
        options=plan.train_options(),
    threads: plan.resources("train").cpus
    resources:
        **res("train"),
    shell:
        "{STEP} --done {output} -- train {params.recordings:q} --out models/{wildcards.group}"
        " --seeds {wildcards.seed} --no-decoder {params.options} >> {log} 2>&1"


rule mask:
    input:
        lambda w: plan.mask_done(w.recording),
    output:
        "steps/mask/{recording}.done",
    log:
        "logs/mask/{recording}.log",
    params:
        link=lambda w: plan.mask_link(w.recording),
        recording=lambda w: plan.recording(w.recording),
        encoder=lambda w: plan.encoders(w.recording)[0],
        session=lambda w: plan.session(w.recording),
        options=plan.mask_options(),
    threads: plan.resources("mask").cpus
    resources:
        **res("mask"),
    shell:
        "{STEP} --done {output} --makes masks/{wildcards.recording}.npy {params.link}"
        " -- mask {params.recording:q} --encoder {params.encoder} --session {params.session}"
        " --out masks/{wildcards.recording}.npy {params.options} >> {log} 2>&1"
