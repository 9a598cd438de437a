"""Dense CRF refinement of any maps or masks file by a named recipe."""

REFINED = f"{SEED}/{{above}}/{{file}}.{{split}}.crf-{{preset}}{{shard}}.h5"


rule crf_refine:
    input:
        source=f"{SEED}/{{above}}/{{file}}.{{split}}{{shard}}.h5",
        images="results/{dataset}/data/{split}.h5",
        threshold=ask(inputs.crf_threshold_source),
    output:
        REFINED,
    log:
        f"{SEED}/{{above}}/log/{{file}}.{{split}}.crf-{{preset}}{{shard}}.log",
    benchmark:
        f"{SEED}/{{above}}/log/{{file}}.{{split}}.crf-{{preset}}{{shard}}.benchmark.tsv"
    wildcard_constraints:
        file=patterns.REFINABLE,
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 16
    resources:
        mem_mb=memory(8000),
        runtime=minutes_for_10000(720),
    params:
        recipe=recipe("crf"),
        code=code("wsss.crf.refine"),
        threshold=each("--threshold-from", "threshold"),
    message:
        "Refine {wildcards.file}.{wildcards.split} by the dense CRF {wildcards.preset}."
    shell:
        "python -m wsss --log {log:q} crf refine --recipe {params.recipe:q}"
        " --input {input.source:q} --images {input.images:q} {params.threshold:q}"
        " --workers {threads} --out {output:q}"
