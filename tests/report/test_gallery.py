import io
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import wsss.report.gallery as gallery
from wsss.core.errors import UserError
from wsss.core.files.store import Header, ImageRecord, ImageWriter, MapWriter, MaskWriter
from wsss.core.images import voc_palette
from wsss.core.maps import SALIENT
from wsss.evaluation import EvaluationRecipe, evaluate_maps
from wsss.report import choose_images, image_miou, make_gallery
from wsss.report.cli import app
from wsss.report.drawing import TILE, maps_over, mask_over, saliency_over
from wsss.report.spec import GallerySpec, parse

NAMES = ("cat", "dog")
PAGE = Image.new("RGB", (4, 4))
SIZE = (30, 40)


def write_files(folder, count=6):
    """Images, ground truth, CAMs, masks ever worse with the index, and scores."""
    header = {kind: Header(kind, "val", NAMES) for kind in ("images", "masks", "maps")}
    with (
        ImageWriter(folder / "val.h5", header["images"]) as images,
        MaskWriter(folder / "val.masks.h5", header["masks"]) as masks,
        MapWriter(folder / "cam.val.h5", header["maps"]) as cams,
        MaskWriter(folder / "pseudo.val.h5", header["masks"]) as pseudo,
        MapWriter(folder / "prediction.val.h5", header["maps"]) as scores,
    ):
        for i in range(count):
            class_id = 2 if i == count - 1 else 1
            buffer = io.BytesIO()
            Image.fromarray(np.full((*SIZE, 3), 40 * i, np.uint8)).save(buffer, format="PNG")
            labels = np.array([class_id == 1, class_id == 2], np.uint8)
            images.add(ImageRecord(f"i{i}", buffer.getvalue(), SIZE, labels))
            truth = np.zeros(SIZE, np.uint8)
            truth[5:20, 10:30] = class_id
            truth[0] = 255
            masks.add(f"i{i}", truth)
            cams.add(f"i{i}", SIZE, np.array([class_id]), np.linspace(0, 1, 12).reshape(1, 3, 4))
            worse = np.where(truth == 255, 0, truth)
            worse[5 : 5 + i] = 0
            pseudo.add(f"i{i}", worse)
            one_hot = np.stack([truth != class_id, truth == class_id]).astype(np.float32)
            scores.add(f"i{i}", SIZE, np.array([0, class_id]), one_hot)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path)


def spec(folder, columns=("pseudo",), *, truth=True, **recipe):
    listed = [
        {"title": name, "file": str(folder / f"{name}.val.h5")}
        | ({"threshold": 0.5} if name == "cam" else {})
        for name in columns
    ]
    whole = {"recipe": recipe, "images": str(folder / "val.h5"), "columns": listed}
    if truth:
        whole["ground_truth"] = str(folder / "val.masks.h5")
    return parse(json.dumps(whole), GallerySpec)


def test_gallery_has_a_column_for_each_file_and_is_the_same_again(folder):
    wanted = spec(folder, ["cam", "pseudo", "prediction"], images=3)
    data = make_gallery(wanted)
    assert data == make_gallery(wanted)
    with Image.open(io.BytesIO(data)) as page:
        assert page.width > 5 * TILE and page.height > 3 * TILE * 30 / 40
    with Image.open(io.BytesIO(make_gallery(spec(folder, ["cam"], truth=False, images=3)))) as page:
        assert 2 * TILE < page.width < 3 * TILE


def test_saliency_hints_and_affinity_labels(folder):
    with MapWriter(folder / "c2am.val.h5", Header("maps", "val", SALIENT)) as writer:
        for i in range(6):
            writer.add(f"i{i}", SIZE, np.array([1]), np.linspace(0, 1, 12).reshape(1, 3, 4))
    with MaskWriter(folder / "labels.val.h5", Header("masks", "val", NAMES)) as writer:
        for i in range(6):
            labels = np.full(SIZE, 255, np.uint8)
            labels[5:10, 10:30] = 2 if i == 5 else 1
            writer.add(f"i{i}", labels)
    whole = json.loads(spec(folder, ["cam", "c2am", "labels"], images=2).model_dump_json())
    whole["columns"][1]["threshold"] = 0.5
    hints = {"title": "hints", "file": str(folder / "cam.val.h5"), "above": 0.4}
    whole["columns"].insert(1, hints)
    with Image.open(io.BytesIO(make_gallery(parse(json.dumps(whole), GallerySpec)))) as page:
        assert page.width > 6 * TILE
    for wrong in ("labels", "c2am"):
        hints["file"] = str(folder / f"{wrong}.val.h5")
        with pytest.raises(UserError, match=rf"{wrong}.val.h5: above is for maps of classes"):
            make_gallery(parse(json.dumps(whole), GallerySpec))


