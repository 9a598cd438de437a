"""Tables, their curves, and galleries: what people look at."""

from wsss.workflow import gallery_inputs, table_inputs


rule report_table:
    input:
        ask(table_inputs.table_files, by="table"),
    output:
        csv=report(
            "results/tables/{table}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "shows": "metrics"},
        ),
        md="results/tables/{table}.md",
        tex="results/tables/{table}.tex",
    log:
        "results/tables/log/{table}.log",
    benchmark:
        "results/tables/log/{table}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    params:
        spec=ask(table_inputs.table_spec, by="table"),
        code=code("wsss.report.render"),
    message:
        "Make the table {wildcards.table}."
    shell:
        "printf %s {params.spec:q} | python -m wsss --log {log:q} report table --spec -"
        " --out-csv {output.csv:q} --out-md {output.md:q} --out-tex {output.tex:q}"


rule report_curves:
    input:
        ask(table_inputs.curve_files, by="table"),
    output:
        report(
            "results/tables/{table}.curves.png",
            caption="../report/curves.rst",
            category="Tables",
            labels={"table": "{table}", "shows": "threshold curves"},
        ),
    log:
        "results/tables/log/{table}.curves.log",
    benchmark:
        "results/tables/log/{table}.curves.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    params:
        spec=ask(table_inputs.curves_spec, by="table"),
        code=code("wsss.report.curves"),
    message:
        "Draw the threshold curves of the table {wildcards.table}."
    shell:
        "printf %s {params.spec:q} | python -m wsss --log {log:q} report curves --spec - --out {output:q}"


rule report_gallery:
    input:
        ask(gallery_inputs.gallery_files),
    output:
        report(
            "results/galleries/{experiment}.seed{seed}.{split}.png",
            caption="../report/gallery.rst",
            category="Galleries",
            labels={
                "experiment": "{experiment}",
                "seed": "{seed}",
                "split": "{split}",
            },
        ),
    log:
        "results/galleries/log/{experiment}.seed{seed}.{split}.log",
    benchmark:
        "results/galleries/log/{experiment}.seed{seed}.{split}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    params:
        spec=ask(gallery_inputs.gallery_spec),
        code=code("wsss.report.gallery"),
    message:
        "Draw the gallery of {wildcards.experiment}, {wildcards.split}."
    shell:
        "printf %s {params.spec:q} | python -m wsss --log {log:q} report gallery --spec - --out {output:q}"


rule report_comparison:
    input:
        ask(gallery_inputs.gallery_files),
    output:
        report(
            "results/tables/{table}.seed{seed}.{split}.png",
            caption="../report/comparison.rst",
            category="Galleries",
            labels={
                "table": "{table}",
                "seed": "{seed}",
                "split": "{split}",
            },
        ),
    log:
        "results/tables/log/{table}.seed{seed}.{split}.log",
    benchmark:
        "results/tables/log/{table}.seed{seed}.{split}.benchmark.tsv"
    conda:
        "../envs/wsss-cpu.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(20),
    params:
        spec=ask(gallery_inputs.gallery_spec),
        code=code("wsss.report.gallery"),
    message:
        "Draw the maps of the table {wildcards.table} side by side."
    shell:
        "printf %s {params.spec:q} | python -m wsss --log {log:q} report gallery --spec - --out {output:q}"
