"""Every metric that a table can show. An entry in METRICS is all that a new one needs.

Nothing here changes a number: the code digest leaves this module out (wsss/core/digest.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from wsss.core.errors import UserError
from wsss.core.mistakes import did_you_mean
from wsss.core.outputs import THRESHOLDED, kind_of


@dataclass(frozen=True)
class Metric:
    """A number among the `metrics` of an evaluation.

    label: in the heading of a column. note: in the footnotes of a table.
    only_of: the files that have it, every file of its kind where empty.
    needs_curves: measured only where the explain recipe has curves.
    at_threshold: whether a file with a threshold has it at the threshold that was chosen.
    """

    label: str
    note: str
    lower_is_better: bool = False
    only_of: tuple[str, ...] = ()
    needs_curves: bool = False
    at_threshold: bool = True


SALIENCY = ("c2am", "saliency")

# Per kind of evaluation, because a name such as f1 means another thing in another kind.
METRICS: dict[str, dict[str, Metric]] = {
    "masks": {
        "miou": Metric("mIoU", "mIoU"),
        "fixed_miou": Metric(
            "mIoU, fixed threshold",
            "mIoU at a fixed threshold",
            only_of=THRESHOLDED,
            at_threshold=False,
        ),
        "miou_foreground": Metric("foreground mIoU", "mIoU of the foreground"),
        "fp": Metric(
            "FP", "over-activation (FP of the foreground, lower is better)", lower_is_better=True
        ),
        "fn": Metric(
            "FN", "under-activation (FN of the foreground, lower is better)", lower_is_better=True
        ),
        "precision": Metric("precision", "macro precision"),
        "recall": Metric("recall", "macro recall"),
        "f1": Metric("F1", "macro F1"),
        "pixel_accuracy": Metric("pixel accuracy", "pixel accuracy"),
        "mae": Metric(
            "MAE",
            "mean absolute error of saliency (lower is better)",
            lower_is_better=True,
            only_of=SALIENCY,
            at_threshold=False,
        ),
        "f_beta": Metric(
            "F-measure",
            "F-measure of saliency, with 0.3 for the square of beta, at its best threshold",
            only_of=SALIENCY,
            at_threshold=False,
        ),
        "s_measure": Metric(
            "S-measure", "S-measure of saliency", only_of=SALIENCY, at_threshold=False
        ),
        "labelled": Metric(
            "labelled", "share of pixels with an affinity label", only_of=("labels",)
        ),
    },
    "classifier": {
        "f1": Metric("F1", "classifier: F1 of image-level labels, macro over classes"),
        "f2": Metric("F2", "classifier: F2 of image-level labels, macro over classes"),
        "map": Metric(
            "mAP", "classifier: mean average precision of image-level labels, macro over classes"
        ),
        "precision": Metric(
            "precision", "classifier: precision of image-level labels, macro over classes"
        ),
        "recall": Metric("recall", "classifier: recall of image-level labels, macro over classes"),
        "micro_f1": Metric("micro F1", "classifier: F1 over all labels of all images"),
        "exact_match": Metric("exact match", "classifier: images whose every label is right"),
    },
    "explanations": {
        "ic": Metric("IC", "IC: detections that masking by their map makes surer"),
        "ad": Metric(
            "AD",
            "AD: average drop of the class where the image is masked by its map (lower is better)",
            lower_is_better=True,
        ),
        "ar": Metric("AR", "AR: average drop of the class where its map is masked out"),
        "ado": Metric(
            "ADO",
            "ADO: average drop of the other detected classes where the image is masked by the map",
        ),
        "aro": Metric(
            "ARO",
            "ARO: average drop of the others where the map is masked out (lower is better)",
            lower_is_better=True,
        ),
        "ado_multi": Metric("ADO, two or more", "ADO in images with two or more detections"),
        "aro_multi": Metric(
            "ARO, two or more",
            "ARO in images with two or more detections (lower is better)",
            lower_is_better=True,
        ),
        "macro_ic": Metric("macro IC", "macro IC: mean over classes"),
        "macro_ad": Metric("macro AD", "macro AD: mean over classes", lower_is_better=True),
        "macro_ar": Metric("macro AR", "macro AR: mean over classes"),
        "macro_ado": Metric("macro ADO", "macro ADO: mean over classes"),
        "macro_aro": Metric("macro ARO", "macro ARO: mean over classes", lower_is_better=True),
        "f1_of_ar_ado": Metric("F1 of AR, ADO", "harmonic mean of AR and ADO by class"),
        "f1_of_ad_aro": Metric(
            "F1 of AD, ARO",
            "harmonic mean of AD and ARO by class (lower is better)",
            lower_is_better=True,
        ),
        "deletion": Metric(
            "deletion",
            "deletion: area under the probability as the map's highest pixels go first "
            "(lower is better)",
            lower_is_better=True,
            needs_curves=True,
        ),
        "insertion": Metric(
            "insertion",
            "insertion: area under the probability as the map's highest pixels come first",
            needs_curves=True,
        ),
    },
    "localization": {
        "max_box_acc": Metric(
            "MaxBoxAcc", "MaxBoxAcc: largest box at IoU 0.5, at the best threshold"
        ),
        "max_box_acc_v2": Metric(
            "MaxBoxAccV2", "MaxBoxAccV2: any box at IoU 0.3, 0.5, 0.7, each at its best threshold"
        ),
        "pxap": Metric("PxAP", "PxAP: average precision of pixels"),
        "peak_iou": Metric(
            "peak IoU", "IoU of the foreground, all images pooled, at its best threshold"
        ),
        "peak_iou_threshold": Metric("threshold of peak IoU", "that threshold, times 100"),
        "pointing": Metric(
            "pointing game",
            "pointing game: highest pixel on the object or near it, mean over classes",
        ),
    },
}


def metrics_of(file: str) -> dict[str, Metric]:
    """What the evaluation of a column's file may hold, such as of "cam" or "cam.crf-labels"."""
    found = METRICS[kind_of(file)]
    return {name: m for name, m in found.items() if file in (m.only_of or (file,))}


def required_metrics(kind: str) -> list[str]:
    """What every evaluation of a kind holds."""
    return [name for name, m in METRICS[kind].items() if not (m.only_of or m.needs_curves)]


def find_metric(kind: str, name: str) -> Metric:
    """A metric of a kind of evaluation. UserError if the kind has none of this name."""
    if name not in METRICS[kind]:
        known = did_you_mean(name, list(METRICS[kind]))
        raise UserError(f"no metric '{name}' in evaluations of {kind}{known}")
    return METRICS[kind][name]
