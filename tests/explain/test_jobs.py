"""The jobs of the workflow: maps, their metrics, localization, and the class weights' figure."""

import io
import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from wsss.attribution.build import build_method
from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import psi
from wsss.attribution.methods.gradients import gradients
from wsss.attribution.recipe import AnyExplanation
from wsss.attribution.smooth import smooth
from wsss.attribution.tta import tta
from wsss.core.errors import UserError
from wsss.core.files.evaluation_file import read_evaluation
from wsss.core.files.model_file import save_model
from wsss.core.files.store import (
    Header,
    ImageRecord,
    ImageWriter,
    MapReader,
    MapWriter,
    MaskReader,
    MaskWriter,
)
from wsss.core.random import mix
from wsss.core.recipe import parse_json
from wsss.explain.class_weights import between, correlation
from wsss.explain.cli import app
from wsss.explain.localization.box_accuracy import BoxAccuracy
from wsss.explain.localization.boxes import resize_boxes, score_map, share_of_reference
from wsss.explain.localization.evaluation import one_line, part_boxes
from wsss.explain.localization.peak_iou import PeakIou
from wsss.explain.localization.pixel_ap import PixelAP
from wsss.explain.localization.pointing_game import PointingGame
from wsss.explain.metrics.averages import aggregate, metrics, read_rows
from wsss.explain.metrics.deletion_insertion import rise_blur
from wsss.nn.cam_network import CamNetwork, load_cam_network
from wsss.nn.recipe import Backbone
from wsss.nn.transforms import normalise

CLASSES = ("cat", "dog", "cow")
SIZES = ((48, 60), (40, 52), (52, 40), (48, 60))
LABELS = ((1, 0, 1), (0, 1, 0), (0, 0, 0), (1, 1, 1))


