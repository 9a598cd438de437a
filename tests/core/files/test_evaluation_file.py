import json
from pathlib import Path

import numpy as np
import pytest

from wsss.core.errors import UserError
from wsss.core.files.evaluation_document import Threshold
from wsss.core.files.evaluation_file import read_evaluation, to_text
from wsss.core.files.store import Header
from wsss.crf.recipe import CrfRecipe
from wsss.evaluation.recipe import EvaluationRecipe
from wsss.evaluation.record import document


def evaluation(header: Header | None = None) -> dict:
    return document(
        kind="masks",
        files=[Path("a.h5")],
        ground_truth=Path("val.masks.h5"),
        header=header,
        split="val",
        classes=("background", "cat"),
        images=1,
        images_in_file=1,
        threshold=Threshold(value=None, how="none: masks"),
        confusion=np.array([[3, 1], [0, 4]]),
        recipe=EvaluationRecipe(),
        seed=0,
    )


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.eval.json"
    path.write_text(to_text(evaluation()), encoding="utf-8")
    assert read_evaluation(path, "val") == evaluation()
    with pytest.raises(UserError, match="is of split val, but train is needed"):
        read_evaluation(path, "train")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda read: read.pop("threshold"), "incomplete, without threshold.value, threshold.how"),
        (lambda read: read["metrics"].pop("miou"), "incomplete, without metrics.miou;"),
        (lambda read: read.update(metrics=3), "incomplete, without metrics.miou, "),
        (lambda read: read.update(fixed={}), "incomplete, without fixed.threshold, "),
        (lambda read: read.update(version=2), "no evaluation of this version"),
        (lambda read: read.pop("format"), "no evaluation of this version"),
    ],
)
def test_what_lacks_a_key_is_refused(tmp_path, change, says):
    path, read = tmp_path / "a.eval.json", evaluation()
    change(read)
    path.write_text(json.dumps(read))
    with pytest.raises(UserError, match=says) as caught:
        read_evaluation(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(UserError, match="no such file; run the evaluation"):
        read_evaluation(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_evaluation(tmp_path)
    (tmp_path / "a.json").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not JSON"):
        read_evaluation(tmp_path / "a.json")


def test_the_crf_is_told_whole():
    own = {
        "gaussian": {"sxy": 1.0, "compat": 2.0},
        "bilateral": {"sxy": 50.0, "srgb": 5.0, "compat": 4.0},
    }
    for recipe, expected in [
        ("{}", {"preset": "labels", "steps": 10, "confidence": 0.7}),
        (json.dumps({"pairwise": own, "steps": 3}), {"preset": None, "steps": 3}),
    ]:
        made = CrfRecipe.from_json(recipe)
        crf = evaluation(Header("masks", "val", ("cat",), made.to_json()))["crf"]
        assert crf.items() >= expected.items()
        pairwise = None if made.pairwise is None else made.pairwise.model_dump(mode="json")
        assert crf.get("pairwise") == pairwise
    assert evaluation(Header("masks", "val", ("cat",)))["crf"] is None
