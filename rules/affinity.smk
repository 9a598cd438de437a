"""Affinity labels, AffinityNet, random walk, pseudo masks: no ground truth comes in."""


rule affinity_labels:
    input:
        maps=f"{CAM}/cam.train.h5",
        images="results/{dataset}/data/train.h5",
        saliency=saliency_maps,
    output:
        f"{AFFINITY}/labels.train.h5",
    log:
        f"{AFFINITY}/log/labels.train.log",
    benchmark:
        f"{AFFINITY}/log/labels.train.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 16
    resources:
        mem_mb=memory(8000),
        runtime=720,
    params:
        recipe=recipe("affinity", "labels"),
        code=code("wsss.affinity.labels", f"{AFFINITY}/labels.train.h5"),
        saliency=lambda wildcards, input: (
            ["--saliency", input.saliency] if input.saliency else []
        ),
    message:
        "Make affinity labels {wildcards.affinity} from {wildcards.cam}."
    shell:
        "python -m wsss --log {log:q} affinity labels --recipe {params.recipe:q}"
        " --maps {input.maps:q} --images {input.images:q} {params.saliency:q}"
        " --workers {threads} --out {output:q}"


rule affinity_train:
    input:
        images="results/{dataset}/data/train.h5",
        labels=f"{AFFINITY}/labels.train.h5",
        weights=weights("affinity", "network"),
    output:
        f"{AFFINITY}/model.safetensors",
    log:
        f"{AFFINITY}/log/model.log",
    benchmark:
        f"{AFFINITY}/log/model.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=1440,
        gpu=1,
    params:
        recipe=recipe("affinity", "network"),
        code=code("wsss.affinity.train", f"{AFFINITY}/model.safetensors"),
        weights=lambda wildcards, input: (
            ["--weights", input.weights] if input.weights else []
        ),
    message:
        "Train AffinityNet {wildcards.affinity}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} affinity train --recipe {params.recipe:q}"
        " --images {input.images:q} --labels {input.labels:q} {params.weights:q}"
        " --seed {wildcards.seed} --threads {threads} --out {output:q}"


rule affinity_walk:
    input:
        model=f"{AFFINITY}/model.safetensors",
        maps=f"{CAM}/cam.{{split}}.h5",
        images="results/{dataset}/data/{split}.h5",
    output:
        f"{AFFINITY}/walk.{{split}}.h5",
    log:
        f"{AFFINITY}/log/walk.{{split}}.log",
    benchmark:
        f"{AFFINITY}/log/walk.{{split}}.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 8
    resources:
        mem_mb=memory(6000),
        runtime=480,
        gpu=1,
    params:
        recipe=recipe("affinity", "walk"),
        code=code("wsss.affinity.walk_maps", f"{AFFINITY}/walk.{{split}}.h5"),
    message:
        "Random walk over the {wildcards.split} maps with {wildcards.affinity}."
    shell:
        "python -m wsss --log {log:q} affinity walk --recipe {params.recipe:q}"
        " --model {input.model:q} --maps {input.maps:q} --images {input.images:q}"
        " --threads {threads} --out {output:q}"


rule affinity_pseudo:
    input:
        maps=maps_for_pseudo_masks,
        images="results/{dataset}/data/{split}.h5",
    output:
        f"{AFFINITY}/pseudo.{{split}}.h5",
    log:
        f"{AFFINITY}/log/pseudo.{{split}}.log",
    benchmark:
        f"{AFFINITY}/log/pseudo.{{split}}.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 16
    resources:
        mem_mb=memory(8000),
        runtime=720,
    params:
        recipe=recipe("affinity", "pseudo"),
        code=code("wsss.crf.pseudo", f"{AFFINITY}/pseudo.{{split}}.h5"),
    message:
        "Make {wildcards.split} pseudo masks with {wildcards.affinity}."
    shell:
        "python -m wsss --log {log:q} affinity pseudo --recipe {params.recipe:q}"
        " --maps {input.maps:q} --images {input.images:q} --workers {threads} --out {output:q}"