def pixels(i):
    return np.random.default_rng(i).integers(0, 256, (*SIZES[i], 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """val.h5, val.masks.h5 and model.safetensors; the masks show the labelled classes."""
    folder = tmp_path_factory.mktemp("explain")
    with (
        ImageWriter(folder / "val.h5", Header("images", "val", CLASSES)) as images,
        MaskWriter(folder / "val.masks.h5", Header("masks", "val", CLASSES)) as masks,
    ):
        for i, (size, labels) in enumerate(zip(SIZES, LABELS, strict=True)):
            data = io.BytesIO()
            Image.fromarray(pixels(i)).save(data, format="PNG")
            images.add(ImageRecord(f"i{i}", data.getvalue(), size, np.array(labels, np.uint8)))
            mask = np.zeros(size, np.uint8)
            for c in np.flatnonzero(labels):
                mask[8 : 8 + 6 * (c + 1), 10 * c + 4 : 10 * c + 12] = c + 1
            mask[-2:] = 255
            masks.add(f"i{i}", mask)
    torch.manual_seed(0)
    backbone = Backbone(name="resnet10t", output_stride=16)
    network = CamNetwork(backbone, len(CLASSES)).train()
    with torch.no_grad():
        for _ in range(10):  # running statistics of BatchNorm
            network(torch.randn(8, 3, 48, 48))
        features = network.eval().features(torch.randn(8, 3, 48, 48)).mean((0, 2, 3))
        weight = network.head.weight[:, :, 0, 0]
        # Logits around 0: of each image some classes are detected.
        weight -= torch.outer(weight @ features, features) / features.dot(features)
        weight *= 5
    recipe = {"objective": "vanilla", "backbone": backbone.model_dump(mode="json"), "head": {}}
    about = {"kind": "classifier", "recipe": recipe, "classes": list(CLASSES), "seed": 7}
    save_model(folder / "model.safetensors", network, about)
    return folder


def run(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output


def explained(folder, out, recipe, *more):
    common = ("--model", folder / "model.safetensors", "--images", folder / "val.h5")
    run("maps", "--recipe", json.dumps(recipe), *common, "--out", out, *more)
    return out


GIVEN = {"method": "cam", "classes": "given", "side": None}


def test_maps_are_psi_of_the_class_maps_of_the_given_classes(folder, tmp_path):
    out = explained(folder, tmp_path / "explained.val.h5", GIVEN)
    trained = load_cam_network(folder / "model.safetensors")
    network = trained.network.eval()
    found = MapReader(out)
    assert found.header.extra["image_labels"] == "given"
    for i, labels in enumerate(LABELS):
        chosen = np.flatnonzero(labels)
        record = found[f"i{i}"]
        assert record.size == SIZES[i]
        np.testing.assert_array_equal(record.classes, chosen + 1)
        with torch.inference_mode():
            maps = network(normalise(pixels(i), trained.backbone)[None]).maps[0, chosen]
        if len(chosen):
            np.testing.assert_allclose(record.maps, psi(maps).numpy(), atol=2e-3)


def test_detected_classes_are_those_above_the_threshold(folder, tmp_path):
    trained = load_cam_network(folder / "model.safetensors")
    squares = [
        np.array(Image.fromarray(pixels(i)).resize((48, 48), Image.Resampling.BICUBIC))
        for i in range(4)
    ]
    x = torch.stack([normalise(square, trained.backbone) for square in squares])
    with torch.inference_mode():
        probabilities = trained.network.eval()(x).logits.sigmoid().numpy()
    middle = float(np.round(np.median(probabilities), 3))  # half of the twelve
    recipe = {"method": "grad-cam++", "side": 48, "detection": middle, "batch_size": 3}
    found = MapReader(explained(folder, tmp_path / "explained.val.h5", recipe))
    assert found.header.extra["image_labels"] == f"detected above {middle:g}"
    for i in range(4):
        expected = np.flatnonzero(probabilities[i] > middle) + 1
        np.testing.assert_array_equal(found[f"i{i}"].classes, expected)
    assert 3 < sum(len(found[f"i{i}"].classes) for i in range(4)) < 9


def test_parts_are_the_whole(folder, tmp_path):
    recipe = {"method": "gradients", "side": 48, "batch_size": 2, "detection": 0.3}
    recipe["smooth"] = {"repetitions": 2, "sigma": 0.1}
    whole = MapReader(explained(folder, tmp_path / "whole.h5", recipe))
    files = [
        explained(folder, tmp_path / f"{n}.h5", recipe, "--shard", f"{n}/3") for n in (1, 2, 3)
    ]
    parts = MapReader(files)
    assert parts.ids == whole.ids
    for name in whole.ids:
        np.testing.assert_array_equal(parts[name].classes, whole[name].classes)
        np.testing.assert_allclose(parts[name].maps, whole[name].maps, atol=5e-3)


def test_views_and_noise_are_the_recipes_and_the_seeds(folder):
    trained = load_cam_network(folder / "model.safetensors")
    classifier = Classifier.of_cam_network(trained.network)
    noise = {"repetitions": 2, "sigma": 0.3}
    views = {"scales": [0.5, 1.0], "flip": True}
    text = json.dumps({"method": "gradients", "smooth": noise, "tta": views})
    recipe = parse_json(text, AnyExplanation)
    x = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))

    def maps(method):
        return psi(method(classifier, x, [0, 2]).maps)

    found = maps(build_method(recipe, trained.backbone, 7))
    smoothed = smooth(gradients, **noise, seed=mix(7, "noise") % 2**63)
    torch.testing.assert_close(found, maps(tta(smoothed, **views)))
    assert not torch.allclose(found, maps(smoothed), atol=0.05)
    assert not torch.allclose(found, maps(build_method(recipe, trained.backbone, 8)), atol=0.05)


@pytest.mark.parametrize("method", ["full-grad", "score-cam", "minmax-grad-cam", "lrp"])
def test_every_kind_of_method_makes_a_file(folder, tmp_path, method):
    recipe = {"method": method, "side": 64, "detection": 0.3}
    recipe |= {"channels": 8} if method == "score-cam" else {}
    recipe |= {"composite": "epsilon-gamma-box"} if method == "lrp" else {}
    found = MapReader(explained(folder, tmp_path / "explained.val.h5", recipe))
    maps = [m for _, m in ((r.id, m) for r in map(found.__getitem__, found.ids) for m in r.maps)]
    assert maps and all(0 <= m.min() and m.max() <= 1 for m in maps)
    assert any(m.max() == 1 for m in maps)


@pytest.mark.parametrize("classes, detection", [("detected", 0.4), ("given", 0.45)])
def test_metrics_are_those_of_masked_images(folder, tmp_path, classes, detection):
    recipe = {"method": "cam", "side": 48, "batch_size": 3}
    recipe |= {"classes": classes, "detection": detection}
    maps = explained(folder, tmp_path / "explained.val.h5", recipe)
    rows_file, out = tmp_path / "explain.val.csv", tmp_path / "explain.val.eval.json"
    common = ("--model", folder / "model.safetensors", "--images", folder / "val.h5")
    run("metrics", *common, "--maps", maps, "--out-rows", rows_file, "--out", out)
    trained = load_cam_network(folder / "model.safetensors")
    network = trained.network.eval()
    expected, mapped = [], 0
    for i in range(4):
        square = np.array(Image.fromarray(pixels(i)).resize((48, 48), Image.Resampling.BICUBIC))
        x = normalise(square, trained.backbone)[None]
        record = MapReader(maps)[f"i{i}"]
        mapped += len(record.classes)
        for c, low in zip(record.classes, record.maps, strict=True):
            low = torch.from_numpy(low.astype(np.float32))[None, None]
            mask = torch.nn.functional.interpolate(low, (48, 48), mode="bilinear")
            with torch.inference_mode():
                y, o = (network(v).logits.sigmoid()[0, c - 1].item() for v in (x, x * mask))
            if y > detection:
                expected.append((f"i{i}", c, y, max(0, y - o) / y))
    assert (len(expected) < mapped) == (classes == "given") and len(expected) > 2
    assert max(drop for *_, drop in expected) > 0.01
    rows = read_rows(rows_file)
    names, ids, before, drops = zip(*expected, strict=True)
    assert (rows["image"].tolist(), rows["class"].tolist()) == (list(names), list(ids))
    np.testing.assert_allclose(rows["probability"], before, rtol=1e-4)
    np.testing.assert_allclose(rows["drop"], drops, atol=1e-4)
    read = read_evaluation(out, "val")
    assert read["evaluated"]["kind"] == "explanations"
    assert read["detections"] == len(rows)
    assert read["metrics"] == pytest.approx(metrics(rows))
    macro = aggregate(rows).loc["macro", "drop"]
    assert read["every"]["macro"]["drop"] == pytest.approx(macro / 100)


@pytest.mark.parametrize("baseline", ["rise", "blur", "mean"])
def test_curves_are_of_each_detection_and_their_areas_in_its_row(folder, tmp_path, baseline):
    recipe = {"method": "cam", "side": 48, "detection": 0.4, "batch_size": 3}
    maps = explained(folder, tmp_path / "explained.val.h5", recipe)

    def measured(name, **curves):
        rows, out = tmp_path / f"{name}.csv", tmp_path / f"{name}.eval.json"
        files = ("--model", folder / "model.safetensors", "--images", folder / "val.h5")
        given = ("--recipe", json.dumps(curves)) if curves else ()
        run("metrics", *files, "--maps", maps, "--out-rows", rows, "--out", out, *given)
        return read_rows(rows), read_evaluation(out, "val")

    plain, summary = measured("plain")
    rows, read = measured("curves", curves={"steps": 4, "baseline": baseline})
    assert not {"deletion", "insertion"} & {*plain, *summary, *summary["metrics"]}
    pd.testing.assert_frame_equal(rows[list(plain)], plain, check_exact=True)
    assert read["curves"]["steps"] == 4 and read["curves"]["baseline"] == baseline
    for name in ("deletion", "insertion"):
        assert read["metrics"][name] == pytest.approx(rows[name].mean())
        assert np.trapezoid(read["curves"][name]) / 4 == pytest.approx(rows[name].mean())
    # Of the last row by hand: half of the pixels gone, and half of them there.
    trained = load_cam_network(folder / "model.safetensors")
    network = trained.network.eval()
    image, c = rows["image"].iloc[-1], int(rows["class"].iloc[-1])
    square = Image.fromarray(pixels(int(image[1:]))).resize((48, 48), Image.Resampling.BICUBIC)
    x = normalise(np.array(square), trained.backbone)[None]
    record = MapReader(maps)[image]
    low = torch.from_numpy(record.maps[list(record.classes).index(c)].astype(np.float32))
    mask = torch.nn.functional.interpolate(low[None, None], (48, 48), mode="bilinear")[0, 0]
    order = mask.flatten().argsort(descending=True, stable=True)
    blur, mean = rise_blur(x), torch.zeros_like(x)
    ways = {"rise": (mean, blur), "blur": (blur, blur), "mean": (mean, mean)}[baseline]
    for name, start, end in (("deletion", x, ways[0]), ("insertion", ways[1], x)):
        curve = []
        for step in range(5):
            changed = torch.zeros(48 * 48, dtype=torch.bool)
            changed[order[: step * 48 * 12]] = True
            with torch.inference_mode():
                image = torch.where(changed.view(48, 48), end, start)
                curve.append(network(image).logits.sigmoid()[0, c - 1].item())
        assert rows[name].iloc[-1] == pytest.approx(np.trapezoid(curve) / 4, abs=1e-4)


@pytest.mark.parametrize("curves", [None, {"steps": 2}])
def test_without_a_detection_there_are_figures_of_nothing(folder, tmp_path, curves):
    maps = explained(folder, tmp_path / "none.val.h5", {"method": "cam", "detection": 0.9999})
    out = tmp_path / "none.val.eval.json"
    common = ("--model", folder / "model.safetensors", "--images", folder / "val.h5")
    recipe = ("--recipe", json.dumps({"curves": curves}))
    run("metrics", *common, "--maps", maps, *recipe, "--out-rows", tmp_path / "r.csv", "--out", out)
    assert len(read_rows(tmp_path / "r.csv")) == 0
    read = read_evaluation(out, "val")
    assert read["detections"] == 0 and set(read["metrics"].values()) == {None}
    assert ("deletion" in read["metrics"]) == bool(curves)
    localize = ("--maps", maps, "--masks", folder / "val.masks.h5", "--recipe", "{}")
    run("localization", *localize, "--out", out)
    assert read_evaluation(out, "val")["metrics"]["max_box_acc"] == 0


def write_maps(path, folder, change=lambda name, classes, maps: (classes, maps), split="val"):
    """Maps that are the masks themselves."""
    masks = MaskReader(folder / "val.masks.h5")
    with MapWriter(path, Header("maps", split, CLASSES)) as writer:
        for name in masks.ids:
            mask = masks[name]
            classes = np.array([c for c in (1, 2, 3) if (mask == c).any()], np.int64)
            maps = np.array([mask == c for c in classes]).reshape(-1, *mask.shape)
            classes, maps = change(name, classes, maps.astype(np.float32))
            writer.add(name, mask.shape, classes, maps)
    return path


def localized(folder, maps, out, **recipe):
    run("localization", "--maps", maps, "--masks", folder / "val.masks.h5",
        "--recipe", json.dumps(recipe), "--out", out)  # fmt: skip
    return read_evaluation(out, "val")


def test_perfect_maps_localize_all_but_perfectly(folder, tmp_path):
    maps = write_maps(tmp_path / "m.h5", folder)
    read = localized(folder, maps, tmp_path / "l.eval.json", tolerance=0)
    assert read["evaluated"]["kind"] == "localization"
    assert read["pairs"] == 6  # labelled classes
    # Maps are resized smoothly, masks to the nearest pixel.
    assert read["metrics"]["pxap"] > 0.97 and read["metrics"]["peak_iou"] > 0.9
    assert read["metrics"]["max_box_acc"] == read["metrics"]["max_box_acc_v2"] == 1
    assert read["metrics"]["pointing"] == 1


def test_ignored_pixels_count_neither_way(folder, tmp_path):
    def everywhere_ignored(name, classes, maps):
        maps[:, -2:] = 1
        return classes, maps

    maps = write_maps(tmp_path / "m.h5", folder, everywhere_ignored)
    read = localized(folder, maps, tmp_path / "l.eval.json")
    assert read["metrics"]["pxap"] > 0.97 and read["metrics"]["peak_iou"] > 0.9


def test_a_class_without_a_map_counts_as_missed(folder, tmp_path):
    def without_dogs(name, classes, maps):
        return classes[classes != 2], maps[classes != 2]

    maps = write_maps(tmp_path / "m.h5", folder, without_dogs)
    read = localized(folder, maps, tmp_path / "l.eval.json")
    assert read["pairs"] == 6
    assert read["metrics"]["max_box_acc"] == pytest.approx(4 / 6)
    assert read["metrics"]["pointing"] == pytest.approx(2 / 3)  # a mean over classes


def test_figures_are_those_of_every_map_and_mask_at_one_size(folder, tmp_path):
    random, masks, size = np.random.default_rng(0), tmp_path / "masks.h5", (40, 40)
    known = MaskReader(folder / "val.masks.h5")
    with MaskWriter(masks, Header("masks", "val", CLASSES)) as writer:
        for name in known.ids:  # so that classes are in different numbers of images
            mask = known[name].copy()
            mask[(mask == 2) & (name == "i3")] = 0
            writer.add(name, mask)

    def noisy(name, classes, maps):
        low = [cv2.resize(m, (9, 7), interpolation=cv2.INTER_AREA) for m in maps]
        noise = random.random((len(maps), 7, 9), np.float32)
        return classes, (np.array(low, np.float32).reshape(-1, 7, 9) + 4 * noise) / 5

    maps = write_maps(tmp_path / "m.h5", folder, noisy)
    recipe = {"side": 40, "percentile": 80, "step": 0.1, "tolerance": 1}
    out = tmp_path / "l.eval.json"
    run("localization", "--maps", maps, "--masks", masks, "--recipe", json.dumps(recipe), "--out",
        out)  # fmt: skip
    read, explanations, truth = read_evaluation(out, "val"), MapReader(maps), MaskReader(masks)
    boxes, pixels, peak, pointing = BoxAccuracy(0.1, 80), PixelAP(), PeakIou(), PointingGame(3, 1)
    for name in truth.ids:
        mask, record = truth[name], explanations[name]
        for class_id in set(np.unique(mask).tolist()) - {0, 255}:
            scores = score_map(record.maps[list(record.classes).index(class_id)], size)
            inside = (mask == class_id).astype(np.uint8)
            inside[mask == 255] = 255
            inside = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)
            objects = resize_boxes(part_boxes(mask == class_id), mask.shape, size)
            boxes.update(scores, objects)
            pixels.update(scores, inside)
            peak.update(share_of_reference(scores, 80), inside)
            pointing.update(scores, class_id - 1, inside == 1)
    expected = {
        "max_box_acc": boxes.result().max_box_acc,
        "max_box_acc_v2": boxes.result().max_box_acc_v2,
        "pxap": pixels.result().px_ap,
        "peak_iou": peak.result().pooled.peak,
        "peak_iou_threshold": 100 * peak.result().pooled.threshold,
        "pointing": pointing.result().mean,
    }
    assert read["metrics"].keys() == expected.keys()
    for name, value in expected.items():
        assert read["metrics"][name] == pytest.approx(value / 100), name
    assert pointing.result().mean != pointing.result().pooled
    recipe = json.dumps(recipe | {"tolerance": 60})
    run("localization", "--maps", maps, "--masks", masks, "--recipe", recipe, "--out", out)
    assert read["metrics"]["pointing"] < 1 == read_evaluation(out, "val")["metrics"]["pointing"]
    assert read["peak_iou_mean"] == pytest.approx(peak.result().mean.peak / 100)


