"""Scores beside what they score; the only rules that read ground truth and predictions together."""

EVALUATION = CONFIG.evaluation.to_json()


def threshold_source(wildcards):
    """Thresholds are chosen on train and reported on val."""
    if wildcards.split == "train" or wildcards.maps == "prediction":
        return []
    return f"{SEED}/{{above}}/{wildcards.maps}.train.eval.json"


rule evaluation_maps:
    message:
        "Evaluate {wildcards.maps}.{wildcards.split} at every threshold."
    input:
        maps=f"{SEED}/{{above}}/{{maps}}.{{split}}.h5",
        masks="results/{dataset}/data/{split}.masks.h5",
        threshold=threshold_source,
    output:
        f"{SEED}/{{above}}/{{maps}}.{{split}}.eval.json",
    log:
        f"{SEED}/{{above}}/log/{{maps}}.{{split}}.eval.log",
    benchmark:
        f"{SEED}/{{above}}/log/{{maps}}.{{split}}.eval.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=120,
    params:
        recipe=EVALUATION,
        code=code(
            "wsss.evaluation.map_evaluation", f"{SEED}/{{above}}/{{maps}}.{{split}}.eval.json"
        ),
        threshold=lambda wildcards, input: (
            ["--threshold-from", input.threshold] if input.threshold else []
        ),
    shell:
        "python -m wsss --log {log:q} evaluation maps --recipe {params.recipe:q}"
        " --maps {input.maps:q} --masks {input.masks:q} {params.threshold:q}"
        " --seed {wildcards.seed} --workers {threads} --out {output:q}"


def ground_truth(wildcards):
    """The masks of the split that a file's name tells."""
    split = "train" if ".train" in wildcards.file else "val"
    return f"results/{wildcards.dataset}/data/{split}.masks.h5"


rule evaluation_masks:
    message:
        "Evaluate the masks {wildcards.file}."
    input:
        masks=f"{SEED}/{{above}}/{{file}}.h5",
        ground_truth=ground_truth,
    output:
        f"{SEED}/{{above}}/{{file}}.eval.json",
    log:
        f"{SEED}/{{above}}/log/{{file}}.eval.log",
    benchmark:
        f"{SEED}/{{above}}/log/{{file}}.eval.benchmark.tsv"
    wildcard_constraints:
        file=r"pseudo\.(train|val)|(cam|walk|pseudo|prediction)\.(train|val)\.crf-[a-z0-9+-]+",
    conda:
        "../envs/wsss.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=120,
    params:
        recipe=EVALUATION,
        code=code("wsss.evaluation.mask_evaluation", f"{SEED}/{{above}}/{{file}}.eval.json"),
    shell:
        "python -m wsss --log {log:q} evaluation masks --recipe {params.recipe:q}"
        " --predictions {input.masks:q} --ground-truth {input.ground_truth:q}"
        " --seed {wildcards.seed} --workers {threads} --out {output:q}"


rule evaluation_curve:
    message:
        "Draw the threshold curve of {wildcards.maps}.{wildcards.split}."
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
    conda:
        "../envs/wsss.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=20,
    params:
        code=code("wsss.evaluation.figure", f"{SEED}/{{above}}/{{maps}}.{{split}}.curve.png"),
    shell:
        "python -m wsss --log {log:q} evaluation curve --eval {input:q} --out {output:q}"
