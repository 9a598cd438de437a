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
from wsss.core.images import IGNORE, decode
from wsss.core.maps import upsample
from wsss.core.store import ImageReader, MapReader, MapRecord
from wsss.nn.transforms import TrainTransform

STEPS = 254  # a hint of 1; 255 is padding


def hint_map(record: MapRecord) -> UInt8[np.ndarray, "H W"]:
    """max over classes of the maps at the image's size, in steps of 1/254; 0 without a class."""
    if len(record.classes) == 0:
        return np.zeros(record.size, np.uint8)
    highest = upsample(record.maps, record.size).max(0)
    return np.round(highest * STEPS).astype(np.uint8)


def hinted(
    hints: UInt8[Tensor, "b H W"], size: tuple[int, int], threshold: float
) -> Bool[Tensor, "b 1 h w"]:
    """Where hints, resized to `size`, reach the threshold; padding (255) is no hint."""
    values = torch.where(hints == IGNORE, 0, hints).float()[:, None] / STEPS
    # antialias: places between the grid's points count, as they do for the network.
    small: Float[Tensor, "b 1 h w"] = F.interpolate(
        values, size, mode="bicubic", align_corners=False, antialias=True
    )
    return small >= threshold


class HintedImages(Dataset):
    """Items: image (3, crop, crop) float32 and its hints (crop, crop) uint8, 255 = padding.

    UserError if `maps` are of another split or data set than `images`, or lack one of them.
    """

    def __init__(self, images: Path, maps: Sequence[Path], transform: TrainTransform):
        self.reader, self.maps = ImageReader(images), MapReader(maps)
        self.transform = transform
        ours, theirs = self.reader.header, self.maps.header
        for what, here, there in (
            ("split", ours.split, theirs.split),
            ("classes", ", ".join(ours.classes), ", ".join(theirs.classes)),
        ):
            if here != there:
                raise UserError(
                    f"{self.maps.paths[0]}: {what} {there}, but {images} has {here}; give the CAMs "
                    "of the same images"
                )
        for image_id in self.reader.ids:
            if image_id not in self.maps:
                raise UserError(
                    f"{self.maps.paths[0]}: no hint for image '{image_id}' of {images}; extract "
                    "the CAMs of all images"
                )

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        record = self.reader[index]
        hints = self.maps[record.id]
        if hints.size != record.size:
            raise UserError(
                f"{self.maps.paths[0]}: maps of '{record.id}' are for {hints.size} pixels, its "
                f"image has {record.size}; extract the CAMs again"
            )
        return self.transform(decode(record.data), hint_map(hints))