def test_objects_of_which_no_pixel_is_left_have_no_figures_of_pixels(folder, tmp_path):
    masks = tmp_path / "val.masks.h5"
    with MaskWriter(masks, Header("masks", "val", CLASSES)) as writer:
        mask = np.zeros(SIZES[0], np.uint8)
        mask[1, 1] = 1
        writer.add("i0", mask)
    maps = tmp_path / "maps.h5"
    with MapWriter(maps, Header("maps", "val", CLASSES, '{"method": "cam"}')) as writer:
        writer.add("i0", SIZES[0], np.array([1]), np.ones((1, 4, 4), np.float32))
    out = tmp_path / "localization.val.eval.json"
    run("localization", "--maps", maps, "--masks", masks, "--recipe", '{"side": 16}', "--out", out)
    read = read_evaluation(out, "val")
    assert read["metrics"]["pxap"] is read["metrics"]["peak_iou"] is read["peak_iou_mean"] is None
    assert read["metrics"]["max_box_acc"] is not None and read["pairs"] == 1
    assert "PxAP –, peak IoU –" in one_line(read)


def parts_of_a_share(share):
    """Maps: the class's pixels are 1, and `share` of the image's others, near them, are ½."""

    def change(name, classes, maps):
        for each in maps:
            others = np.flatnonzero(each.ravel() == 0)
            each.ravel()[others[: int(share * each.size)]] = 0.5
        return classes, maps

    return change


