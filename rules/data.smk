"""Images and ground-truth masks of a data set, each in files of their own."""


rule data_images:
    message:
        "Prepare the {wildcards.split} images of {wildcards.dataset}."
    output:
        "results/{dataset}/data/{split}.h5",
    log:
        "results/{dataset}/data/log/{split}.log",
    benchmark:
        "results/{dataset}/data/log/{split}.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        recipe=recipe("dataset"),
        code=code("wsss.data.prepare", "results/{dataset}/data/{split}.h5"),
    shell:
        "python -m wsss --log {log:q} data images --recipe {params.recipe:q}"
        " --split {wildcards.split} --workers {threads} --out {output:q}"


rule data_masks:
    message:
        "Prepare the ground-truth {wildcards.purpose} of {wildcards.dataset}, {wildcards.split}."
    input:
        images="results/{dataset}/data/{split}.h5",
    output:
        "results/{dataset}/data/{split}.{purpose}.h5",
    log:
        "results/{dataset}/data/log/{split}.{purpose}.log",
    benchmark:
        "results/{dataset}/data/log/{split}.{purpose}.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        recipe=recipe("dataset"),
        code=code("wsss.data.prepare", "results/{dataset}/data/{split}.{purpose}.h5"),
        purpose=lambda wildcards: {"masks": "evaluation"}.get(wildcards.purpose, "supervision"),
    shell:
        "python -m wsss --log {log:q} data masks --recipe {params.recipe:q}"
        " --split {wildcards.split} --purpose {params.purpose} --images {input.images:q}"
        " --workers {threads} --out {output:q}"


localrules:
    weights_fetch,


rule weights_fetch:
    message:
        "Download the pretrained weights {wildcards.model}."
    output:
        "results/weights/{model}.safetensors",
    log:
        "results/weights/log/{model}.log",
    benchmark:
        "results/weights/log/{model}.benchmark.tsv"
    conda:
        "../envs/wsss.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=60,
    shell:
        "python -m wsss --log {log:q} weights fetch {wildcards.model:q} --out {output:q}"
