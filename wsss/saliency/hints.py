"""Hints of foreground from class maps, for C²AM-H."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from wsss.core.errors import UserError
from wsss.core.files.pairing import require_classes, require_images, require_split
from wsss.core.files.store import ImageReader, MapReader, MapRecord
from wsss.core.images import IGNORE, decode
from wsss.core.maps import upsample
from wsss.crf.masks_from_maps import check_foreground
from wsss.nn.transforms import TrainTransform

STEPS = 254  # a hint of 1; 255 is padding


def hint_map(record: MapRecord) -> UInt8[np.ndarray, "H W"]:
    """max over classes of the maps at the image's size, in steps of 1/254; 0 without a class.

    The maps are in [0, 1] and of foreground classes only: see `require_hints`.
    """
    if len(record.classes) == 0:
        return np.zeros(record.size, np.uint8)
    highest = upsample(record.maps, record.size).max(0)
    return np.round(highest * STEPS).astype(np.uint8)


def hint_mask(
    hints: UInt8[Tensor, "b H W"], size: tuple[int, int], threshold: float
) -> Bool[Tensor, "b 1 h w"]:
    """Where hints (in steps of 1/254), resized to `size`, reach the threshold, which is in [0, 1].

    Padding (255) is not a hint.
    """
    values = torch.where(hints == IGNORE, 0, hints).float()[:, None] / STEPS
    # antialias: places between the grid's points count, as they do for the network.
    small: Float[Tensor, "b 1 h w"] = F.interpolate(
        values, size, mode="bicubic", align_corners=False, antialias=True
    )
    return small >= threshold


def require_hints(paths: Sequence[Path], threshold: float) -> None:
    """UserError for maps that cannot be hints, and for maps that say nothing.

    The former have a background channel, or values outside [0, 1]; the latter hint nowhere, or
    everywhere in each image that has any.
    """
    some = apart = 0
    with MapReader(paths) as reader:
        for record in reader:
            check_foreground(record, reader.paths[0])
            _check_range(record, reader.paths[0])
            sure = hint_map(record) >= threshold * STEPS
            some += bool(sure.any())
            apart += bool(sure.any() and not sure.all())
    if not some:
        raise UserError(
            f"{paths[0]}: no map reaches hints.threshold {threshold:g}; lower it, or look at the "
            "maps (wsss cam export)"
        )
    if not apart:
        raise UserError(
            f"{paths[0]}: its maps are constant: where they hint at all, they hint everywhere; "
            "look at them (wsss cam export) and at the classifier's training"
        )


def _check_range(record: MapRecord, path: Path) -> None:
    low, high = (record.maps.min(), record.maps.max()) if record.maps.size else (0, 0)
    if low < 0 or high > 1.001:  # float16 rounds
        raise UserError(
            f"{path}: maps of '{record.id}' from {low:.3g} to {high:.3g}, hints need [0, 1]; "
            "normalise them"
        )


class HintedImages(Dataset):
    """Items: image (3, crop, crop) float32 and its hints (crop, crop) uint8, 255 = padding.

    UserError if `maps` are of another split or data set than `images`, lack one of them, or are
    for images of other sizes.
    """

    def __init__(self, images: Path, maps: Sequence[Path], transform: TrainTransform):
        self.reader, self.maps = ImageReader(images), MapReader(maps)
        self.transform = transform
        require_split(self.maps, self.reader)
        known = self.reader.header.classes
        require_classes(self.maps, known, of=images, remedy="give the CAMs of the same images")
        missing = [image_id for image_id in self.reader.ids if image_id not in self.maps]
        if missing:
            raise UserError(
                f"{self.maps.paths[0]}: no hint for image '{missing[0]}' of {images}; extract the "
                "CAMs of all images"
            )
        require_images(self.maps, self.reader, self.reader.ids)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        record = self.reader[index]
        return self.transform(decode(record.data), hint_map(self.maps[record.id]))