def test_a_percentile_is_chosen_on_train_and_val_takes_it(folder, tmp_path):
    """Where 0.1 of each map is 1, the 90th percentile is ½ and the maximum is 1."""
    several = {"percentiles": [85, 100], "side": 48, "step": 0.05}
    spread = parts_of_a_share(0.3)
    for split in ("train", "val"):
        masks = folder / "val.masks.h5"
        if split == "train":
            masks = tmp_path / "train.masks.h5"
            known = MaskReader(folder / "val.masks.h5")
            with MaskWriter(masks, Header("masks", "train", CLASSES)) as writer:
                for name in known.ids:
                    writer.add(name, known[name])
        write_maps(tmp_path / f"{split}.h5", folder, spread, split)
        known = ("--percentile-from", tmp_path / "train.json") if split == "val" else ()
        run("localization", "--maps", tmp_path / f"{split}.h5", "--masks", masks, *known,
            "--recipe", json.dumps(several), "--out", tmp_path / f"{split}.json")  # fmt: skip
    train = read_evaluation(tmp_path / "train.json", "train")
    val = read_evaluation(tmp_path / "val.json", "val")
    tried = {t["percentile"]: t for t in train["percentile"]["tried"]}
    assert tried[100]["max_box_acc_v2"] > tried[85]["max_box_acc_v2"]
    assert tried[100]["peak_iou"] > tried[85]["peak_iou"]
    assert train["percentile"]["value"] == val["percentile"]["value"] == 100
    for name in ("max_box_acc", "max_box_acc_v2", "peak_iou"):
        assert train["metrics"][name] == tried[100][name]
    assert train["percentile"]["how"] == "best MaxBoxAccV2 of 85, 100 on this split"
    assert val["percentile"]["how"] == "best MaxBoxAccV2 of 85, 100 on train"
    assert val["percentile"]["source"] == str(tmp_path / "train.json")
    for percentile, each in tried.items():
        alone = localized(folder, tmp_path / "val.h5", tmp_path / "one.json",
                          **several | {"percentiles": None, "percentile": percentile})  # fmt: skip
        for name in ("max_box_acc", "max_box_acc_v2", "peak_iou"):
            assert alone["metrics"][name] == pytest.approx(each[name])  # the same images
        assert alone["metrics"]["pxap"] == val["metrics"]["pxap"]
        assert alone["percentile"]["how"] == "by recipe"


