"""The recipe of class activation maps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wsss.core.recipe import Recipe

Scale = Annotated[float, Field(gt=0, le=8)]


class CamRecipe(Recipe):
    """How class maps become CAMs; the defaults are as in IRN, Puzzle-CAM and P-NOC."""

    method: Literal["cam"] = Field("cam", description="cam: ReLU of the class maps (Zhou et al.).")
    scales: tuple[Scale, ...] = Field(
        (0.5, 1.0, 1.5, 2.0),
        min_length=1,
        description="Factors of the image's size; the maps are averaged.",
    )
    flip: bool = Field(True, description="Also average over the horizontally flipped image.")
    output_stride: Literal[8, 16, 32] | None = Field(
        None, description="null: as trained. Smaller gives finer maps from the same weights."
    )
    images: Literal["all", "with-masks"] = Field(
        "all",
        description="with-masks: only images that evaluation has masks of, where the CAM itself is "
        "what is studied; no affinity can build on it.",
    )
    map_stride: int = Field(4, ge=1, description="Image pixels per map pixel in the file.")
