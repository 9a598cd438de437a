# The results tree, one level per stage (docs/architecture.md):
#
#   results/<dataset>/data/<split>.h5, <split>.masks.h5, <split>.supervision.h5
#   results/<dataset>/seed<n>/<classifier>/<cam>/<saliency|none>/<affinity>/<segmentation>/
#   results/<dataset>/seed<n>/<classifier|none>/ground-truth/<segmentation>/      upper bound
#   results/<dataset>/seed<n>/<classifier>/explain/<explain>/                       explaining methods
#   results/tables/<table>.{csv,md,tex}, <table>.curves.png
#   results/galleries/<experiment>.seed<n>.<split>.png
import gc

from snakemake.utils import min_version

min_version("9.27")

# What is read from here to the end of this file is kept for good: no looking for garbage in it
# again and again.
gc.disable()

# A study given by --configfile stands alone: the demo's experiments must not be merged into it.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/clock.smk"
include: "rules/data.smk"
include: "rules/classifier.smk"
include: "rules/cam.smk"
include: "rules/crf.smk"
include: "rules/saliency.smk"
include: "rules/affinity.smk"
include: "rules/segmentation.smk"
include: "rules/explain.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
include: "rules/targets.smk"


# Here, because snakemake 9.27.1 drops the default target of an included file.
rule all:
    default_target: True
    input:
        targets.all_evaluations(CONFIG),
        targets.all_tables(CONFIG),
        targets.all_galleries(CONFIG),
        targets.all_curves(CONFIG),
    message:
        "Everything that the configuration asks for."


# Seconds each: not worth a job of a cluster.
localrules:
    all,
    tables,
    galleries,
    classifier_curve,
    evaluation_curve,
    explain_weights,
    report_table,
    report_curves,


gc.freeze()
gc.enable()
