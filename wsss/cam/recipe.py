"""The recipe of class activation maps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wsss.nn.recipe import Images, MultiScale


class CamRecipe(MultiScale):
    """How class maps become CAMs; the defaults are as in IRN, Puzzle-CAM and P-NOC."""

    method: Literal["cam"] = Field("cam", description="cam: ReLU of the class maps (Zhou et al.).")
    output_stride: Literal[8, 16, 32] | None = Field(
        None, description="null: as trained. Smaller gives finer maps from the same weights."
    )
    images: Images = Field(
        "all",
        description="with-masks: only images that evaluation has masks of, where the CAM itself is "
        "what is studied; no affinity can build on it.",
    )
    map_stride: int = Field(4, ge=1, description="Image pixels per map pixel in the file.")
