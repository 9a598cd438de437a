import json

import numpy as np

from wsss.core.images import palette_png
from wsss.data.recipe import parse
from wsss.data.validate import find_problems


def found(**fields) -> dict[tuple[str, str], tuple[int, tuple[str, ...]]]:
    problems = find_problems(parse(json.dumps(fields)))
    return {(p.where, p.kind): (p.count, p.examples) for p in problems}


def write_mask(folder, name: str, mask: np.ndarray) -> None:
    (folder / "masks" / f"{name}.png").write_bytes(palette_png(mask))


def test_clean_data_sets_have_no_errors(voc, folder, folder_recipe):
    assert found(**folder_recipe) == {}
    assert found(kind="toy", train=40, val=20, size=32) == {}
    problems = found(kind="voc", root=str(voc), classes=["cat", "dog", "person"])
    # One person's careful mask is void on its right half, nothing is wrong with that.
    assert set(problems) == {("val", "no image to evaluate")}
    assert problems["val", "no image to evaluate"] == (2, ("cat", "person"))


def test_everything_at_once(folder, folder_recipe, halves):
    (folder / "train.txt").write_text("p0\np1\np1\np2\np3\nq0\nghost\nnolabel\n")
    (folder / "labels.csv").write_text(
        "image,labels\np0,nut\np1,bolt\np2,nut bolt\np3,blot\nq0,nut\nq1,bolt\nghost,nut\n"
    )
    (folder / "train_masks.txt").write_text("p0\np1\np2\np3\nq0\n")
    (folder / "images" / "p0.jpg").write_bytes(b"")
    (folder / "images" / "nolabel.png").write_bytes(b"")
    (folder / "images" / "p2.png").write_bytes(b"")
    write_mask(folder, "p0", halves(1, 7))
    write_mask(folder, "p1", halves(2, 0)[:-1])
    write_mask(folder, "q0", halves(2, 0))
    write_mask(folder, "q1", halves(0, 255))
    problems = found(**folder_recipe)
    train = "train evaluation and supervision masks"
    counts = {key: count for key, (count, _) in problems.items()}
    assert counts == {
        ("train", "duplicate id"): 2,
        ("train", "missing image"): 1,
        ("train", "missing labels"): 1,
        ("train", "unknown class"): 1,
        ("train and val", "overlapping splits"): 1,
        ("train", "unreadable image"): 1,
        (train, "value outside the classes"): 1,
        (train, "size mismatch"): 1,
        (train, "missing mask"): 1,
        (train, "in the mask, not in the labels"): 1,
        (train, "in the labels, not in the mask"): 1,
        ("val evaluation masks", "in the mask, not in the labels"): 1,
        ("val evaluation masks", "in the labels, not in the mask"): 1,
        ("val evaluation masks", "mask without classes"): 1,
    }
    assert problems[train, "in the mask, not in the labels"][1] == ("q0: bolt (96 pixels)",)
    assert problems["train", "duplicate id"][1] == (
        "p1: twice in train.txt",
        "p2: p2.jpg, p2.png",
    )


def test_severity(folder, folder_recipe, halves):
    write_mask(folder, "p0", halves(2, 0))
    problems = find_problems(parse(json.dumps(folder_recipe)))
    assert {p.severity for p in problems} == {"warning"}
    (folder / "images" / "p0.jpg").unlink()
    problems = find_problems(parse(json.dumps(folder_recipe)))
    assert [p.severity for p in problems] == sorted(p.severity for p in problems)
    assert problems[0].kind == "missing image" and problems[0].severity == "error"


def test_missing_files_do_not_hide_the_rest(folder, folder_recipe):
    (folder / "labels.csv").unlink()
    (folder / "val.txt").unlink()
    (folder / "images" / "p0.jpg").write_bytes(b"")
    problems = found(**folder_recipe)
    assert set(problems) == {
        ("labels", "missing file"),
        ("val", "missing file"),
        ("train", "unreadable image"),
    }


def test_no_root():
    assert set(found(kind="voc", root="/nowhere/at/all")) == {("data set", "missing file")}


def test_damaged_annotations_are_reported_one_by_one(voc):
    for name in ("2007_000001", "2007_000003"):
        (voc / "Annotations" / f"{name}.xml").write_text("<annotation>")
    problems = found(kind="voc", root=str(voc), classes=["cat", "dog"])
    count, examples = problems["train", "unreadable labels"]
    assert count == 2 and "2007_000001.xml: no VOC annotation" in examples[0]


def test_classes_without_images(folder, folder_recipe):
    (folder / "train.txt").write_text("p0\np3\n")
    (folder / "train_masks.txt").write_text("p0\n")
    assert found(**folder_recipe) == {("train", "class without images"): (1, ("bolt",))}
    (folder / "train.txt").write_text("\n")
    problems = found(**folder_recipe)
    assert problems["train", "empty list"][0] == 1
    assert problems["train", "class without images"][0] == 2


def test_examples_are_limited_and_counts_are_not(folder, folder_recipe):
    for path in (folder / "masks").iterdir():
        path.unlink()
    (problem, _) = find_problems(parse(json.dumps(folder_recipe)), examples=2)
    assert problem.count == 3 and len(problem.examples) == 2


def test_subset_says_nothing_of_classes_that_are_not_chosen(voc):
    """2007_000002 is a cat and a dog: for cats alone the dog is ignored, no disagreement."""
    problems = found(kind="voc", root=str(voc), classes=["cat"])
    assert set(problems) == {("val", "no image to evaluate")}


def test_toy_missing_labels_are_disagreements():
    recipe = parse(json.dumps({"kind": "toy", "train": 30, "val": 5, "missing_labels": 0.5}))
    problems = find_problems(recipe)
    kinds = {(p.where, p.kind) for p in problems if p.severity == "warning"}
    assert ("train masks", "in the mask, not in the labels") in kinds
    assert ("val masks", "in the mask, not in the labels") not in kinds
