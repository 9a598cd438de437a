"""What `all` asks for, and what tables and galleries read: functions over the configuration."""

import copy
import json

import pytest

from wsss.core.errors import UserError
from wsss.workflow import gallery_inputs, table_inputs, targets
from wsss.workflow.experiment_outputs import (
    eval_path,
    has_curve,
    has_masks,
    is_direct,
    is_evaluated,
    is_made,
    made_eval_path,
    owner,
    runs,
)
from wsss.workflow.loading import parse

from .conftest import TINY

FOLDER = {"kind": "folder", "root": "photos", "classes": ["nut", "bolt"]}
ROOT = "results/toy/seed0"


def study(**changes):
    """The tests' tiny study with some of its sections replaced."""
    return parse(copy.deepcopy(TINY) | changes)


@pytest.fixture(scope="module")
def config():
    return study()


@pytest.fixture(scope="module")
def unjudged():
    """The same experiments on photos without masks."""
    without = {k: v for k, v in TINY["experiments"].items() if k != "supervised"}
    table = {"experiments": ["full"], "columns": ["classifier", "cam", "walk"]}
    dataset = {"toy": FOLDER | {"labels": "labels.csv"}}
    return study(dataset=dataset, experiments=without, tables={"stages": table})


def test_runs_are_experiments_times_seeds():
    config = study(seeds=[0, 3])
    found = [(name, seed) for name, _, seed in runs(config)]
    assert found == [(name, seed) for name in sorted(TINY["experiments"]) for seed in (0, 3)]


@pytest.mark.parametrize(
    ("experiment", "file", "made"),
    [
        ("full", "walk", True),
        ("full", "labels", True),
        ("short", "walk", False),
        ("short", "labels", False),
        ("short", "pseudo", True),
        ("salient", "saliency", True),
        ("salient", "c2am.masks", True),
    ],
)
def test_a_recipe_decides_which_files_are_made(config, experiment, file, made):
    chosen = config.experiments[experiment]
    assert is_made(config, chosen, file) is made
    assert is_direct(config, chosen) is (experiment == "short")


def test_without_a_network_saliency_ends_with_c2am():
    saliency = copy.deepcopy(TINY["saliency"])
    saliency["c2am-h"]["network"] = None
    config = study(saliency=saliency)
    chosen = config.experiments["salient"]
    assert not is_made(config, chosen, "saliency") and is_made(config, chosen, "c2am")


def test_c2am_of_a_pupil_lies_with_its_teacher():
    saliency = copy.deepcopy(TINY["saliency"])
    saliency["pupil"] = {"teacher": "c2am-h", "network": saliency["c2am-h"]["network"]}
    pupil = TINY["experiments"]["salient"] | {"saliency": "pupil"}
    config = study(saliency=saliency, experiments={"pupil": pupil}, tables={})
    chosen = config.experiments["pupil"]
    assert owner(config, chosen, "c2am").saliency == "c2am-h"
    assert owner(config, chosen, "saliency").saliency == "pupil"
    assert eval_path(config, chosen, 0, "c2am", "val") == (
        f"{ROOT}/one/single/c2am-h/c2am.val.eval.json"
    )


def test_a_column_has_an_evaluation_where_its_file_is_made_and_judged(config):
    full, short = config.experiments["full"], config.experiments["short"]
    assert (
        eval_path(config, full, 0, "walk", "val") == f"{ROOT}/one/single/none/rw/walk.val.eval.json"
    )
    assert eval_path(config, short, 0, "walk", "val") is None
    assert eval_path(config, full, 0, "labels", "val") is None  # made of train only
    assert eval_path(config, full, 0, "cam.crf-labels", "val") == (
        f"{ROOT}/one/single/cam.val.crf-labels.eval.json"
    )


def test_without_masks_only_labels_and_the_classifier_judge(unjudged):
    full = unjudged.experiments["full"]
    assert has_masks(unjudged, full, "classifier", "val")
    assert not has_masks(unjudged, full, "cam", "val")
    assert eval_path(unjudged, full, 0, "cam", "val") is None
    assert made_eval_path(unjudged, full, 0, "cam", "val") == f"{ROOT}/one/single/cam.val.eval.json"
    last = f"{ROOT}/one/single/none/rw/deeplab/prediction.val.h5"
    assert last in list(targets.last_outputs(unjudged))
    asked = targets.all_evaluations(unjudged)
    assert not [path for path in asked if path.endswith("cam.val.eval.json")]
    assert f"{ROOT}/one/model.val.eval.json" in asked
    (row,) = table_inputs.table_rows(unjudged, "stages")
    assert list(row["cells"]) == ["classifier"] and row["unjudged"] == ["cam", "walk"]


def test_a_threshold_chosen_on_train_needs_the_masks_of_train():
    toy = FOLDER | {"labels": "labels.csv", "masks": "masks"}
    full = {"full": TINY["experiments"]["full"]}
    for listed, judged in ((None, False), ("masked.txt", True)):
        config = study(
            dataset={"toy": toy | {"train_masks_list": listed}}, experiments=full, tables={}
        )
        chosen = config.experiments["full"]
        assert has_masks(config, chosen, "pseudo", "val")  # its threshold is fixed
        assert has_masks(config, chosen, "cam", "val") is judged
        assert has_masks(config, chosen, "cam.crf-labels", "val") is judged
        assert has_masks(config, chosen, "prediction.crf-scores", "val")


def test_soft_saliency_as_a_background_leaves_no_curve(config):
    soft = study(evaluation={"saliency_background": "soft"})
    assert has_curve(config, "cam+saliency") and not has_curve(soft, "cam+saliency")
    assert has_curve(soft, "cam") and not has_curve(soft, "pseudo")


