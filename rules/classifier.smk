"""Multi-label classifiers trained on image-level labels."""


rule classifier_train:
    input:
        images="results/{dataset}/data/train.h5",
        weights=weights("classifier"),
    output:
        f"{SEED}/{{classifier}}/model.safetensors",
    log:
        f"{SEED}/{{classifier}}/log/model.log",
    benchmark:
        f"{SEED}/{{classifier}}/log/model.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=1440,
        gpu=1,
    params:
        recipe=recipe("classifier"),
        code=code("wsss.classifier.train", f"{SEED}/{{classifier}}/model.safetensors"),
        weights=lambda wildcards, input: (
            ["--weights", input.weights] if input.weights else []
        ),
    message:
        "Train the classifier {wildcards.classifier} on {wildcards.dataset}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} classifier train --recipe {params.recipe:q}"
        " --images {input.images:q} {params.weights:q} --seed {wildcards.seed} --threads {threads}"
        " --out {output:q}"
