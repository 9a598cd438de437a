"""Explaining methods on a classifier: a branch off the pipeline, which nothing learns from."""


rule explain_maps:
    input:
        model=f"{SEED}/{{classifier}}/model.safetensors",
        images="results/{dataset}/data/{split}.h5",
        masks=ask(inputs.explain_masks),
    output:
        f"{EXPLAIN}/explained.{{split}}{{shard}}.h5",
    log:
        f"{EXPLAIN}/log/explained.{{split}}{{shard}}.log",
    benchmark:
        f"{EXPLAIN}/log/explained.{{split}}{{shard}}.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=minutes_for_10000(720),
        gpu=1,
    params:
        recipe=recipe("explain", "maps"),
        code=code("wsss.explain.extraction"),
        shard=ask(inputs.shard_option),
        masks=each("--masks", "masks"),
    message:
        "Explain {wildcards.classifier} on {wildcards.split} by {wildcards.explain}."
    shell:
        "python -m wsss --log {log:q} explain maps --recipe {params.recipe:q}"
        " --model {input.model:q} --images {input.images:q} {params.masks:q}"
        " {params.shard:q} --threads {threads} --out {output:q}"


rule explain_metrics:
    input:
        model=f"{SEED}/{{classifier}}/model.safetensors",
        images="results/{dataset}/data/{split}.h5",
        maps=parts(f"{EXPLAIN}/explained.{{split}}"),
    output:
        summary=f"{EXPLAIN}/explain.{{split}}.eval.json",
        rows=f"{EXPLAIN}/explain.{{split}}.csv",
    log:
        f"{EXPLAIN}/log/explain.{{split}}.eval.log",
    benchmark:
        f"{EXPLAIN}/log/explain.{{split}}.eval.benchmark.tsv"
    conda:
        SITE.gpu_env
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=minutes_for_10000(480),
        gpu=1,
    params:
        recipe=recipe("explain", "metrics"),
        code=code("wsss.explain.metrics.evaluation"),
        maps=each("--maps", "maps"),
    message:
        "Mask {wildcards.split} by the maps of {wildcards.explain} and see what drops."
    shell:
        "python -m wsss --log {log:q} explain metrics --model {input.model:q}"
        " --images {input.images:q} {params.maps:q} --recipe {params.recipe:q}"
        " --threads {threads} --out-rows {output.rows:q} --out {output.summary:q}"


rule explain_localization:
    input:
        maps=parts(f"{EXPLAIN}/explained.{{split}}"),
        masks="results/{dataset}/data/{split}.masks.h5",
        percentile=ask(inputs.percentile_source),
    output:
        f"{EXPLAIN}/localization.{{split}}.eval.json",
    log:
        f"{EXPLAIN}/log/localization.{{split}}.eval.log",
    benchmark:
        f"{EXPLAIN}/log/localization.{{split}}.eval.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes_for_10000(240),
    params:
        recipe=recipe("explain", "localization"),
        code=code("wsss.explain.localization.evaluation"),
        maps=each("--maps", "maps"),
        percentile=each("--percentile-from", "percentile"),
    message:
        "Score the maps of {wildcards.explain} on {wildcards.split} as localization."
    shell:
        "python -m wsss --log {log:q} explain localization --recipe {params.recipe:q}"
        " {params.maps:q} --masks {input.masks:q} {params.percentile:q}"
        " --seed {wildcards.seed} --out {output:q}"


rule explain_weights:
    input:
        f"{SEED}/{{classifier}}/model.safetensors",
    output:
        report(
            f"{SEED}/{{classifier}}/explain/class-weights.png",
            caption="../report/class-weights.rst",
            category="Class weights",
            labels={"classifier": "{dataset}/{classifier}", "seed": "{seed}"},
        ),
    log:
        f"{SEED}/{{classifier}}/explain/log/class-weights.log",
    benchmark:
        f"{SEED}/{{classifier}}/explain/log/class-weights.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=minutes(20),
    params:
        code=code("wsss.explain.class_weights"),
    message:
        "Draw the correlation of the class weights of {wildcards.classifier}, seed {wildcards.seed}."
    shell:
        "python -m wsss --log {log:q} explain weights --model {input:q} --out {output:q}"
