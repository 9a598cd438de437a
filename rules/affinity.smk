"""Affinity labels, boundary network, random walk, pseudo masks: no ground truth comes in."""


rule affinity_labels:
    input:
        maps=f"{CAM}/cam.train{{shard}}.h5",
        images="results/{dataset}/data/train.h5",
        saliency=ask(inputs.saliency_part),
    output:
        f"{AFFINITY}/labels.train{{shard}}.h5",
    log:
        f"{AFFINITY}/log/labels.train{{shard}}.log",
    benchmark:
        f"{AFFINITY}/log/labels.train{{shard}}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 16
    resources:
        mem_mb=memory(8000),
        runtime=minutes_for_10000(720),
    params:
        recipe=recipe("affinity", "labels"),
        code=code("wsss.affinity.labels"),
        saliency=each("--saliency", "saliency"),
    message:
        "Make affinity labels {wildcards.affinity} from {wildcards.cam}."
    shell:
        "python -m wsss --log {log:q} affinity labels --recipe {params.recipe:q}"
        " --maps {input.maps:q} --images {input.images:q} {params.saliency:q}"
        " --workers {threads} --out {output:q}"


rule affinity_train:
    input:
        images="results/{dataset}/data/train.h5",
        labels=parts(f"{AFFINITY}/labels.train"),
        weights=ask(inputs.pretrained_weights, "affinity", "network"),
    output:
        f"{AFFINITY}/model.safetensors",
    log:
        f"{AFFINITY}/log/model.log",
    benchmark:
        f"{AFFINITY}/log/model.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: eight_for_each(gpus)
    resources:
        mem_mb=memory(8000, gpus),
        runtime=minutes_for_10000(1440),
        gpu=gpus,
        nodes=1,
    params:
        recipe=recipe("affinity", "network"),
        code=code("wsss.affinity.train"),
        labels=each("--labels", "labels"),
        weights=each("--weights", "weights"),
    message:
        "Train the boundary network of {wildcards.affinity}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} affinity train --recipe {params.recipe:q}"
        " --images {input.images:q} {params.labels:q} {params.weights:q}"
        " --seed {wildcards.seed} --threads {threads} --gpus {resources.gpu} --out {output:q}"


rule affinity_walk:
    input:
        model=f"{AFFINITY}/model.safetensors",
        maps=f"{CAM}/cam.{{split}}{{shard}}.h5",
        images="results/{dataset}/data/{split}.h5",
    output:
        f"{AFFINITY}/walk.{{split}}{{shard}}.h5",
    log:
        f"{AFFINITY}/log/walk.{{split}}{{shard}}.log",
    benchmark:
        f"{AFFINITY}/log/walk.{{split}}{{shard}}.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(6000),
        runtime=minutes_for_10000(480),
        gpu=1,
    params:
        recipe=recipe("affinity", "walk"),
        code=code("wsss.affinity.walk_maps"),
    message:
        "Random walk over the {wildcards.split} maps with {wildcards.affinity}."
    shell:
        "python -m wsss --log {log:q} affinity walk --recipe {params.recipe:q}"
        " --model {input.model:q} --maps {input.maps:q} --images {input.images:q}"
        " --threads {threads} --out {output:q}"


rule affinity_pseudo:
    input:
        maps=ask(inputs.maps_for_pseudo_masks),
        images="results/{dataset}/data/{split}.h5",
    output:
        f"{AFFINITY}/pseudo.{{split}}{{shard}}.h5",
    log:
        f"{AFFINITY}/log/pseudo.{{split}}{{shard}}.log",
    benchmark:
        f"{AFFINITY}/log/pseudo.{{split}}{{shard}}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 16
    resources:
        mem_mb=memory(8000),
        runtime=minutes_for_10000(720),
    params:
        recipe=recipe("affinity", "pseudo"),
        code=code("wsss.crf.pseudo"),
    message:
        "Make {wildcards.split} pseudo masks with {wildcards.affinity}."
    shell:
        "python -m wsss --log {log:q} affinity pseudo --recipe {params.recipe:q}"
        " --maps {input.maps:q} --images {input.images:q} --workers {threads} --out {output:q}"
