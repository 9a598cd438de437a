"""Two small data sets on disk: a VOC devkit of three classes, and a folder of two."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from wsss.core.images import palette_png

# id → (class ids of the left and right half of the mask, labels in the XML)
VOC = {
    "2007_000001": ((8, 0), ["cat"]),
    "2007_000002": ((12, 8), ["cat", "dog"]),
    "2007_000003": ((15, 255), ["person"]),
    "2007_000004": ((12, 0), ["dog"]),
}
TRAIN_AUG, TRAIN, VAL = list(VOC)[:3], list(VOC)[:2], list(VOC)[3:]


def _jpeg(height: int = 12, width: int = 16, seed: int = 0, **options) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", **options)
    return buffer.getvalue()


def _halves(left: int, right: int, height: int = 12, width: int = 16) -> np.ndarray:
    mask = np.full((height, width), left, np.uint8)
    mask[:, width // 2 :] = right
    return mask


def _annotation(names: list[str], boxes=None, difficult=()) -> str:
    boxes = boxes or [(1, 1, 8, 8)] * len(names)
    objects = "".join(
        f"<object><name>{name}</name><difficult>{int(name in difficult)}</difficult>"
        f"<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
        "<part><name>head</name></part></object>"
        for name, (x0, y0, x1, y1) in zip(names, boxes, strict=True)
    )
    return f"<annotation><size><width>16</width><height>12</height></size>{objects}</annotation>"


@pytest.fixture
def jpeg():
    """jpeg(height, width, seed): encoded bytes."""
    return _jpeg


@pytest.fixture
def halves():
    """halves(left, right): a 12×16 mask of two classes."""
    return _halves


@pytest.fixture
def annotation():
    """annotation(names, boxes, difficult): VOC's XML."""
    return _annotation


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOC2012"
    folders = ("JPEGImages", "Annotations", "SegmentationClass", "SegmentationClassAug")
    for folder in (*folders, "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for seed, (name, (classes, labels)) in enumerate(VOC.items()):
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(_jpeg(seed=seed))
        (root / "Annotations" / f"{name}.xml").write_text(_annotation(labels))
        (root / "SegmentationClassAug" / f"{name}.png").write_bytes(palette_png(_halves(*classes)))
    for name in (*TRAIN, *VAL):
        mask = _halves(*VOC[name][0])
        mask[0] = 255  # careful masks differ: a void border
        (root / "SegmentationClass" / f"{name}.png").write_bytes(palette_png(mask))
    for split, ids in (("train_aug", TRAIN_AUG), ("train", TRAIN), ("val", VAL)):
        path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.write_text("".join(f"{name}\n" for name in ids))
    return root


@pytest.fixture
def folder(tmp_path):
    """Images p0…p3 (train) and q0, q1 (val) with classes nut, bolt; masks for all but p3."""
    root = tmp_path / "parts"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    labels = {"p0": "nut", "p1": "bolt", "p2": "nut bolt", "p3": "", "q0": "nut", "q1": "bolt"}
    ids = {"nut": (1, 0), "bolt": (2, 0), "nut bolt": (1, 2), "": (0, 0)}
    for seed, (name, text) in enumerate(labels.items()):
        (root / "images" / f"{name}.jpg").write_bytes(_jpeg(seed=seed))
        if name != "p3":
            (root / "masks" / f"{name}.png").write_bytes(palette_png(_halves(*ids[text])))
    rows = "".join(f"{name}.jpg,{text}\n" for name, text in labels.items())
    (root / "labels.csv").write_text("image,labels\n" + rows)
    (root / "train.txt").write_text("p0\np1\np2\np3\n")
    (root / "train_masks.txt").write_text("p0\np1\np2\n")
    (root / "val.txt").write_text("q0\nq1\n")
    return root


@pytest.fixture
def folder_recipe(folder):
    return {
        "kind": "folder",
        "root": str(folder),
        "classes": ["nut", "bolt"],
        "masks": "masks",
        "train_masks_list": "train_masks.txt",
    }
