"""Scores next to what they score: the only rules that read ground truth and predictions."""


rule evaluation_maps:
    input:
        maps=parts(f"{SEED}/{{above}}/{{maps}}.{{split}}"),
        masks="results/{dataset}/data/{split}.masks.h5",
        threshold=ask(inputs.threshold_source),
    output:
        f"{SEED}/{{above}}/{{maps}}.{{split}}.eval.json",
    log:
        f"{SEED}/{{above}}/log/{{maps}}.{{split}}.eval.log",
    benchmark:
        f"{SEED}/{{above}}/log/{{maps}}.{{split}}.eval.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes_for_10000(120),
    params:
        recipe=ask(inputs.map_evaluation_recipe),
        code=code("wsss.evaluation.map_evaluation"),
        maps=each("--maps", "maps"),
        threshold=each("--threshold-from", "threshold"),
    message:
        "Evaluate {wildcards.maps}.{wildcards.split} at every threshold."
    shell:
        "python -m wsss --log {log:q} evaluation maps --recipe {params.recipe:q}"
        " {params.maps:q} --masks {input.masks:q} {params.threshold:q}"
        " --seed {wildcards.seed} --workers {threads} --out {output:q}"


rule evaluation_priors:
    input:
        maps=parts(f"{CAM}/cam.{{split}}"),
        saliency=ask(inputs.saliency_maps),
        masks="results/{dataset}/data/{split}.masks.h5",
        threshold=ask(inputs.priors_threshold_source),
    output:
        f"{SALIENCY}/cam+saliency.{{split}}.eval.json",
    log:
        f"{SALIENCY}/log/cam+saliency.{{split}}.eval.log",
    benchmark:
        f"{SALIENCY}/log/cam+saliency.{{split}}.eval.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes_for_10000(120),
    params:
        recipe=CONFIG.evaluation.to_json(),
        code=code("wsss.evaluation.map_evaluation"),
        maps=each("--maps", "maps"),
        saliency=each("--saliency", "saliency"),
        threshold=each("--threshold-from", "threshold"),
    message:
        "Evaluate cam.{wildcards.split} with {wildcards.saliency} as its background."
    shell:
        "python -m wsss --log {log:q} evaluation maps --recipe {params.recipe:q}"
        " {params.maps:q} {params.saliency:q} --masks {input.masks:q}"
        " {params.threshold:q} --seed {wildcards.seed} --workers {threads} --out {output:q}"


rule evaluation_masks:
    input:
        masks=parts(f"{SEED}/{{above}}/{{file}}"),
        ground_truth=ask(inputs.ground_truth),
    output:
        f"{SEED}/{{above}}/{{file}}.eval.json",
    log:
        f"{SEED}/{{above}}/log/{{file}}.eval.log",
    benchmark:
        f"{SEED}/{{above}}/log/{{file}}.eval.benchmark.tsv"
    wildcard_constraints:
        file=patterns.MASKS,
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes_for_10000(120),
    params:
        recipe=ask(inputs.mask_evaluation_recipe),
        masks=each("--predictions", "masks"),
        code=code("wsss.evaluation.mask_evaluation"),
    message:
        "Evaluate the masks {wildcards.file}."
    shell:
        "python -m wsss --log {log:q} evaluation masks --recipe {params.recipe:q}"
        " {params.masks:q} --ground-truth {input.ground_truth:q}"
        " --seed {wildcards.seed} --workers {threads} --out {output:q}"


rule evaluation_curve:
    input:
        f"{SEED}/{{above}}/{{maps}}.{{split}}.eval.json",
    output:
        report(
            f"{SEED}/{{above}}/{{maps}}.{{split}}.curve.png",
            caption="../report/curve.rst",
            category="Threshold curves",
            labels={"file": "{above}/{maps}", "split": "{split}", "seed": "{seed}"},
        ),
    log:
        f"{SEED}/{{above}}/log/{{maps}}.{{split}}.curve.log",
    benchmark:
        f"{SEED}/{{above}}/log/{{maps}}.{{split}}.curve.benchmark.tsv"
    wildcard_constraints:
        maps=patterns.THRESHOLDED,
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    params:
        code=code("wsss.evaluation.figure"),
    message:
        "Draw the threshold curve of {wildcards.maps}.{wildcards.split}."
    shell:
        "python -m wsss --log {log:q} evaluation curve --eval {input:q} --out {output:q}"
