"""Training data sets over the store's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from wsss.core.files.pairing import require_images, require_split
from wsss.core.files.store import ImageReader, MaskReader
from wsss.core.images import decode
from wsss.nn.transforms import TrainTransform


class LabelledImages(Dataset):
    """Items: image (3, crop, crop) float32 and its image-level labels (C,) float32.

    indices: which images, in the file's order, some perhaps more than once; None: all.
    """

    def __init__(
        self, images: Path, transform: TrainTransform, indices: Sequence[int] | None = None
    ):
        self.reader = ImageReader(images)
        self.transform = transform
        self.indices = range(len(self.reader)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        record = self.reader[self.indices[index]]
        image, _ = self.transform(decode(record.data))
        return image, torch.from_numpy(record.labels).float()


class MaskedImages(Dataset):
    """Items: image (3, crop, crop) float32 and its mask (crop, crop) uint8, 255 = ignored.

    The masks file decides which images; UserError if the images file lacks one, has it in
    another size, or is of another split.
    """

    def __init__(self, images: Path, masks: Path | Sequence[Path], transform: TrainTransform):
        self.reader, self.masks = ImageReader(images), MaskReader(masks)
        self.transform = transform
        require_split(self.masks, self.reader)
        require_images(self.masks, self.reader)

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = decode(self.reader[self.masks.ids[index]].data)
        return self.transform(image, self.masks[index])