def test_a_percentile_of_val_needs_trains(folder, tmp_path):
    maps, out = write_maps(tmp_path / "m.h5", folder), tmp_path / "l.json"
    several = json.dumps({"percentiles": [80, 90]})
    common = ("--maps", maps, "--masks", folder / "val.masks.h5", "--out", out)
    with pytest.raises(UserError, match="to choose from, and the maps are of val; give"):
        run("localization", *common, "--recipe", several)
    localized(folder, maps, out)
    with pytest.raises(UserError, match="of split val, but train is needed"):
        run("localization", *common, "--recipe", several, "--percentile-from", out)
    with pytest.raises(UserError, match="no percentiles to choose from; list some, or leave"):
        run("localization", *common, "--recipe", "{}", "--percentile-from", out)
    train = json.loads(out.read_text()) | {"split": "train"}
    train["percentile"]["value"] = 70.0
    (tmp_path / "train.json").write_text(json.dumps(train))
    with pytest.raises(UserError, match=r"chose percentile 70\.0, none of the recipe's"):
        known = ("--percentile-from", tmp_path / "train.json")
        run("localization", *common, "--recipe", several, *known)
    with pytest.raises(UserError, match="give two or more, each once"):
        localized(folder, maps, out, percentiles=[90, 90])


def test_boxes_are_of_connected_parts():
    mask = np.zeros((8, 9), bool)
    mask[1:3, 2:5] = True
    mask[3, 5] = True  # touches by a corner
    mask[6:, 7:] = True
    assert sorted(map(tuple, part_boxes(mask).tolist())) == [(2, 1, 5, 3), (7, 6, 8, 7)]
    assert part_boxes(np.zeros((4, 4), bool)).shape == (0, 4)