def corners(folder, monkeypatch, columns):
    """The texts in the corners of a gallery of i0, whose ground truth is class 1."""
    drawn = []
    monkeypatch.setattr(
        gallery, "draw_gallery", lambda titles, rows, *_: drawn.extend(rows) or PAGE
    )
    whole = json.loads(spec(folder, [], images=6).model_dump_json()) | {"columns": columns}
    make_gallery(parse(json.dumps(whole), GallerySpec))
    row = next(row for row in drawn if row.caption.startswith("i0 "))
    return [tile.corner for tile in row.tiles[2:]]


def test_corners_of_saliency_and_of_labels_with_gaps(folder, monkeypatch):
    with (
        MapWriter(folder / "c2am.val.h5", Header("maps", "val", SALIENT)) as salient,
        MaskWriter(folder / "labels.val.h5", Header("masks", "val", NAMES)) as labels,
    ):
        for i in range(6):
            object_ = np.zeros(SIZE, np.uint8)
            object_[5:20, 10:30] = 1
            salient.add(f"i{i}", SIZE, np.array([1]), object_[None].astype(np.float32))
            gaps = np.full(SIZE, 255, np.uint8)
            gaps[5:10, 10:30], gaps[25:, :] = 2 if i == 5 else 1, 0
            labels.add(f"i{i}", gaps)
    columns = [
        {"title": "right", "file": str(folder / "c2am.val.h5"), "threshold": 0.5},
        {"title": "nothing", "file": str(folder / "c2am.val.h5"), "threshold": 1.0},
        {"title": "gaps", "file": str(folder / "labels.val.h5")},
        {"title": "hints", "file": str(folder / "cam.val.h5"), "above": 0.4},
    ]
    share = (29 * 40 - 15 * 20) / (29 * 40)  # of the background, where one row is 255
    found = corners(folder, monkeypatch, columns)
    assert found == ["100", f"{50 * share:.0f}", "100", ""]


def test_hints_are_what_reaches_the_score(folder, monkeypatch):
    shown = []
    monkeypatch.setattr(gallery, "mask_over", lambda image, mask, alpha: shown.append(mask) or PAGE)
    with MapWriter(folder / "flat.val.h5", Header("maps", "val", NAMES)) as writer:
        for i in range(6):
            values = np.array([[0.25, 0.5]], np.float32).repeat(2, 0)[None]
            writer.add(f"i{i}", (2, 2), np.array([2]), values)
    with ImageWriter(folder / "two.h5", Header("images", "val", NAMES)) as writer:
        png = io.BytesIO()
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(png, format="PNG")
        for i in range(6):
            writer.add(ImageRecord(f"i{i}", png.getvalue(), (2, 2), np.ones(2, np.uint8)))
    column = {"title": "hints", "file": str(folder / "flat.val.h5"), "above": 0.5}
    whole = {"recipe": {"images": 1}, "images": str(folder / "two.h5"), "columns": [column]}
    make_gallery(parse(json.dumps(whole), GallerySpec))
    assert shown[0].tolist() == [[0, 2], [0, 2]]


def test_saliency_is_as_bright_as_it_is_high():
    image = np.full((20, 20, 3), 200, np.uint8)
    maps = np.zeros((1, 20, 20), np.float32)
    maps[:, :, 10:] = 1
    picture = np.array(saliency_over(image, maps, None))
    assert picture[5, -5].tolist() == [200, 200, 200] and picture[5, 5].max() < 60
    assert np.array(saliency_over(image, maps[:0], 0.5)).max() < 60
    outlined = np.array(saliency_over(image, maps, 0.5)).reshape(-1, 3).astype(int)
    assert (outlined[:, 0] - outlined[:, 2]).max() > 50


def test_images_that_a_file_lacks_are_not_shown(folder, tmp_path):
    with MaskWriter(tmp_path / "few.val.h5", Header("masks", "val", NAMES)) as writer:
        writer.add("i2", np.zeros(SIZE, np.uint8))
    few = make_gallery(spec(folder, ["few"], images=5))
    assert few == make_gallery(spec(folder, ["few"], images=1))
    with MaskWriter(tmp_path / "other.val.h5", Header("masks", "val", NAMES)) as writer:
        writer.add("elsewhere", np.zeros(SIZE, np.uint8))
    with pytest.raises(UserError, match="shares no image"):
        make_gallery(spec(folder, ["other"]))


def test_worst_and_best(folder, monkeypatch):
    captions = []
    import wsss.report.gallery as gallery

    def remember(titles, rows, *rest):
        captions.append([row.caption.split()[0] for row in rows])
        captions.append([row.tiles[-1].corner for row in rows])
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(gallery, "draw_gallery", remember)
    make_gallery(spec(folder, select="best", images=2))
    make_gallery(spec(folder, select="worst", images=2))
    # i1 loses one of fifteen rows of its object: IoU 14/15 and background 860/880.
    best = round(100 * (14 / 15 + 860 / 880) / 2)
    assert captions[:2] == [["i0", "i1"], ["100", str(best)]]
    assert captions[2] == ["i5", "i4"]


