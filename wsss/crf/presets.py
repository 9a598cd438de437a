"""Published pairwise terms by name."""

from __future__ import annotations

from typing import Literal

from wsss.crf.pairwise import Bilateral, Gaussian, Pairwise

PresetName = Literal["labels", "probabilities", "deeplab-v2", "afa"]

PRESETS: dict[str, Pairwise] = {
    "labels": Pairwise(
        gaussian=Gaussian(sxy=3, compat=3), bilateral=Bilateral(sxy=50, srgb=5, compat=10)
    ),
    "probabilities": Pairwise(
        gaussian=Gaussian(sxy=3, compat=3), bilateral=Bilateral(sxy=80, srgb=13, compat=10)
    ),
    "deeplab-v2": Pairwise(
        gaussian=Gaussian(sxy=1, compat=3), bilateral=Bilateral(sxy=67, srgb=3, compat=4)
    ),
    "afa": Pairwise(
        gaussian=Gaussian(sxy=3, compat=3), bilateral=Bilateral(sxy=64, srgb=5, compat=4)
    ),
}

USED_BY: dict[str, str] = {
    "labels": "IRN, Puzzle-CAM, P-NOC",
    "probabilities": "PSA, OC-CSE",
    "deeplab-v2": "DeepLab v2",
    "afa": "AFA",
}
