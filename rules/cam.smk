"""Class activation maps with multi-scale and flip test-time augmentation."""


rule cam_extract:
    input:
        model=f"{SEED}/{{classifier}}/model.safetensors",
        images="results/{dataset}/data/{split}.h5",
        masks=ask(inputs.cam_masks),
    output:
        f"{CAM}/cam.{{split}}{{shard}}.h5",
    log:
        f"{CAM}/log/cam.{{split}}{{shard}}.log",
    benchmark:
        f"{CAM}/log/cam.{{split}}{{shard}}.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(6000),
        runtime=minutes_for_10000(480),
        gpu=1,
    params:
        recipe=recipe("cam"),
        code=code("wsss.cam.extraction"),
        shard=ask(inputs.shard_option),
        masks=each("--masks", "masks"),
    message:
        "Extract {wildcards.cam} maps of {wildcards.split} from {wildcards.classifier}."
    shell:
        "python -m wsss --log {log:q} cam extract --recipe {params.recipe:q}"
        " --model {input.model:q} --images {input.images:q} {params.masks:q}"
        " {params.shard:q} --threads {threads} --out {output:q}"