def test_ranking_needs_ground_truth_and_thresholds(folder):
    with pytest.raises(UserError, match="ranking images needs ground truth"):
        make_gallery(spec(folder, truth=False, select="worst"))
    wanted = spec(folder, ["cam"], select="worst").model_dump()
    wanted["columns"][0]["threshold"] = None
    with pytest.raises(UserError, match="ranking images by maps needs a threshold"):
        make_gallery(parse(json.dumps(wanted), GallerySpec))


def test_mistakes(folder, tmp_path):
    with pytest.raises(UserError, match="of split val, the gallery of train"):
        make_gallery(spec(folder, split="train"))
    with MaskWriter(tmp_path / "cow.val.h5", Header("masks", "val", ("cow",))):
        pass
    with pytest.raises(UserError, match=r"classes cow, but .* has cat, dog; give files of one"):
        make_gallery(spec(folder, ["cow"]))
    with pytest.raises(UserError, match="holds images; a column takes maps or masks"):
        make_gallery(parse(spec(folder).to_json().replace("pseudo.val.h5", "val.h5"), GallerySpec))
    with pytest.raises(UserError, match=r"--spec: recipe\.images: "):
        spec(folder, images=0)


def test_the_threshold_of_an_evaluation(folder, tmp_path):
    evaluation = tmp_path / "cam.val.eval.json"
    recipe = EvaluationRecipe(fixed_threshold=0.5, start=0.5, stop=0.5)
    read = evaluate_maps([folder / "cam.val.h5"], folder / "val.masks.h5", recipe)
    assert read["threshold"]["value"] == 0.5
    evaluation.write_text(json.dumps(read))
    wanted = spec(folder, ["cam"]).model_dump()
    expected = make_gallery(spec(folder, ["cam"]))
    wanted["columns"][0] |= {"threshold": None, "threshold_from": str(evaluation)}
    assert make_gallery(parse(json.dumps(wanted), GallerySpec)) == expected
    wanted["columns"][0]["threshold"] = 0.5
    with pytest.raises(UserError, match="give one of them"):
        parse(json.dumps(wanted), GallerySpec)


def test_command(folder, tmp_path):
    wanted = spec(folder)
    out = tmp_path / "gallery.png"
    arguments = ["gallery", "--spec", wanted.to_json(), "--out", str(out)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert out.read_bytes() == make_gallery(wanted)
    assert (tmp_path / "log" / "gallery.png.run.json").exists()


def test_every_class_gets_its_turn():
    labels = np.zeros((100, 3), np.uint8)
    labels[:, 0] = 1
    labels[[7, 8], 1] = 1
    labels[50] = [0, 0, 1]
    ids = [f"{i}" for i in range(100)]
    chosen = choose_images(ids, labels, 4, seed=0)
    assert "50" in chosen and {"7", "8"} & set(chosen) and len(set(chosen)) == 4
    assert chosen == choose_images(ids, labels, 4, seed=0)
    assert chosen != choose_images(ids, labels, 4, seed=1)
    assert sorted(choose_images(ids[:3], labels[:3] * 0, 9, seed=0)) == ["0", "1", "2"]


def test_image_miou_by_hand():
    truth = np.array([[0, 0, 1, 255]])
    assert image_miou(np.array([[0, 1, 1, 2]]), truth) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert image_miou(np.array([[0, 0, 2, 2]]), truth) == pytest.approx((1 + 0 + 0) / 3)
    assert np.isnan(image_miou(np.array([[0]]), np.array([[255]])))


def test_overlays_take_the_voc_colours():
    image = np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 3
    picture = np.array(mask_over(image, mask, alpha=1.0))
    assert picture.shape == (TILE, TILE, 3)
    assert (picture[TILE // 2, -10] == voc_palette()[3]).all()
    background = picture[TILE // 2, 10]
    assert (picture[TILE // 2, TILE // 2] == 255).all()  # the outline
    maps = np.zeros((1, 2, 2), np.float16)
    maps[0, :, 1] = 1
    overlay = np.array(maps_over(image, maps, np.array([3]), 1.0, None))
    assert (overlay[TILE // 2, -10] == voc_palette()[3]).all()
    assert (overlay[TILE // 2, 10] == background).all()  # a map of 0 shows the image
    outlined = np.array(maps_over(image, maps, np.array([3]), 1.0, 0.5))
    assert (outlined[TILE // 2, TILE // 2 - 2 : TILE // 2 + 2] == 255).all(1).any()
    none = np.array(maps_over(image, maps[:0], np.zeros(0, np.int64), 1.0, 0.5))
    assert (none == background).all()