def test_explanations_are_scored_by_masks_where_a_table_shows_it(config):
    short = config.experiments["short"]
    assert is_evaluated(config, short, "explained") and is_evaluated(config, short, "cam")
    assert not is_evaluated(study(tables={}), short, "explained")


def test_all_asks_for_each_file_once_or_in_order(config):
    evaluations = targets.evaluations(config, ["cam", "walk", "cam"], ["val"])
    assert evaluations == sorted(set(evaluations)) and len(evaluations) == 4
    assert targets.all_tables(config)[:3] == [
        f"results/tables/stages.{kind}" for kind in ("csv", "md", "tex")
    ]
    galleries = targets.all_galleries(config)
    assert f"results/galleries/full.seed0.{config.galleries.split}.png" in galleries
    curves = targets.all_curves(config)
    assert f"{ROOT}/one/history.png" in curves
    assert "results/tables/stages.curves.png" in curves
    assert f"{ROOT}/one/explain/class-weights.png" in curves


def test_shards_are_parts_of_the_last_files():
    config = study(shards=3, tables={})
    parts = [path for path in targets.last_outputs(config) if "/rw/deeplab/" in path]
    assert [path.rpartition("/")[2] for path in parts] == [
        f"prediction.val.{i}-of-3.h5" for i in (1, 2, 3)
    ]


def test_a_table_of_seconds_reads_benchmarks_of_the_jobs_that_run():
    table = {"kind": "seconds", "experiments": ["full", "short", "other"]}
    table["columns"] = ["data", "classifier", "cam", "cam.crf-labels", "affinity"]
    config = study(tables={"seconds": table})
    full, short, other = table_inputs.table_rows(config, "seconds")
    (trained,) = other["cells"]["classifier"]
    assert trained == [
        f"{ROOT}/{name}/log/model.benchmark.tsv" for name in ("two", "one")
    ]  # with the ordinary classifier that it needs
    (walked,), (direct,) = full["cells"]["affinity"], short["cells"]["affinity"]
    assert f"{ROOT}/one/single/none/rw/log/walk.val.benchmark.tsv" in walked
    assert direct == [
        f"{ROOT}/one/single/none/direct/log/pseudo.{split}.benchmark.tsv"
        for split in ("train", "val")
    ]
    assert full["cells"]["cam.crf-labels"] == [
        [f"{ROOT}/one/single/log/cam.val.crf-labels.benchmark.tsv"]
    ]
    assert table_inputs.table_files(config, "seconds").count(trained[1]) == 1


def test_a_gallery_shows_each_stage_and_hints_on_train(config):
    salient = config.experiments["salient"]
    titles = [c["title"] for c in gallery_inputs.gallery_columns(config, salient, 0, "train")]
    assert titles[:2] == ["CAM", "hints"] and "C²AM-H" in titles and "affinity labels" in titles
    shown = [c["title"] for c in gallery_inputs.gallery_columns(config, salient, 0, "val")]
    assert "hints" not in shown and "affinity labels" not in shown


def test_a_comparison_needs_two_explanations_of_one_data_set(config):
    assert not gallery_inputs.has_comparison(config, "stages")
    pair = {
        "short": TINY["experiments"]["short"],
        "again": TINY["experiments"]["short"] | {"classifier": "two"},
    }
    table = {"experiments": ["short", "again"], "columns": ["explained"]}
    compared = study(experiments=pair, tables={"pair": table})
    assert gallery_inputs.has_comparison(compared, "pair")
    wildcards = {"table": "pair", "seed": "0", "split": "val"}
    spec = json.loads(gallery_inputs.gallery_spec(compared, wildcards))
    assert [column["title"] for column in spec["columns"]] == ["short", "again"]
    files = gallery_inputs.gallery_files(compared, wildcards)
    assert files[:2] == ["results/toy/data/val.h5", "results/toy/data/val.masks.h5"]
    assert f"{ROOT}/two/explain/masked/explained.val.h5" in files


def test_an_unknown_name_is_one_line_with_the_near_one(config):
    with pytest.raises(UserError, match=r"tables has no 'stage' \(did you mean 'stages'\?\)"):
        table_inputs.table_spec(config, "stage")
    wildcards = {"table": "taught", "seed": "0", "split": "val"}
    with pytest.raises(UserError, match=r"tables\.taught: no row has explanations"):
        gallery_inputs.gallery_files(config, wildcards)


def test_curves_are_those_of_the_maps_that_a_table_shows(config):
    (full, short, salient, *_) = table_inputs.curve_rows(config, "stages")
    seed = "results/toy/seed0/one"
    assert full == {
        "name": "full",
        "files": {
            "cam": [f"{seed}/single/cam.val.eval.json"],
            "walk": [f"{seed}/single/none/rw/walk.val.eval.json"],
        },
    }
    assert set(short["files"]) == {"cam", "explained"}
    assert set(salient["files"]) == {"cam", "c2am", "saliency", "cam+saliency", "walk"}
    files = table_inputs.curve_files(config, "stages")
    assert f"{seed}/single/cam.val.eval.json" in files and len(set(files)) < len(files)
    spec = json.loads(table_inputs.curves_spec(config, "stages"))
    assert spec["rows"][0] == full and spec["recipe"]["experiments"][0] == "full"


def test_a_table_without_maps_or_of_seconds_has_no_curves():
    tables = {
        "masks": {"experiments": ["full"], "columns": ["pseudo"]},
        "seconds": {"kind": "seconds", "experiments": ["full"], "columns": ["cam"]},
        "maps": {"experiments": ["full"], "columns": ["cam"]},
    }
    config = study(tables=tables)
    assert [table_inputs.has_curves(config, name) for name in tables] == [False, False, True]
