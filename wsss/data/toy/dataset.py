"""Generated scenes as a data set: ids, stored images, masks and checks."""

from __future__ import annotations

import io
from functools import partial

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from wsss.core.files.store import ImageRecord
from wsss.core.log import progress
from wsss.core.parallel import imap
from wsss.data.agreement import check_positives, compare
from wsss.data.kind import Sample, Split
from wsss.data.problems import Finding, Findings
from wsss.data.toy.knobs import Knobs
from wsss.data.toy.scene import generate


def scene_id(split: Split, index: int) -> str:
    """The id of a toy scene, e.g. "train-000012"."""
    return f"{split}-{index:06d}"


def image_record(knobs: Knobs, split: Split, index: int) -> ImageRecord:
    """A scene's id, image as PNG, size and labels."""
    scene = generate(knobs, split, index)
    buffer = io.BytesIO()
    Image.fromarray(scene.image).save(buffer, format="PNG", compress_level=4)
    return ImageRecord(scene_id(split, index), buffer.getvalue(), scene.mask.shape, scene.labels)


def mask(knobs: Knobs, split: Split, index: int) -> UInt8[np.ndarray, "h w"]:
    """A scene's class ids."""
    return generate(knobs, split, index).mask


def sample(knobs: Knobs, split: Split, index: int) -> Sample:
    """A scene to look at."""
    scene = generate(knobs, split, index)
    return Sample(scene_id(split, index), scene.image, scene.mask, scene.labels)


def check_scenes(knobs: Knobs, split: Split, count: int, findings: Findings, workers: int) -> None:
    """Add to `findings` where labels and masks of a split disagree, and classes without images."""
    scenes = imap(partial(_check_scene, knobs, split), range(count), workers)
    positives = np.zeros(knobs.classes, np.int64)
    for labels, found in progress(scenes, total=count, what=f"validate {split}"):
        positives += labels
        for line in found:
            findings.add(*line)
    check_positives(positives, knobs.class_names, split, findings)


def _check_scene(
    knobs: Knobs, split: Split, index: int
) -> tuple[UInt8[np.ndarray, " c"], list[Finding]]:
    scene = generate(knobs, split, index)
    name, where = scene_id(split, index), f"{split} masks"
    return scene.labels, compare(name, where, knobs.class_names, scene.labels, scene.mask)
