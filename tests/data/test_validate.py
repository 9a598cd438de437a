import json

import numpy as np
from PIL import Image

from wsss.core.images import palette_png
from wsss.core.recipe import parse_json
from wsss.data.recipe import DataRecipe
from wsss.data.validate import find_problems


def found(**fields) -> dict[tuple[str, str], tuple[int, tuple[str, ...]]]:
    problems = find_problems(parse_json(json.dumps(fields), DataRecipe))
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
    write_mask(folder, "p2", halves(1, 0))
    problems = find_problems(parse_json(json.dumps(folder_recipe), DataRecipe))
    assert [(p.kind, p.severity) for p in problems] == [
        ("in the labels, not in the mask", "warning")
    ]
    (problem,) = find_problems(parse_json(json.dumps(folder_recipe), DataRecipe), strict=True)
    assert problem.severity == "error"
    (folder / "images" / "p0.jpg").unlink()
    problems = find_problems(parse_json(json.dumps(folder_recipe), DataRecipe))
    assert [p.severity for p in problems] == sorted(p.severity for p in problems)
    assert problems[0].kind == "missing image" and problems[0].severity == "error"


def test_a_class_that_the_labels_lack_is_an_error_in_a_folder_and_a_warning_in_voc(
    voc, folder, folder_recipe, halves
):
    kind = "in the mask, not in the labels"
    write_mask(folder, "p0", halves(1, 2))
    (problem,) = find_problems(parse_json(json.dumps(folder_recipe), DataRecipe))
    assert (problem.kind, problem.severity) == (kind, "error")
    (voc / "SegmentationClassAug" / "2007_000001.png").write_bytes(palette_png(halves(8, 12)))
    recipe = {"kind": "voc", "root": str(voc), "classes": ["cat", "dog", "person"]}
    severities = {
        p.kind: p.severity for p in find_problems(parse_json(json.dumps(recipe), DataRecipe))
    }
    assert severities[kind] == "warning"


def test_train_masks_are_checked_whether_or_not_a_list_names_them(folder, folder_recipe, halves):
    write_mask(folder, "p1", halves(2, 0)[:11, :11])
    write_mask(folder, "p2", halves(1, 9))
    (folder / "train_masks.txt").write_text("p0\n")
    assert found(**folder_recipe) == {
        ("train masks", "size mismatch"): (
            1,
            ("p1: mask 11×11, image 12×16 (height × width)",),
        ),
        ("train masks", "value outside the classes"): (
            1,
            (f"{folder}/masks/p2.png: holds 9",),
        ),
    }
    problems = found(**folder_recipe | {"train_masks_list": None})
    assert set(problems) == {
        ("train masks", "size mismatch"),
        ("train masks", "value outside the classes"),
        ("train masks", "train masks without a list"),
    }
    assert problems["train masks", "train masks without a list"] == (
        3,
        ("p0.png", "p1.png", "p2.png"),
    )


def test_masks_of_ids_without_labels_or_image_are_checked_too(folder, folder_recipe, halves):
    write_mask(folder, "p0", halves(1, 9))
    write_mask(folder, "q0", halves(1, 8))
    (folder / "images" / "p0.jpg").unlink()
    (folder / "labels.csv").write_text("image,labels\np0,nut\np1,bolt\np2,nut bolt\np3,\nq1,bolt\n")
    problems = found(**folder_recipe)
    kind = "value outside the classes"
    train = "train evaluation and supervision masks"
    assert problems[train, kind] == (1, (f"{folder}/masks/p0.png: holds 9",))
    assert problems["val evaluation masks", kind] == (1, (f"{folder}/masks/q0.png: holds 8",))


def test_a_folder_of_masks_that_the_recipe_leaves_out_is_told(folder, folder_recipe):
    recipe = folder_recipe | {"masks": None, "train_masks_list": None}
    (problem,) = find_problems(parse_json(json.dumps(recipe), DataRecipe))
    assert (problem.kind, problem.severity) == ("masks not used", "warning")
    for path in (folder / "masks").iterdir():
        path.unlink()
    assert found(**recipe) == {}


def test_lists_of_masks_name_ids_of_their_split_once(voc, folder, folder_recipe):
    (folder / "train_masks.txt").write_text("p0\np1\np1\nq0\nghost\n")
    problems = find_problems(parse_json(json.dumps(folder_recipe), DataRecipe))
    where = "train evaluation and supervision masks"
    assert [(p.kind, p.where, p.severity, p.examples) for p in problems] == [
        ("duplicate id", where, "error", ("p1: twice in train_masks.txt",)),
        (
            "id outside the split",
            where,
            "error",
            (
                "q0: in train_masks.txt, not in train.txt",
                "ghost: in train_masks.txt, not in train.txt",
            ),
        ),
    ]
    (voc / "ImageSets" / "Segmentation" / "train_aug.txt").write_text("2007_000001\n2007_000003\n")
    recipe = {"kind": "voc", "root": str(voc), "classes": ["cat", "person"]}
    problems = find_problems(parse_json(json.dumps(recipe), DataRecipe))
    assert [(p.severity, p.examples) for p in problems if p.kind == "id outside the split"] == [
        ("warning", ("2007_000002: in train.txt, not in train_aug.txt",))
    ]


def test_16_bit_images_are_refused(folder, folder_recipe):
    (folder / "images" / "p0.jpg").unlink()
    deep = Image.fromarray(np.full((12, 16), 4000, np.uint16))
    deep.save(folder / "images" / "p0.png")
    count, (line,) = found(**folder_recipe)["train", "unreadable image"]
    assert count == 1
    assert line.endswith("p0.png: mode I;16, more than 8 bits a pixel; convert it to 8 bit")


def test_rows_of_the_labels_file_are_told_with_everything_else(folder, folder_recipe, halves):
    (folder / "labels.csv").write_text(
        "image,labels\np0,nut\np0.jpg,nut\np1,bolt,nut\np2,nut bolt\np2,bolt nut\nq0,nut\nq1\n"
    )
    write_mask(folder, "p0", halves(1, 9))
    problems = found(**folder_recipe)
    assert {key: count for key, (count, _) in problems.items()} == {
        ("labels", "unreadable labels"): 2,
        ("labels", "duplicate id"): 2,
        ("train", "missing labels"): 1,
        ("train evaluation and supervision masks", "value outside the classes"): 1,
        ("val", "no image to evaluate"): 1,
    }


def test_a_labels_file_that_is_none_is_not_missing(folder, folder_recipe):
    (folder / "labels.json").write_text("{")
    problems = found(**folder_recipe | {"labels": "labels.json"})
    assert set(problems) == {("labels", "unreadable labels")}
    assert "not valid JSON" in problems["labels", "unreadable labels"][1][0]


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
    (problem, _) = find_problems(parse_json(json.dumps(folder_recipe), DataRecipe), examples=2)
    assert problem.count == 3 and len(problem.examples) == 2


def test_subset_says_nothing_of_classes_that_are_not_chosen(voc):
    """2007_000002 is a cat and a dog: for cats alone the dog is ignored, no disagreement."""
    problems = found(kind="voc", root=str(voc), classes=["cat"])
    assert set(problems) == {("val", "no image to evaluate")}


def test_toy_missing_labels_are_disagreements():
    recipe = parse_json(
        json.dumps({"kind": "toy", "train": 30, "val": 5, "missing_labels": 0.5}), DataRecipe
    )
    problems = find_problems(recipe)
    kinds = {(p.where, p.kind) for p in problems if p.severity == "warning"}
    assert ("train masks", "in the mask, not in the labels") in kinds
    assert ("val masks", "in the mask, not in the labels") not in kinds
