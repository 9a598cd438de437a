"""What wildcards may be: names of recipes and of result files, as regular expressions."""

import re
from collections.abc import Iterable

from wsss.core import outputs
from wsss.core.outputs import OUTPUTS


def one_of(names: Iterable[str]) -> str:
    """Matches exactly these names."""
    return "|".join(re.escape(name) for name in names)


def _masks() -> str:
    files = [
        rf"{re.escape(name)}\.{'train' if output.of_train else '(train|val)'}"
        for name, output in OUTPUTS.items()
        if output.evaluation == outputs.MASKS
    ]
    return "|".join([*files, rf"({REFINABLE})\.(train|val)\.crf-{CHOICE}"])


CHOICE = "[a-z0-9+-]+"  # the name of a data set or of a recipe
SHARD = r"(\.\d+-of-\d+)?"
# Files of maps or scores, without split and suffix; without a title it is an evaluation alone.
MAPS = one_of(
    name
    for name, output in OUTPUTS.items()
    if output.evaluation in ("maps", "scores") and output.title
)
THRESHOLDED = one_of(outputs.THRESHOLDED)
REFINABLE = one_of(outputs.REFINABLE)
MASKS = _masks()  # files of masks with their split, refined ones as well
