"""Ground truth of classes, for maps that know foreground and background only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss.core.files.store import MaskReader
from wsss.core.images import IGNORE
from wsss.core.maps import SALIENT


class AgnosticMasks(MaskReader):
    """A masks file of classes, each of which is read as "salient": 0, 1, or 255."""

    def __init__(self, paths: Path | Sequence[Path]):
        super().__init__(paths)
        self.header = replace(self.header, classes=SALIENT)

    def __getitem__(self, key: int | str) -> UInt8[np.ndarray, "h w"]:
        mask = super().__getitem__(key)
        return np.where(mask == IGNORE, mask, mask > 0).astype(np.uint8)
