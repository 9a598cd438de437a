"""Every result that is evaluated or shown: its stage, what it holds, and what tables show of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """A result file, or an evaluation that has a name of its own.

    stage: makes it. evaluation: `evaluated.kind` in its eval.json.
    title: heading of its column in galleries, None where galleries leave it out.
    refinable: whether a dense CRF takes it, as in the column cam.crf-labels.
    of_train: made of train only, because networks learn from it.
    metric: shown where a column names none, None for the table's own.
    needs_masks: whether ground truth masks judge it.
    """

    stage: str
    evaluation: str
    about: str
    title: str | None = None
    refinable: bool = False
    of_train: bool = False
    metric: str | None = None
    needs_masks: bool = True


# By the name of the file without split and suffix, in the order in which galleries show them.
OUTPUTS: dict[str, Output] = {
    "cam": Output("cam", "maps", about="class activation maps", title="CAM", refinable=True),
    "c2am": Output("saliency", "maps", about="saliency of C²AM", title="C²AM", refinable=True),
    "c2am.masks": Output(
        "saliency", "masks", about="masks that train the saliency network", of_train=True
    ),
    "saliency": Output(
        "saliency", "maps", about="saliency of the network", title="saliency", refinable=True
    ),
    "cam+saliency": Output("saliency", "maps", about="the CAM with saliency as its background"),
    "labels": Output(
        "affinity", "masks", about="affinity labels", title="affinity labels", of_train=True
    ),
    "walk": Output(
        "affinity", "maps", about="maps after the random walk", title="random walk", refinable=True
    ),
    "pseudo": Output(
        "affinity", "masks", about="pseudo masks", title="pseudo mask", refinable=True
    ),
    "prediction": Output(
        "segmentation", "scores", about="scores per class", title="prediction", refinable=True
    ),
    "explained": Output(
        "explain", "maps", about="maps of an explaining method", title="explained", refinable=True
    ),
    "explain": Output(
        "explain",
        "explanations",
        about="the classifier on images masked by these maps",
        metric="f1_of_ar_ado",
        needs_masks=False,
    ),
    "localization": Output(
        "explain", "localization", about="these maps as boxes and points", metric="max_box_acc_v2"
    ),
    "classifier": Output(
        "classifier", "classifier", about="image-level scores", metric="f1", needs_masks=False
    ),
}

CLASSIFIER = "classifier"
# Maps of the foreground: their threshold is chosen on train, and their evaluation has a curve.
THRESHOLDED = tuple(name for name, output in OUTPUTS.items() if output.evaluation == "maps")
REFINABLE = tuple(name for name, output in OUTPUTS.items() if output.refinable)
OF_TRAIN = tuple(name for name, output in OUTPUTS.items() if output.of_train)

MASKS = "masks"  # the kind of evaluation of whatever ends as masks
_END_AS_MASKS = ("maps", "scores", MASKS)


def kind_of(file: str) -> str:
    """The kind of evaluation of a column's file, whose metrics it has.

    file: a name in OUTPUTS, perhaps with `.crf-<recipe>` after it.
    """
    evaluation = OUTPUTS[file].evaluation if file in OUTPUTS else MASKS
    return MASKS if evaluation in _END_AS_MASKS else evaluation
