"""DeepLabV3+ on pseudo masks, or on ground truth for the fully supervised upper bound."""

SUPERVISED = f"{SEED}/{{classifier}}/ground-truth/{{segmentation}}"


rule segmentation_train:
    input:
        images="results/{dataset}/data/train.h5",
        masks=parts(f"{AFFINITY}/pseudo.train"),
        weights=ask(inputs.pretrained_weights, "segmentation", "train"),
    output:
        f"{AFFINITY}/{{segmentation}}/model.safetensors",
    log:
        f"{AFFINITY}/{{segmentation}}/log/model.log",
    benchmark:
        f"{AFFINITY}/{{segmentation}}/log/model.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: eight_for_each(gpus)
    resources:
        mem_mb=memory(12000, gpus),
        runtime=minutes_for_10000(2880),
        gpu=gpus,
        nodes=1,
    params:
        recipe=recipe("segmentation", "train"),
        code=code("wsss.segmentation.train"),
        masks=each("--masks", "masks"),
        weights=each("--weights", "weights"),
    message:
        "Train {wildcards.segmentation} on pseudo masks, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} segmentation train --recipe {params.recipe:q}"
        " --images {input.images:q} {params.masks:q} {params.weights:q}"
        " --seed {wildcards.seed} --threads {threads} --gpus {resources.gpu} --out {output:q}"


use rule segmentation_train as segmentation_train_supervised with:
    input:
        images="results/{dataset}/data/train.h5",
        masks="results/{dataset}/data/train.supervision.h5",
        weights=ask(inputs.pretrained_weights, "segmentation", "train"),
    output:
        f"{SUPERVISED}/model.safetensors",
    log:
        f"{SUPERVISED}/log/model.log",
    benchmark:
        f"{SUPERVISED}/log/model.benchmark.tsv"
    params:
        recipe=recipe("segmentation", "train"),
        code=code("wsss.segmentation.train"),
        masks=each("--masks", "masks"),
        weights=each("--weights", "weights"),
    message:
        "Train {wildcards.segmentation} on ground truth, seed {wildcards.seed}."


PREDICTED = f"{SEED}/{{above}}/{{segmentation}}/prediction.{{split}}{{shard}}.h5"


rule segmentation_predict:
    input:
        model=f"{SEED}/{{above}}/{{segmentation}}/model.safetensors",
        images="results/{dataset}/data/{split}.h5",
    output:
        PREDICTED,
    log:
        f"{SEED}/{{above}}/{{segmentation}}/log/prediction.{{split}}{{shard}}.log",
    benchmark:
        f"{SEED}/{{above}}/{{segmentation}}/log/prediction.{{split}}{{shard}}.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(6000),
        runtime=minutes_for_10000(480),
        gpu=1,
    params:
        recipe=recipe("segmentation", "predict"),
        code=code("wsss.segmentation.predict"),
        shard=ask(inputs.shard_option),
    message:
        "Predict class scores of {wildcards.split} with {wildcards.segmentation}."
    shell:
        "python -m wsss --log {log:q} segmentation predict --recipe {params.recipe:q}"
        " --model {input.model:q} --images {input.images:q} {params.shard:q}"
        " --threads {threads} --out {output:q}"
