"""Class maps whose background is what a saliency map says it is (P-NOC's evaluation of priors)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from wsss.core.errors import UserError
from wsss.core.files.pairing import require_classes, require_split
from wsss.core.files.store import MapReader, MapRecord
from wsss.core.maps import SALIENT, upsample
from wsss.evaluation.checks import shorten_list


class SalientBackground(MapReader):
    """A maps file of classes read together with the saliency s of its images, at their size.

    "threshold": each map is s where it is the highest (the first of several), 0 elsewhere. So at
    threshold t a pixel is background where s does not exceed t or no class map is above 0.
    Otherwise it is of its highest class.
    "soft": a background channel 1 − s stands before the maps, for an arg-max.

    Raises UserError for saliency of other classes, another split or other images.
    """

    def __init__(
        self,
        maps: Sequence[Path],
        saliency: Sequence[Path],
        how: Literal["threshold", "soft"],
    ):
        super().__init__(maps)
        self.saliency, self.how = MapReader(saliency), how
        require_classes(self.saliency, SALIENT, remedy="give a saliency file")
        if any(0 in ids for ids in self._class_ids):
            raise UserError(f"{maps[0]}: has a background channel of its own; leave --saliency out")
        if self.header.classes == SALIENT:
            raise UserError(f"{maps[0]}: is saliency itself; give the maps of classes")
        require_split(self.saliency, self)
        missing = [i for i in self.ids if i not in self.saliency]
        if missing:
            raise UserError(
                "\n".join(shorten_list(f"{saliency[0]}: no saliency of '", missing, "'"))
            )

    def __getitem__(self, key: int | str) -> MapRecord:
        record = super().__getitem__(key)
        found = self.saliency[record.id]
        if found.size != record.size:
            raise UserError(
                f"{self.saliency.paths[0]}: '{record.id}' is {found.size[1]}×{found.size[0]}, its "
                f"maps are of {record.size[1]}×{record.size[0]}; one was made from other images"
            )
        salient = np.zeros((1, *record.size), np.float32)  # without a map nothing is salient
        if len(found.classes):
            salient = upsample(found.maps, record.size)[:1]
        maps = upsample(record.maps, record.size)
        if self.how == "soft":
            classes = np.concatenate([[0], record.classes])
            return replace(record, classes=classes, maps=np.concatenate([1 - salient, maps]))
        if len(maps):
            first = maps.argmax(0) == np.arange(len(maps))[:, None, None]
            maps = np.where(first & (maps > 0), salient, np.float32(0))
        return replace(record, maps=maps)
