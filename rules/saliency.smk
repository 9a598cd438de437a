"""C²AM or C²AM-H on the CAMs' images, and a network that learns from what it finds."""


rule saliency_train_c2am:
    input:
        images="results/{dataset}/data/train.h5",
        hints=ask(inputs.hints),
        weights=ask(inputs.pretrained_weights, "saliency", "c2am"),
    output:
        f"{SALIENCY}/c2am.safetensors",
    log:
        f"{SALIENCY}/log/c2am.log",
    benchmark:
        f"{SALIENCY}/log/c2am.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: eight_for_each(gpus)
    resources:
        mem_mb=memory(12000, gpus),
        runtime=minutes_for_10000(1440),
        gpu=gpus,
        nodes=1,
    params:
        recipe=recipe("saliency", "c2am"),
        code=code("wsss.saliency.train_c2am"),
        hints=each("--hints", "hints"),
        weights=each("--weights", "weights"),
    message:
        "Train C²AM {wildcards.saliency} on {wildcards.dataset}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} saliency train-c2am --recipe {params.recipe:q}"
        " --images {input.images:q} {params.hints:q} {params.weights:q}"
        " --seed {wildcards.seed} --threads {threads} --gpus {resources.gpu} --out {output:q}"


rule saliency_c2am:
    input:
        model=f"{SALIENCY}/c2am.safetensors",
        images="results/{dataset}/data/{split}.h5",
    output:
        f"{SALIENCY}/c2am.{{split}}{{shard}}.h5",
    log:
        f"{SALIENCY}/log/c2am.{{split}}{{shard}}.log",
    benchmark:
        f"{SALIENCY}/log/c2am.{{split}}{{shard}}.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(6000),
        runtime=minutes_for_10000(480),
        gpu=1,
    params:
        recipe=recipe("saliency", "maps"),
        shard=ask(inputs.shard_option),
        code=code("wsss.saliency.extraction"),
    message:
        "Extract {wildcards.saliency} maps of {wildcards.split}."
    shell:
        "python -m wsss --log {log:q} saliency c2am --recipe {params.recipe:q}"
        " --model {input.model:q} --images {input.images:q} {params.shard:q}"
        " --threads {threads} --out {output:q}"


rule saliency_masks:
    input:
        maps=f"{SALIENCY}/c2am.train{{shard}}.h5",
        images="results/{dataset}/data/train.h5",
    output:
        f"{SALIENCY}/c2am.masks.train{{shard}}.h5",
    log:
        f"{SALIENCY}/log/c2am.masks.train{{shard}}.log",
    benchmark:
        f"{SALIENCY}/log/c2am.masks.train{{shard}}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 16
    resources:
        mem_mb=memory(8000),
        runtime=minutes_for_10000(720),
    params:
        recipe=recipe("saliency", "masks"),
        code=code("wsss.crf.pseudo"),
    message:
        "Make pseudo saliency masks of {wildcards.saliency}."
    shell:
        "python -m wsss --log {log:q} saliency masks --recipe {params.recipe:q}"
        " --maps {input.maps:q} --images {input.images:q} --workers {threads} --out {output:q}"


rule saliency_train:
    input:
        images="results/{dataset}/data/train.h5",
        masks=ask(inputs.saliency_masks),
        weights=ask(inputs.pretrained_weights, "saliency", "network"),
    output:
        f"{SALIENCY}/network.safetensors",
    log:
        f"{SALIENCY}/log/network.log",
    benchmark:
        f"{SALIENCY}/log/network.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: eight_for_each(gpus)
    resources:
        mem_mb=memory(12000, gpus),
        runtime=minutes_for_10000(1440),
        gpu=gpus,
        nodes=1,
    params:
        recipe=recipe("saliency", "network"),
        code=code("wsss.saliency.train_network"),
        masks=each("--masks", "masks"),
        weights=each("--weights", "weights"),
    message:
        "Train the saliency network of {wildcards.saliency}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} saliency train --recipe {params.recipe:q}"
        " --images {input.images:q} {params.masks:q} {params.weights:q}"
        " --seed {wildcards.seed} --threads {threads} --gpus {resources.gpu} --out {output:q}"


rule saliency_predict:
    input:
        model=f"{SALIENCY}/network.safetensors",
        images="results/{dataset}/data/{split}.h5",
    output:
        f"{SALIENCY}/saliency.{{split}}{{shard}}.h5",
    log:
        f"{SALIENCY}/log/saliency.{{split}}{{shard}}.log",
    benchmark:
        f"{SALIENCY}/log/saliency.{{split}}{{shard}}.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(6000),
        runtime=minutes_for_10000(480),
        gpu=1,
    params:
        recipe=recipe("saliency", "predict"),
        shard=ask(inputs.shard_option),
        code=code("wsss.saliency.extraction"),
    message:
        "Predict the saliency of {wildcards.split} by {wildcards.saliency}."
    shell:
        "python -m wsss --log {log:q} saliency predict --recipe {params.recipe:q}"
        " --model {input.model:q} --images {input.images:q} {params.shard:q}"
        " --threads {threads} --out {output:q}"
