"""What a job reads, by its wildcards and its recipe."""

import copy
import re

import pytest

from wsss.core.errors import UserError
from wsss.workflow import inputs, patterns
from wsss.workflow.loading import parse

from .conftest import TINY

WILDCARDS = {
    **{"dataset": "toy", "seed": "3", "classifier": "one", "cam": "single"},
    **{"saliency": "none", "affinity": "rw", "segmentation": "deeplab", "explain": "masked"},
    **{"split": "val", "shard": "", "preset": "labels", "above": "one/single"},
    **{"maps": "cam", "file": "cam"},
}
SEED = "results/toy/seed3"


def study(**changes):
    return parse(copy.deepcopy(TINY) | changes)


def job(**wildcards):
    return WILDCARDS | wildcards


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, []),
        ("classifier", f"{SEED}/one/model.safetensors"),
        ("timm:resnet18.a1_in1k", "results/weights/resnet18.a1_in1k.safetensors"),
        ("${FOLDER}/w.pth", "/data/w.pth"),
    ],
)
def test_weights_are_a_file_of_the_tree_the_hub_or_the_user(monkeypatch, weights, expected):
    monkeypatch.setenv("FOLDER", "/data")
    segmentation = copy.deepcopy(TINY["segmentation"])
    segmentation["deeplab"]["train"]["backbone"]["weights"] = weights
    config = study(segmentation=segmentation)
    assert inputs.pretrained_weights(config, job(), "segmentation", "train") == expected


def test_the_ordinary_classifier_is_an_input_of_those_that_name_one():
    config = study()
    assert inputs.ordinary_classifier(config, job()) == []
    assert inputs.ordinary_classifier(config, job(classifier="two")) == (
        f"{SEED}/one/model.safetensors"
    )


@pytest.mark.parametrize(("keep", "chooses"), [("last", False), ("best-val-map", True)])
def test_validation_images_decide_weights_only_where_they_choose_the_epoch(keep, chooses):
    classifier = copy.deepcopy(TINY["classifier"])
    classifier["one"]["keep"] = keep
    assert inputs.validation_chooses(study(classifier=classifier), job()) is chooses


def test_masks_choose_images_only_where_the_recipe_says_so():
    assert inputs.cam_masks(study(), job()) == inputs.explain_masks(study(), job()) == []
    cam = {"single": TINY["cam"]["single"] | {"images": "with-masks"}}
    only = {"other": TINY["experiments"]["other"]}
    config = study(cam=cam, experiments=only, tables={})
    assert inputs.cam_masks(config, job()) == "results/toy/data/val.masks.h5"


def test_hints_and_masks_of_saliency():
    config = study(shards=2)
    salient = job(saliency="c2am-h")
    assert inputs.hints(config, salient) == [
        f"{SEED}/one/single/cam.train.{i}-of-2.h5" for i in (1, 2)
    ]
    assert inputs.saliency_masks(config, salient) == [
        f"{SEED}/one/single/c2am-h/c2am.masks.train.{i}-of-2.h5" for i in (1, 2)
    ]
    assert inputs.saliency_maps(config, salient) == [
        f"{SEED}/one/single/c2am-h/saliency.val.{i}-of-2.h5" for i in (1, 2)
    ]
    assert inputs.saliency_part(config, salient | {"shard": ".2-of-2"}) == (
        f"{SEED}/one/single/c2am-h/saliency.train.2-of-2.h5"
    )
    assert inputs.saliency_part(config, job()) == []
    with pytest.raises(UserError, match="name a saliency recipe"):
        inputs.saliency_maps(config, job())


def test_pseudo_masks_come_from_the_walk_or_from_the_cams():
    walked = inputs.maps_for_pseudo_masks(study(), job())
    assert walked == f"{SEED}/one/single/none/rw/walk.val.h5"
    direct = inputs.maps_for_pseudo_masks(study(), job(affinity="direct"))
    assert direct == f"{SEED}/one/single/cam.val.h5"


def test_thresholds_are_chosen_on_train():
    config = study()
    chosen = f"{SEED}/one/single/cam.train.eval.json"
    assert inputs.threshold_source(config, job()) == chosen
    assert inputs.crf_threshold_source(config, job()) == chosen
    assert inputs.crf_threshold_source(config, job(preset="scores")) == []
    assert inputs.threshold_source(config, job(split="train")) == []
    assert inputs.threshold_source(config, job(maps="prediction")) == []
    salient = job(saliency="c2am-h")
    assert inputs.priors_threshold_source(config, salient) == (
        f"{SEED}/one/single/c2am-h/cam+saliency.train.eval.json"
    )
    soft = study(evaluation={"saliency_background": "soft"})
    assert inputs.priors_threshold_source(soft, salient) == []


