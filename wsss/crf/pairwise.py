"""The two kernels of the fully connected CRF of Krähenbühl and Koltun (arXiv 1210.5644)."""

from __future__ import annotations

from pydantic import Field

from wsss.core.recipe import Recipe


class Gaussian(Recipe):
    """The smoothness kernel exp(-|p_i - p_j|² / 2 sxy²)."""

    sxy: float = Field(description="Standard deviation in pixels.", gt=0)
    compat: float = Field(description="Weight of the kernel (Potts model).", gt=0)


class Bilateral(Recipe):
    """The appearance kernel exp(-|p_i - p_j|² / 2 sxy² - |I_i - I_j|² / 2 srgb²)."""

    sxy: float = Field(description="Standard deviation in pixels.", gt=0)
    srgb: float = Field(description="Standard deviation in grey levels, of 0 to 255.", gt=0)
    compat: float = Field(description="Weight of the kernel (Potts model).", gt=0)


class Pairwise(Recipe):
    """The pairwise term: both kernels, each normalised symmetrically."""

    gaussian: Gaussian
    bilateral: Bilateral