def test_correlation_is_pearsons(folder, tmp_path):
    weight = np.random.default_rng(0).normal(size=(4, 30))
    np.testing.assert_allclose(correlation(weight), np.corrcoef(weight), atol=1e-12)
    others = np.abs(np.corrcoef(weight)[np.triu_indices(4, 1)]).mean()
    assert between(correlation(weight)) == pytest.approx(others)
    run("weights", "--model", folder / "model.safetensors", "--out", tmp_path / "w.png")
    two = ("--model", folder / "model.safetensors") * 2
    run("weights", *two, "--out", tmp_path / "two.png")
    with Image.open(tmp_path / "w.png") as one, Image.open(tmp_path / "two.png") as both:
        assert one.width > 300 and both.height == one.height and both.width > 1.7 * one.width


def test_bad_input_is_one_line(folder, tmp_path):
    out = tmp_path / "out.h5"
    with pytest.raises(UserError, match="images is 'with-masks' in the recipe; give the masks"):
        explained(folder, out, {"method": "cam", "images": "with-masks"})
    with pytest.raises(UserError, match="--recipe: clamp: unknown key"):
        explained(folder, out, {"method": "cam", "clamp": True})
    with pytest.raises(UserError, match="method: 'came' is none of"):
        explained(folder, out, {"method": "came"})
    box = {"method": "lrp", "composite": "epsilon-gamma-box", "smooth": {}}
    with pytest.raises(UserError, match="noise leaves the range of pixels"):
        explained(folder, out, box)
    other = tmp_path / "other.h5"
    with MapWriter(other, Header("maps", "val", ("cat",))) as writer:
        writer.add("i0", SIZES[0], np.array([1]), np.ones((1, 4, 4), np.float32))
    with pytest.raises(UserError, match="give files of one data set"):
        localized(folder, other, tmp_path / "l.eval.json")
    says = r"other.h5: classes cat, but .* has cat, dog, cow; explain"
    with pytest.raises(UserError, match=says):
        common = ("--model", folder / "model.safetensors", "--images", folder / "val.h5")
        out_files = ("--out-rows", tmp_path / "r.csv", "--out", tmp_path / "r.json")
        run("metrics", *common, "--maps", other, *out_files)
    foreign = tmp_path / "cam.h5"
    with MapWriter(foreign, Header("maps", "val", CLASSES, '{"scales": [1.0]}')) as writer:
        writer.add("i0", SIZES[0], np.array([1]), np.ones((1, 4, 4), np.float32))
    with pytest.raises(UserError, match=r"cam\.h5: its recipe is none of `wsss explain maps`"):
        run("metrics", *common, "--maps", foreign, *out_files)
    absent = tmp_path / "absent.h5"
    with MapWriter(absent, Header("maps", "val", CLASSES, '{"method": "cam"}')) as writer:
        writer.add("i9", SIZES[0], np.array([1]), np.ones((1, 4, 4), np.float32))
    with pytest.raises(UserError, match=r"val\.h5: no image 'i9', of which .*absent\.h5 has maps"):
        run("metrics", *common, "--maps", absent, *out_files)
    empty = tmp_path / "empty.h5"
    with MapWriter(empty, Header("maps", "val", CLASSES, '{"method": "cam"}')):
        pass
    with pytest.raises(UserError, match=r"empty\.h5: has maps of no image"):
        run("metrics", *common, "--maps", empty, *out_files)
    with pytest.raises(UserError, match=r"absent\.h5: no maps of 'i0', which has a mask"):
        localized(folder, absent, tmp_path / "l.eval.json")
    assert not out.exists() and not (tmp_path / "r.csv").exists()
