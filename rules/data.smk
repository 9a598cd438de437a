"""Images and ground-truth masks of a data set, each in files of their own."""


rule data_images:
    input:
        ask(inputs.data_sources),
    output:
        "results/{dataset}/data/{split}.h5",
    log:
        "results/{dataset}/data/log/{split}.log",
    benchmark:
        "results/{dataset}/data/log/{split}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes_for_10000(60),
    params:
        recipe=recipe("dataset"),
        code=code("wsss.data.prepare"),
    message:
        "Prepare the {wildcards.split} images of {wildcards.dataset}."
    shell:
        "python -m wsss --log {log:q} data images --recipe {params.recipe:q}"
        " --split {wildcards.split} --workers {threads} --out {output:q}"


rule data_masks:
    input:
        images="results/{dataset}/data/{split}.h5",
        sources=ask(inputs.data_sources),
    output:
        "results/{dataset}/data/{split}.{purpose}.h5",
    log:
        "results/{dataset}/data/log/{split}.{purpose}.log",
    benchmark:
        "results/{dataset}/data/log/{split}.{purpose}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
        runtime=minutes_for_10000(60),
    params:
        recipe=recipe("dataset"),
        code=code("wsss.data.prepare"),
        purpose=ask(inputs.purpose),
    message:
        "Prepare the ground-truth {wildcards.purpose} of {wildcards.dataset}, {wildcards.split}."
    shell:
        "python -m wsss --log {log:q} data masks --recipe {params.recipe:q}"
        " --split {wildcards.split} --purpose {params.purpose} --images {input.images:q}"
        " --workers {threads} --out {output:q}"


localrules:
    weights_fetch,


rule weights_fetch:
    output:
        "results/weights/{model}.safetensors",
    log:
        "results/weights/log/{model}.log",
    benchmark:
        "results/weights/log/{model}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    message:
        "Download the pretrained weights {wildcards.model}."
    shell:
        "python -m wsss --log {log:q} weights fetch {wildcards.model:q} --out {output:q}"
