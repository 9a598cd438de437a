"""What tables and galleries of train show of the saliency stage and of affinity labels."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wsss.core.files.store import MaskReader
from wsss.report.drawing import GAP, MARGIN, TILE

pytestmark = pytest.mark.xdist_group("workflow")

SALIENT = "results/toy/seed0/one/single/c2am-h"


def test_the_masks_that_teach_the_saliency_network_have_a_column(finished):
    masks = MaskReader(finished.folder / SALIENT / "c2am.masks.train.h5")
    truth = MaskReader(finished.folder / "results/toy/data/train.masks.h5")
    predicted = np.concatenate([masks[i].ravel() for i in truth.ids])
    wanted = np.concatenate([truth[i].ravel() for i in truth.ids])
    counted = wanted != 255
    found, there = predicted[counted] == 1, wanted[counted] > 0
    foreground = (found & there).sum() / (found | there).sum()
    background = (~found & ~there).sum() / (~found | ~there).sum()

    table = pd.read_csv(finished.folder / "results/tables/taught.csv")
    shown = table.set_index(["experiment", "column", "metric"])["mean"]
    assert shown["salient", "c2am.masks", "miou"] == pytest.approx((foreground + background) / 2)
    recall = ((found & there).sum() / there.sum() + (~found & ~there).sum() / (~there).sum()) / 2
    assert shown["salient", "c2am.masks", "recall"] == pytest.approx(recall)
    assert np.isnan(shown["full", "c2am.masks", "miou"])  # it has no saliency
    evaluation = json.loads((finished.folder / SALIENT / "c2am.masks.train.eval.json").read_text())
    assert evaluation["classes"] == ["background", "salient"]
    assert evaluation["threshold"]["value"] == 0.5 and evaluation["crf"]["steps"] == 1
    notes = (finished.folder / "results/tables/taught.md").read_text()
    assert "c2am.masks: salient or not, with every class as one." in notes


def test_masks_that_teach_nothing_are_not_made_for_a_table(finished):
    data = json.loads(json.dumps(finished.data))
    data["saliency"]["c2am-h"]["network"] = None
    finished.write(data)
    dry = finished.plan("--dry-run", "--printshellcmds", "results/tables/taught.md")
    finished.write(finished.data)
    assert dry.returncode == 0, dry.stderr
    command = next(line for line in dry.stdout.splitlines() if "taught.csv" in line)
    words = shlex.split(command)
    spec = json.loads(words[words.index("%s") + 1])
    cells = {row["name"]: sorted(row["cells"]) for row in spec["rows"]}
    assert cells["salient"] == ["labels", "labels:labelled"]


@pytest.mark.parametrize(
    ("split", "titles"),
    [
        (
            "train",
            ["CAM", "hints", "C²AM-H", "saliency", "affinity labels", "random walk", "pseudo mask"],
        ),
        ("val", ["CAM", "C²AM-H", "saliency", "random walk", "pseudo mask"]),
    ],
)
def test_a_gallery_of_train_shows_hints_and_affinity_labels(finished, split, titles):
    picture = f"results/galleries/salient.seed0.{split}.png"
    finished.write(finished.data | {"galleries": {"images": 2, "split": split}})
    done = finished.run("--cores", "1", "--force", "--printshellcmds", picture)
    finished.write(finished.data)
    assert done.returncode == 0, done.stderr
    printed = (done.stdout + done.stderr).splitlines()
    words = shlex.split(next(line for line in printed if f"--out {picture}" in line))
    spec = json.loads(words[words.index("%s") + 1])
    assert [column["title"] for column in spec["columns"]] == titles
    files = {column["title"]: column["file"] for column in spec["columns"]}
    if split == "train":
        assert files["hints"] == files["CAM"]
        assert files["affinity labels"] == [f"{SALIENT}/rw/labels.train.h5"]
    with Image.open(finished.folder / picture) as image:
        columns = 2 + len(titles)  # the image and its ground truth
        assert image.width == 2 * MARGIN + columns * TILE + (columns - 1) * GAP
        assert image.height > 2 * TILE
        tiles = np.array(image)[MARGIN + 46 : MARGIN + 46 + TILE]  # below titles and caption
        for i in range(columns):
            left = MARGIN + i * (TILE + GAP)
            assert tiles[:, left : left + TILE].std() > 5, i


def test_a_table_whose_specification_no_command_can_hold(finished):
    names = [f"experiment-{i}-with-a-long-name" for i in range(250)]
    data = json.loads(json.dumps(finished.data))
    columns = data["tables"]["stages"]["columns"]
    data["experiments"] |= dict.fromkeys(names, data["experiments"]["full"])
    data["tables"] = {"wide": {"experiments": names, "columns": columns}}
    finished.write(data)
    done = finished.run("--cores", "1", "--printshellcmds", "results/tables/wide.md")
    finished.write(finished.data)
    assert done.returncode == 0, done.stderr
    assert "bz2:" in done.stdout + done.stderr
    wide = pd.read_csv(finished.folder / "results/tables/wide.csv")
    one = pd.read_csv(finished.folder / "results/tables/stages.csv").query("experiment == 'full'")
    assert len(wide) == 250 * len(one) and len(one) > 4
    np.testing.assert_array_equal(wide["mean"].head(len(one)), one["mean"])
