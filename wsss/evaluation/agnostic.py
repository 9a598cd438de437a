"""Ground truth of classes, for maps that tell foreground from background only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.images import IGNORE
from wsss.core.maps import SALIENT, upsample
from wsss.core.store import MapReader, MaskReader
from wsss.evaluation.saliency_measures import SaliencyCounts, measure


class AgnosticMasks(MaskReader):
    """A masks file of classes, each of which is read as "salient": 0, 1, or 255."""

    def __init__(self, paths: Path | Sequence[Path]):
        super().__init__(paths)
        self.header = replace(self.header, classes=SALIENT)

    def __getitem__(self, key: int | str) -> UInt8[np.ndarray, "h w"]:
        mask = super().__getitem__(key)
        return np.where(mask == IGNORE, mask, mask > 0).astype(np.uint8)


@dataclass
class Measure:
    """What a worker does for an image id: the measures of salient object detection."""

    maps: MapReader
    masks: AgnosticMasks

    def __call__(self, image_id: str) -> SaliencyCounts:
        """The image's part of the measures; 0 everywhere for an image without maps."""
        record, truth = self.maps[image_id], self.masks[image_id]
        saliency = np.zeros(truth.shape, np.float32)
        if len(record.classes):
            saliency = upsample(record.maps, record.size)[0]
        return measure(saliency, truth)
