import json
import zlib

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.core.files.store import Header, MaskWriter
from wsss.core.images import palette_png
from wsss.evaluation import EvaluationRecipe, evaluate_masks
from wsss.evaluation.cli import app
from wsss.evaluation.mask_source import read_ids

RECIPE = EvaluationRecipe()


def mask(seed, size=(6, 7)):
    return np.random.default_rng(seed).integers(0, 3, size).astype(np.uint8)


def write_folder(folder, masks):
    folder.mkdir()
    for image_id, values in masks.items():
        (folder / f"{image_id}.png").write_bytes(palette_png(values))
    return folder


@pytest.fixture
def truth(tmp_path):
    return write_folder(tmp_path / "truth", {f"2007_{i:06}": mask(i) for i in range(4)})


def test_png_masks_from_the_command_line(tmp_path, truth):
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    for path in truth.iterdir():  # grey instead of palette, and one pixel wrong in every image
        values = np.array(Image.open(path))
        values[0, 0] = (values[0, 0] + 1) % 3
        Image.fromarray(values).save(predictions / path.name)
    out = tmp_path / "out.json"
    arguments = ["masks", "--predictions", str(predictions), "--ground-truth", str(truth)]
    arguments += ["--num-classes", "21", "--json", str(out)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    result = json.loads(out.read_text())
    assert result["metrics"]["pixel_accuracy"] == pytest.approx(41 / 42)
    assert result["metrics"]["miou_all_classes"] == pytest.approx(
        result["metrics"]["miou"] * 3 / 21
    )
    assert result["per_class"][20]["iou"] is None
    assert (result["images"], result["split"], result["tta"]) == (4, None, None)
    assert result["threshold"] == {"value": None, "how": "none: masks", "source": None}


def test_every_problem_is_listed_at_once(tmp_path, truth):
    predictions = write_folder(
        tmp_path / "predictions",
        {"2007_000001": mask(1, (6, 8)), "2007_000002": mask(2) + 9, "stranger": mask(0)},
    )
    Image.new("RGB", (7, 6)).save(predictions / "2007_000003.png")
    with pytest.raises(UserError) as caught:
        evaluate_masks([predictions], [truth], RECIPE, num_classes=3)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for line, what in zip(
        lines,
        [
            "no mask '2007_000000', but there is ground truth",
            "mask 'stranger' has no ground truth",
            "'2007_000001': the prediction is 8×6, the ground truth 7×6",
            "'2007_000002': the prediction holds class",
            "2007_000003.png: a RGB image, not class ids",
        ],
        strict=True,
    ):
        assert what in line


def test_long_lists_of_problems_are_cut(tmp_path):
    truth = write_folder(tmp_path / "truth", {f"{i:03}": mask(i) for i in range(30)})
    predictions = write_folder(tmp_path / "predictions", {"000": mask(0)})
    with pytest.raises(UserError, match=r"\n… and 9 more like this$"):
        evaluate_masks([predictions], [truth], RECIPE, num_classes=3)


def test_damaged_png(tmp_path, truth):
    predictions = write_folder(tmp_path / "predictions", {p.stem: mask(0) for p in truth.iterdir()})
    (predictions / "2007_000000.png").write_bytes(b"no picture")
    whole = (predictions / "2007_000001.png").read_bytes()
    (predictions / "2007_000001.png").write_bytes(whole[: whole.index(b"IDAT") + 6])
    with pytest.raises(UserError, match=r"000000.png: unreadable.*\n.*000001.png: unreadable"):
        evaluate_masks([predictions], [truth], RECIPE, num_classes=3)


def test_a_damaged_header_and_a_jpeg_by_another_name(tmp_path, truth):
    predictions = write_folder(tmp_path / "predictions", {p.stem: mask(0) for p in truth.iterdir()})
    whole = (predictions / "2007_000000.png").read_bytes()
    short = (5).to_bytes(4, "big") + b"IHDR" + whole[16:21]
    header = whole[:8] + short + zlib.crc32(short[4:]).to_bytes(4, "big") + whole[33:]
    (predictions / "2007_000000.png").write_bytes(header)
    Image.fromarray(mask(1)).save(predictions / "2007_000001.png", format="JPEG")
    with pytest.raises(UserError) as caught:
        evaluate_masks([predictions], [truth], RECIPE, num_classes=3)
    first, second, *_ = str(caught.value).splitlines()
    assert "2007_000000.png: unreadable (Truncated IHDR chunk)" in first
    assert "2007_000001.png: unreadable (a JPEG file by another name; save a PNG)" in second


def test_indices_of_1_and_16_bits(tmp_path):
    bits = mask(0) > 0
    truth = write_folder(tmp_path / "truth", {"a": bits.astype(np.uint8), "b": mask(1)})
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    Image.fromarray(bits).save(predictions / "a.png")
    Image.fromarray(mask(1).astype(np.uint16)).save(predictions / "b.png")
    assert {Image.open(p).mode for p in predictions.iterdir()} == {"1", "I;16"}
    result = evaluate_masks([predictions], [truth], RECIPE, num_classes=3)
    assert result["metrics"]["pixel_accuracy"] == 1
    Image.fromarray(mask(1).astype(np.uint16) + 300).save(predictions / "b.png")
    with pytest.raises(UserError, match=r"b\.png: holds 30\d, class ids end at 255"):
        evaluate_masks([predictions], [truth], RECIPE, num_classes=3)


def test_a_list_chooses_the_images(tmp_path, truth):
    chosen = tmp_path / "val.txt"
    chosen.write_text(
        "2007_000001\n/JPEGImages/2007_000002.jpg /SegmentationClassAug/2007_000002.png\n"
    )
    predictions = write_folder(
        tmp_path / "predictions", {f"2007_00000{i}": mask(i) for i in (1, 2)}
    )
    ids = read_ids(chosen)
    assert ids == ["2007_000001", "2007_000002"]
    result = evaluate_masks([predictions], [truth], RECIPE, num_classes=3, ids=ids)
    assert result["images"] == 2 and result["metrics"]["miou"] == 1
    with pytest.raises(UserError, match="no mask 'absent'; it was asked for"):
        evaluate_masks([predictions], [truth], RECIPE, num_classes=3, ids=[*ids, "absent"])
    chosen.write_text("c.png\nx.a.jpg\nd e\n")
    assert read_ids(chosen) == ["c", "x.a", "d e"]
    chosen.write_text("x/a.b\n")
    with pytest.raises(UserError, match=r"val\.txt: 1 ids name a folder: 'x/a\.b'"):
        read_ids(chosen)
    chosen.write_text("\n")
    with pytest.raises(UserError, match="names no image; write one id per line"):
        read_ids(chosen)
    chosen.write_text("a\nb\na\n")
    with pytest.raises(UserError, match="'a' stands there twice"):
        read_ids(chosen)


def write_h5(path, masks, split="train", classes=("cat", "dog")):
    with MaskWriter(path, Header("masks", split, classes)) as writer:
        for image_id, values in masks.items():
            writer.add(image_id, values)
    return path


def test_hdf5_ground_truth_may_cover_some_images(tmp_path):
    predictions = write_h5(tmp_path / "pseudo.h5", {f"{i}": mask(i) for i in range(5)})
    truth = write_h5(tmp_path / "masks.h5", {"3": mask(3), "1": mask(1)})
    result = evaluate_masks([predictions], [truth], RECIPE, workers=2)
    assert (result["images"], result["images_in_file"], result["split"]) == (2, 5, "train")
    assert result["classes"] == ["background", "cat", "dog"] and result["metrics"]["miou"] == 1


def test_hdf5_against_png(tmp_path, truth):
    predictions = write_h5(tmp_path / "p.h5", {f"2007_{i:06}": mask(i) for i in range(4)})
    assert evaluate_masks([predictions], [truth], RECIPE)["metrics"]["miou"] == 1
    result = evaluate_masks([truth], [predictions], RECIPE)
    assert result["metrics"]["miou"] == 1 and result["split"] == "train"


def test_predicted_255(tmp_path):
    truth = write_h5(tmp_path / "masks.h5", {"a": np.array([[0, 1]], np.uint8)})
    predictions = write_h5(tmp_path / "labels.h5", {"a": np.array([[255, 1]], np.uint8)})
    with pytest.raises(UserError, match="'a': the prediction holds 255"):
        evaluate_masks([predictions], [truth], RECIPE)
    background = EvaluationRecipe(predicted_ignore="background")
    assert evaluate_masks([predictions], [truth], background)["metrics"]["miou"] == 1


def test_pixels_without_a_label_can_be_skipped(tmp_path):
    truth = write_h5(tmp_path / "masks.h5", {"a": np.array([[0, 1, 2, 2, 255]], np.uint8)})
    labels = write_h5(tmp_path / "labels.h5", {"a": np.array([[255, 1, 2, 0, 1]], np.uint8)})
    found = evaluate_masks([labels], [truth], EvaluationRecipe(predicted_ignore="skip"))
    assert found["metrics"]["labelled"] == 0.75
    assert found["metrics"]["pixel_accuracy"] == pytest.approx(2 / 3)
    nothing = write_h5(tmp_path / "nothing.h5", {"a": np.full((1, 5), 255, np.uint8)})
    with pytest.raises(UserError, match=r"nothing.h5: every pixel is 255 .*make the labels again"):
        evaluate_masks([nothing], [truth], EvaluationRecipe(predicted_ignore="skip"))


def test_salient_masks_are_judged_with_every_class_as_one(tmp_path):
    truth = write_h5(tmp_path / "masks.h5", {"a": np.array([[0, 1, 2, 2, 255]], np.uint8)})
    salient = write_h5(
        tmp_path / "c2am.h5", {"a": np.array([[0, 1, 1, 0, 1]], np.uint8)}, classes=("salient",)
    )
    found = evaluate_masks([salient], [truth], RECIPE)
    assert found["classes"] == ["background", "salient"]
    assert found["metrics"]["miou"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_mistakes(tmp_path, truth):
    a = write_h5(tmp_path / "a.h5", {"a": mask(0)})
    with pytest.raises(UserError, match="give --num-classes"):
        evaluate_masks([truth], [truth], RECIPE)
    with pytest.raises(UserError, match="1 classes; give 2 to 255"):
        evaluate_masks([truth], [truth], RECIPE, num_classes=1)
    with pytest.raises(UserError, match=r"has 3 classes with the background, not 21"):
        evaluate_masks([a], [a], RECIPE, num_classes=21)
    with pytest.raises(UserError, match=r"classes cat, dog, but .* has cat, cow"):
        evaluate_masks([a], [write_h5(tmp_path / "b.h5", {}, classes=("cat", "cow"))], RECIPE)
    with pytest.raises(UserError, match=r"of split train, but .* is of val"):
        evaluate_masks([a], [write_h5(tmp_path / "c.h5", {}, split="val")], RECIPE)
    with pytest.raises(UserError, match="no such folder"):
        evaluate_masks([tmp_path / "absent"], [truth], RECIPE, num_classes=3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \*.png in it"):
        evaluate_masks([tmp_path / "empty"], [truth], RECIPE, num_classes=3)


def test_warns_of_objects_stored_as_255(tmp_path, caplog):
    binary = write_folder(tmp_path / "t", {"a": np.array([[0, 255]], np.uint8)})
    predictions = write_folder(tmp_path / "p", {"a": np.array([[0, 1]], np.uint8)})
    with caplog.at_level("WARNING", logger="wsss"):
        evaluate_masks([predictions], [binary], RECIPE, num_classes=2)
    assert "are objects stored as 255" in caplog.text
