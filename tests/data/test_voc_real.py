"""Real VOC images, where there are any: VOC12_ANIMALS names the folder."""

import json
import os

import numpy as np
import pytest

from wsss.core.files.store import ImageReader, MaskReader
from wsss.core.recipe import parse_json
from wsss.data.prepare import prepare_images, prepare_masks
from wsss.data.recipe import DataRecipe

pytestmark = pytest.mark.skipif(
    not os.environ.get("VOC12_ANIMALS"),
    reason="VOC12_ANIMALS does not name a folder with VOC images",
)


def test_val_of_six_animals(tmp_path):
    recipe = parse_json(
        json.dumps(
            {
                "kind": "voc",
                "root": "${VOC12_ANIMALS}",
                "labels": "image_labels.csv",
                "classes": ["cat", "cow", "dog", "horse", "person", "sheep"],
            }
        ),
        DataRecipe,
    )
    assert prepare_images(recipe, "val", tmp_path / "v.h5", workers=2) == 223
    truth = tmp_path / "m.h5"
    assert prepare_masks(recipe, "val", "evaluation", tmp_path / "v.h5", truth, workers=2) == 223
    with ImageReader(tmp_path / "v.h5") as images, MaskReader(truth) as masks:
        assert max(max(size) for size in images.sizes) == 320
        agree = 0
        for name, mask in masks:
            present = np.zeros(6, np.uint8)
            ids = np.unique(mask)
            present[ids[(ids > 0) & (ids < 255)] - 1] = 1
            agree += np.array_equal(present, images.labels[images.index(name)])
        assert agree == len(masks)
