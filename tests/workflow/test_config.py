"""Every mistake in a configuration is one clear line with its place, before the DAG."""

import copy
import datetime
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from wsss.core.configfile import merge_used, read_yaml
from wsss.core.errors import UserError
from wsss.workflow.loading import parse
from wsss.workflow.schema import schema_text
from wsss.workflow.tree import evaluation_file

ROOT = Path(__file__).parents[2]
DEMO = merge_used(read_yaml(ROOT / "config.yaml"), "config.yaml")
DEMO |= {"explain": {"cam": {"maps": {"method": "cam"}}}}
DEMO["experiments"] |= {
    "explained": {"dataset": "toy", "classifier": "vanilla", "explain": "cam"},
}


def changed(path: str, value):
    """The demo's configuration with one key set ("a.b.c"), or deleted for None."""
    data = copy.deepcopy(DEMO)
    *above, last = path.split(".")
    node = data
    for key in above:
        node = node.setdefault(key, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return data


def test_the_demo_and_every_study_are_valid():
    parse(DEMO)
    for study in sorted((ROOT / "experiments").glob("*.yaml")):
        parse(yaml.safe_load(study.read_text()), [study])


MISTAKES = {
    "unknown ordinary classifier": (
        "classifier.vanilla",
        {"objective": "oc-cse", "ordinary": "vanila"},
        "classifier.vanilla.ordinary: no classifier recipe 'vanila' (did you mean 'vanilla'?)",
    ),
    "circle of ordinary classifiers": (
        "classifier.vanilla",
        {"objective": "oc-cse", "ordinary": "vanilla"},
        "classifier.vanilla.ordinary: vanilla → vanilla is a circle; name a classifier that needs "
        "no other",
    ),
    "objective without a kind": (
        "classifier.vanilla.objective",
        "p-nok",
        "classifier.vanilla.objective: 'p-nok' is none of vanilla, oc-cse, puzzle, p-oc, p-noc "
        "(did you mean 'p-noc'?)",
    ),
    "unknown section": ("clasifier", {}, "clasifier: unknown section (did you mean 'classifier'?)"),
    "unknown key": (
        "classifier.vanilla.epoch",
        3,
        "classifier.vanilla.epoch: unknown key",
    ),
    "misspelt nested key": (
        "classifier.vanilla.training.epoch",
        3,
        "classifier.vanilla.training.epoch: unknown key (did you mean 'epochs'?)",
    ),
    "wrong type": (
        "classifier.vanilla.training.epochs",
        "three",
        "classifier.vanilla.training.epochs: input should be a valid integer, got 'three'",
    ),
    "no number from a string": (
        "classifier.vanilla.training.epochs",
        "3",
        "classifier.vanilla.training.epochs: input should be a valid integer, got '3'",
    ),
    "out of range": (
        "classifier.vanilla.training.epochs",
        0,
        "classifier.vanilla.training.epochs: input should be greater than or equal to 1, got 0",
    ),
    "unknown choice": (
        "classifier.vanilla.backbone.output_stride",
        12,
        "classifier.vanilla.backbone.output_stride: input should be 8, 16 or 32, got 12",
    ),
    "unknown recipe": (
        "experiments.vanilla.classifier",
        "vanila",
        "experiments.vanilla.classifier: no classifier recipe 'vanila' (did you mean 'vanilla'?)",
    ),
    "unknown base": (
        "cam.other",
        {"extends": "tt"},
        "cam.other: extends: no recipe 'tt' in section cam (did you mean 'tta'?)",
    ),
    "circle": ("cam.tta.extends", "tta", "cam.tta: extends runs in a circle: tta -> tta"),
    "base of no name": (
        "cam.other",
        {"extends": 3},
        "cam.other: extends: give the name of one recipe, got 3",
    ),
    "base null": (
        "cam.other",
        {"extends": None},
        "cam.other: extends: give the name of one recipe, got None",
    ),
    "several bases": (
        "cam.other",
        {"extends": ["tta"]},
        "cam.other: extends: give the name of one recipe, got ['tta']",
    ),
    "date": (
        "tables.stages.title",
        datetime.date(2026, 11, 20),
        "tables.stages.title: a date is neither text nor number; quote it: '2026-11-20'",
    ),
    "date in a list": (
        "tables.stages.columns",
        ["cam", datetime.date(2026, 11, 20)],
        "tables.stages.columns.1: a date is neither text nor number; quote it: '2026-11-20'",
    ),
    "section of no name": ("cam", {3: {}}, "cam: key 3 is not text; quote it: '3'"),
    "infinite": (
        "classifier.vanilla.training.optimizer",
        {"lr": float("inf")},
        "classifier.vanilla.training.optimizer.lr: input should be a finite number, got inf",
    ),
    "too large to be finite": (
        "cam.tta.scales",
        [1.0, "1e999"],
        "cam.tta.scales.1: input should be a finite number, got inf",
    ),
    "no number at all": (
        "crf.labels.confidence",
        float("nan"),
        "crf.labels.confidence: input should be a finite number, got nan",
    ),
    "bad name": ("cam", {"My CAM": {}}, "cam.My CAM: not a name"),
    "reserved name": ("cam", {"none": {}}, "cam.none: the name is reserved"),
    "gap in the chain": (
        "experiments.gap",
        {"dataset": "toy", "classifier": "vanilla", "affinity": "rw"},
        "experiments.gap: affinity needs a cam recipe",
    ),
    "affinity on the CAMs of some images": (
        "cam.tta.images",
        "with-masks",
        "experiments.vanilla: cam 'tta' has maps of images with masks only; set images: all in it",
    ),
    "weights of a classifier that is not there": (
        "experiments.supervised.classifier",
        None,
        "experiments.supervised: segmentation takes the classifier's weights",
    ),
    "pseudo masks beside ground truth": (
        "experiments.supervised.cam",
        "tta",
        "experiments.supervised: a ground-truth experiment takes a segmentation recipe, no cam",
    ),
    "table of an unknown experiment": (
        "tables.stages.experiments",
        ["vanila"],
        "tables.stages.experiments: no experiment 'vanila' (did you mean 'vanilla'?)",
    ),
    "unknown column": (
        "tables.stages.columns",
        ["came"],
        "tables.stages.columns: 'came': nothing makes it (did you mean 'cam'?)",
    ),
    "column of an unknown crf": (
        "tables.stages.columns",
        ["cam.crf-label"],
        "tables.stages.columns: 'cam.crf-label': no crf recipe 'label' (did you mean 'labels'?)",
    ),
    "crf that does not fit": (
        "tables.stages.columns",
        ["prediction.crf-labels"],
        "tables.stages.columns: 'prediction.crf-labels': crf recipe 'labels' has unary labels",
    ),
    "column with an unknown metric": (
        "tables.stages.columns",
        ["cam:mio"],
        "tables.stages.columns: 'cam:mio': no metric 'mio' (did you mean 'miou'?)",
    ),
    "column without the metric it names": (
        "tables.stages.columns",
        ["cam:"],
        "tables.stages.columns: 'cam:': no metric '' (known: f1, fixed_miou, fn, fp, ",
    ),
    "metric of masks for a classifier": (
        "tables.stages.columns",
        ["classifier:miou"],
        "tables.stages.columns: 'classifier:miou': no 'miou' is measured of this file (known: f1, ",
    ),
    "metric of a classifier for masks": (
        "tables.stages.columns",
        ["cam.crf-labels:map"],
        "tables.stages.columns: 'cam.crf-labels:map': no 'map' is measured of this file",
    ),
    "fixed threshold of masks": (
        "tables.stages.columns",
        ["pseudo:fixed_miou"],
        "tables.stages.columns: 'pseudo:fixed_miou': no 'fixed_miou' is measured of this file",
    ),
    "unknown column with a metric": (
        "tables.stages.columns",
        ["clasifier:f1"],
        "tables.stages.columns: 'clasifier:f1': nothing makes it (did you mean 'classifier'?)",
    ),
    "classifier behind a crf": (
        "tables.stages.columns",
        ["classifier.crf-labels"],
        "tables.stages.columns: 'classifier.crf-labels': a crf refines cam, c2am, saliency, walk",
    ),
    "affinity labels of val": (
        "tables.stages.columns",
        ["labels"],
        "tables.stages.columns: 'labels': these masks are made of train only; set split: train, or "
        "leave the column out",
    ),
    "masks of C²AM of val": (
        "tables.stages.columns",
        ["c2am.masks"],
        "tables.stages.columns: 'c2am.masks': these masks are made of train only; set split: train",
    ),
    "masks of C²AM have no gaps": (
        "tables.stages",
        {"experiments": ["vanilla"], "columns": ["c2am.masks:labelled"], "split": "train"},
        "tables.stages.columns: 'c2am.masks:labelled': no 'labelled' is measured of this file",
    ),
    "masks of C²AM behind a crf": (
        "tables.stages.columns",
        ["c2am.masks.crf-labels"],
        "tables.stages.columns: 'c2am.masks.crf-labels': a crf refines cam, c2am, saliency, walk",
    ),
    "measure of saliency for classes": (
        "tables.stages.columns",
        ["cam:mae"],
        "tables.stages.columns: 'cam:mae': no 'mae' is measured of this file",
    ),
    "column twice by its metric": (
        "tables.stages.columns",
        ["cam", "cam:miou"],
        "tables.stages: columns: one is named twice; name each once",
    ),
    "metric of seconds": (
        "tables.seconds.columns",
        ["cam:miou"],
        "tables.seconds.columns: 'cam:miou': a table of seconds shows no metric; leave it out",
    ),
    "seconds of an unknown crf": (
        "tables.seconds.columns",
        ["cam.crf-label"],
        "tables.seconds.columns: 'cam.crf-label': no crf recipe 'label' (did you mean 'labels'?)",
    ),
    "curves that nothing measures": (
        "tables.stages",
        {"experiments": ["explained"], "columns": ["explain:deletion"]},
        "tables.stages.columns: 'explain:deletion': explain recipe 'cam' measures no curves; add "
        "`metrics: {curves: {}}`",
    ),
    "one percentile in a list": (
        "explain.cam.localization",
        {"percentiles": [90]},
        "explain.cam.localization: percentiles: give two or more, each once; for one set",
    ),
    "percentile beside percentiles": (
        "explain.cam.localization",
        {"percentiles": [90, 100], "percentile": 90},
        "explain.cam.localization: percentiles excludes percentile; leave one of them out",
    ),
    "percentile out of range": (
        "explain.cam.localization",
        {"percentiles": [90, 101]},
        "cam.localization.percentiles.1: input should be less than or equal to 100, got 101",
    ),
    "teacher that is none": (
        "saliency.pupil",
        {"teacher": "c2am"},
        "saliency.pupil.teacher: no saliency recipe 'c2am'",
    ),
    "teacher with a teacher": (
        "saliency.pupil",
        {"teacher": "pupil"},
        "saliency.pupil.teacher: 'pupil' has a teacher itself; name a recipe with c2am",
    ),
    "masks beside a teacher": (
        "saliency.pupil",
        {"teacher": "pupil", "masks": {}},
        "saliency.pupil: masks come from teacher 'pupil'; leave masks out",
    ),
    "teacher of nothing": (
        "saliency.pupil",
        {"teacher": "pupil", "network": None},
        "saliency.pupil: teacher 'pupil' teaches nothing; give a network, or leave teacher out",
    ),
    "no masks": (
        "saliency.alone",
        {"masks": None},
        "saliency.alone: c2am, maps and masks are null only with a teacher; leave them out",
    ),
    "seed twice": ("seeds", [0, 0], "seeds: [0, 0]: give each seed once"),
    "seed negative": ("seeds", [-1], "seeds: [-1]: give each seed once, none negative"),
    "seed no number": ("seeds", ["a"], "seeds.0: input should be a valid integer, got 'a'"),
    "not a mapping": ("cam", 3, "cam: expected named recipes"),
    "thresholds the wrong way round": (
        "affinity.rw.labels",
        {"foreground": 0.1, "background": 0.4},
        "affinity.rw.labels",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_line(name):
    path, value, line = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        parse(changed(path, value))
    message = str(caught.value)
    assert line in message
    assert len(message.splitlines()) == 1, message


def test_track_code_from_the_command_line_is_a_truth_value():
    assert parse(changed("track_code", "false")).track_code is False


def test_seeds_from_the_command_line_are_numbers():
    assert parse(changed("seeds", ["0", "2"])).seeds == [0, 2]


def test_columns_may_name_a_metric():
    columns = ["cam", "cam:fp", "cam.crf-labels:miou", "walk:fixed_miou", "classifier"]
    table = parse(changed("tables.stages.columns", [*columns, "classifier:map"])).tables["stages"]
    assert [tuple(table.column(column)) for column in table.columns] == [
        ("cam", "miou"),
        ("cam", "fp"),
        ("cam.crf-labels", "miou"),
        ("walk", "fixed_miou"),
        ("classifier", "f1"),
        ("classifier", "map"),
    ]


def test_a_column_may_show_curves_that_are_measured():
    table = {"experiments": ["explained", "vanilla"], "columns": ["explain:insertion"]}
    data = changed("tables.stages", table)
    data["explain"]["cam"]["metrics"] = {"curves": {"steps": 10}}
    assert parse(data).tables["stages"].column("explain:insertion").metric == "insertion"


def test_the_scores_of_a_classifier_lie_beside_its_model():
    experiments = parse(DEMO).experiments
    for name in ("vanilla", "supervised"):  # this one takes its weights
        path = evaluation_file(experiments[name], 3, "classifier", "val")
        assert path == "results/toy/seed3/vanilla/model.val.eval.json"
    alone = experiments["supervised"].model_copy(update={"classifier": None})
    assert evaluation_file(alone, 3, "classifier", "val") is None


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        (None, [("cam 'tta'", "train"), ("cam 'tta'", "val"), ("explain 'cam'", "val")]),
        ("masks", [("cam 'tta'", "train")]),
    ],
)
def test_images_with_masks_where_none_has(masks, expected):
    data = changed("cam.tta.images", "with-masks")
    data["explain"]["cam"]["maps"]["images"] = "with-masks"
    data["dataset"]["own"] = {"kind": "folder", "root": "own", "classes": ["a"], "masks": masks}
    names = {"dataset": "own", "classifier": "vanilla", "cam": "tta", "explain": "cam"}
    data["experiments"] = {"own": names}
    data["tables"] = {}
    with pytest.raises(UserError) as caught:
        parse(data)
    assert str(caught.value).splitlines() == [
        f"experiments.own: {recipe} is for images with masks, and {split} has none; set images: "
        "all in it"
        for recipe, split in expected
    ]


def test_all_mistakes_are_told_at_once():
    data = changed("classifier.vanilla.training.epochs", 0)
    data["cam"]["tta"]["scale"] = [1]
    data["crf"]["labels"]["steps"] = -1
    with pytest.raises(UserError) as caught:
        parse(data)
    assert len(str(caught.value).splitlines()) == 3


def test_a_line_names_file_and_line(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("dataset:\n  toy:\n    kind: toy\n    sizes: 3\n")
    with pytest.raises(UserError, match=r"study\.yaml:4: dataset\.toy\.sizes: unknown key"):
        parse(yaml.safe_load(file.read_text()), [file])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("    title: 2026-11-20", "YAML reads this as a timestamp (2026-11-20), which no recipe"),
        ("    title: !!binary aGVsbG8=", "YAML reads this as a binary (aGVsbG8=), which no recipe"),
        ("    columns: !!set {cam}", "YAML reads this as a set, which no recipe"),
        ("    no: cam", "key no is not text; quote it: 'no'"),
    ],
)
def test_what_json_lacks_is_refused_with_its_line(tmp_path, line, says):
    file = tmp_path / "study.yaml"
    file.write_text(f"tables:\n  stages:\n{line}\n")
    with pytest.raises(UserError) as caught:
        parse(yaml.safe_load(file.read_text()), [file])
    assert str(caught.value).startswith(f"{file}:3: {says}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_mistake_in_a_file_that_is_used_has_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("cam:\n  a:\n    scale: [1]\n")
    with pytest.raises(UserError, match=r"^base\.yaml:3: cam\.a\.scale: unknown key"):
        parse({"use": ["base.yaml"]})
    with pytest.raises(UserError, match=r"use: give a list of recipe files"):
        parse({"use": 3})


def test_defaults_are_part_of_a_recipe_and_order_is_not():
    config = parse(DEMO)
    reordered = {k: v for k, v in reversed(DEMO.items())}
    reordered["cam"] = {"tta": dict(reversed(DEMO["cam"]["tta"].items()))}
    again = parse(reordered)
    assert again.recipe("cam", "tta") == config.recipe("cam", "tta")
    assert '"map_stride":4' in config.recipe("cam", "tta")


def test_the_schema_file_is_in_sync():
    assert (ROOT / "config.schema.json").read_text() == schema_text(), "run: make generated"


def test_parsing_imports_neither_torch_nor_h5py():
    program = (
        "import sys, yaml, wsss.workflow.tree, wsss.core.digest;"
        "from wsss.workflow.loading import parse;"
        "parse(yaml.safe_load(open('config.yaml')), ['config.yaml']);"
        "print(sorted({'torch', 'h5py', 'lightning', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
