"""Multi-label classifiers trained on image-level labels."""


rule classifier_train:
    input:
        images="results/{dataset}/data/train.h5",
        validation=validation_images,
        weights=ask(inputs.pretrained_weights, "classifier"),
        ordinary=ask(inputs.ordinary_classifier),
    output:
        model=f"{SEED}/{{classifier}}/model.safetensors",
        history=f"{SEED}/{{classifier}}/history.csv",
    log:
        f"{SEED}/{{classifier}}/log/model.log",
    benchmark:
        f"{SEED}/{{classifier}}/log/model.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: eight_for_each(gpus)
    resources:
        mem_mb=memory(8000, gpus),
        runtime=minutes_for_10000(1440),
        gpu=gpus,
        nodes=1,
    params:
        recipe=recipe("classifier"),
        code=code("wsss.classifier.train"),
        weights=each("--weights", "weights"),
        ordinary=each("--ordinary", "ordinary"),
    message:
        "Train the classifier {wildcards.classifier} on {wildcards.dataset}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} classifier train --recipe {params.recipe:q}"
        " --images {input.images:q} --validation {input.validation:q} {params.weights:q}"
        " {params.ordinary:q} --seed {wildcards.seed} --threads {threads} --gpus {resources.gpu}"
        " --out-history {output.history:q} --out {output.model:q}"


rule classifier_evaluate:
    input:
        model=f"{SEED}/{{classifier}}/model.safetensors",
        images="results/{dataset}/data/{split}.h5",
    output:
        f"{SEED}/{{classifier}}/model.{{split}}.eval.json",
    log:
        f"{SEED}/{{classifier}}/log/model.{{split}}.eval.log",
    benchmark:
        f"{SEED}/{{classifier}}/log/model.{{split}}.eval.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(6000),
        runtime=minutes_for_10000(240),
        gpu=1,
    params:
        code=code("wsss.classifier.evaluation"),
    message:
        "Evaluate the classifier {wildcards.classifier} on the labels of {wildcards.split}."
    shell:
        "python -m wsss --log {log:q} classifier evaluate --model {input.model:q}"
        " --images {input.images:q} --threads {threads} --out {output:q}"


rule classifier_curve:
    input:
        f"{SEED}/{{classifier}}/history.csv",
    output:
        report(
            f"{SEED}/{{classifier}}/history.png",
            caption="../report/history.rst",
            category="Learning curves",
            labels={"classifier": "{dataset}/{classifier}", "seed": "{seed}"},
        ),
    log:
        f"{SEED}/{{classifier}}/log/history.log",
    benchmark:
        f"{SEED}/{{classifier}}/log/history.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    params:
        code=code("wsss.classifier.curve"),
    message:
        "Draw the learning curves of {wildcards.classifier}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} classifier curve --history {input:q} --out {output:q}"