def test_percentiles_are_chosen_on_train():
    chosen = f"{SEED}/one/explain/masked/localization.train.eval.json"
    assert inputs.percentile_source(study(), job()) == chosen
    assert inputs.percentile_source(study(), job(split="train")) == []


def test_how_saliency_becomes_a_background_is_no_part_of_other_evaluations():
    soft, hard = study(evaluation={"saliency_background": "soft"}), study()
    assert inputs.map_evaluation_recipe(soft, job()) == inputs.map_evaluation_recipe(hard, job())
    skipped = inputs.mask_evaluation_recipe(hard, job(file="labels.train"))
    assert '"predicted_ignore":"skip"' in skipped
    assert '"predicted_ignore":"error"' in inputs.mask_evaluation_recipe(hard, job())


def test_ground_truth_is_of_the_split_that_the_file_names():
    config = study()
    for file, split in (("pseudo.val", "val"), ("cam.train.crf-labels", "train")):
        found = inputs.ground_truth(config, job(file=file))
        assert found == f"results/toy/data/{split}.masks.h5"


def test_a_part_that_a_recipe_does_not_have_is_one_line():
    saliency = copy.deepcopy(TINY["saliency"])
    saliency["pupil"] = {"teacher": "c2am-h", "network": saliency["c2am-h"]["network"]}
    config = study(saliency=saliency)
    with pytest.raises(UserError, match="'pupil' has no part 'c2am'; it does not make this file"):
        inputs.recipe_json(config, job(saliency="pupil"), "saliency", "c2am")
    with pytest.raises(UserError, match=r"cam has no 'singel' \(did you mean 'single'\?\)"):
        inputs.recipe_json(config, job(cam="singel"), "cam")


@pytest.mark.parametrize(
    ("shard", "option"),
    [("", []), (".1-of-4", ["--shard", "1/4"]), (".12-of-12", ["--shard", "12/12"])],
)
def test_a_part_of_the_images_is_an_option_of_the_command(shard, option):
    assert inputs.shard_option(study(), job(shard=shard)) == option


@pytest.mark.parametrize(
    ("file", "purpose"), [("masks", "evaluation"), ("supervision", "supervision")]
)
def test_a_file_of_ground_truth_says_who_reads_it(file, purpose):
    assert inputs.purpose(study(), job(purpose=file)) == purpose


FILES = {
    patterns.MAPS: "cam c2am saliency walk prediction explained",
    patterns.THRESHOLDED: "cam c2am saliency cam+saliency walk explained",
    patterns.MASKS: "labels.train c2am.masks.train pseudo.train pseudo.val cam.val.crf-labels",
}
NO_FILES = {
    patterns.MAPS: "camx cam+saliency labels pseudo localization c2am.masks",
    patterns.THRESHOLDED: "prediction pseudo camXsaliency",
    patterns.MASKS: "labels.val cam.val prediction.val c2amXmasks.train labels.train.crf-labels",
}


def test_wildcards_match_the_files_of_their_kind_and_no_others():
    for pattern, names in FILES.items():
        assert all(re.fullmatch(pattern, name) for name in names.split())
    for pattern, names in NO_FILES.items():
        assert not any(re.fullmatch(pattern, name) for name in names.split())


def test_small_files_of_a_data_set_are_watched(tmp_path):
    folder = {"kind": "folder", "root": str(tmp_path), "classes": ["nut"], "masks": "masks"}
    for name in ("labels.csv", "train.txt", "val.txt"):
        (tmp_path / name).touch()
    config = study(dataset={"toy": folder}, experiments={}, tables={})
    assert sorted(inputs.data_sources(config, job())) == [
        str(tmp_path / name) for name in ("labels.csv", "val.txt")
    ]
    assert inputs.data_sources(config, job(purpose="masks")) == [str(tmp_path / "val.txt")]


def test_a_data_set_that_is_not_there_is_reported_by_its_job(tmp_path):
    folder = {"kind": "folder", "root": str(tmp_path / "gone"), "classes": ["nut"]}
    config = study(dataset={"toy": folder}, experiments={}, tables={})
    assert inputs.data_sources(config, job()) == []
