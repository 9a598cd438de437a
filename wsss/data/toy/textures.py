"""Smooth random fields, and the kinds of ground that toy scenes are set on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float64

GRAIN = 96.0  # frequencies are given for images of this side, so that grain is in pixels


@dataclass(frozen=True)
class Ground:
    """A background texture: two colours (RGB in 0..255) mixed by noise.

    waves: (vertical, horizontal, weight) triples of octaves, cells per 96 pixels.
    """

    dark: tuple[int, int, int]
    light: tuple[int, int, int]
    waves: tuple[tuple[int, int, float], ...]


# Ground c is the home of class c: meadow, sand, water, rock, soil, snow, forest, heath.
GROUNDS = (
    Ground((66, 106, 44), (142, 170, 82), ((8, 24, 1.0), (20, 48, 0.8))),
    Ground((188, 160, 112), (224, 204, 160), ((4, 8, 0.8), (40, 40, 0.7))),
    Ground((44, 92, 140), (120, 168, 196), ((22, 5, 1.0), (44, 12, 0.6))),
    Ground((92, 94, 98), (166, 166, 164), ((6, 6, 1.0), (16, 16, 0.8), (36, 36, 0.4))),
    Ground((70, 50, 36), (124, 92, 66), ((10, 10, 1.0), (30, 30, 0.6))),
    Ground((196, 208, 224), (244, 246, 250), ((3, 5, 1.0), (24, 24, 0.3))),
    Ground((22, 54, 34), (72, 106, 58), ((9, 9, 1.0), (18, 18, 1.0))),
    Ground((104, 78, 112), (164, 138, 158), ((14, 26, 1.0), (32, 32, 0.6))),
)


@cache
def _spline(cells: int, size: int) -> Float64[np.ndarray, "size knots"]:
    """Weights of the cubic B-spline with `cells` cells at each of `size` pixel centres."""
    position = (np.arange(size) + 0.5) * cells / size
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.zeros((size, cells + 3))
    basis = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for k, values in enumerate(basis):
        weights[np.arange(size), first + k] = values / 6
    # Unit variance: a field of independent standard normal knots must not fade with smoothing.
    return weights / np.sqrt((weights**2).sum(axis=1).mean())


def smooth_noise(
    rng: np.random.Generator, rows: int, columns: int, size: int
) -> Float64[np.ndarray, "size size"]:
    """A smooth field of mean 0 and variance about 1, with rows × columns cells per 96 pixels."""
    cells = [max(1, round(n * size / GRAIN)) for n in (rows, columns)]
    knots = rng.standard_normal((cells[0] + 3, cells[1] + 3))
    return _spline(cells[0], size) @ knots @ _spline(cells[1], size).T


def paint_ground(
    rng: np.random.Generator, ground: Ground, size: int
) -> Float64[np.ndarray, "size size 3"]:
    """The ground over a whole image, RGB in about 0..255, colours jittered from scene to scene."""
    field = np.zeros((size, size))
    for rows, columns, weight in ground.waves:
        field += weight * smooth_noise(rng, rows, columns, size)
    field /= np.sqrt(sum(weight**2 for *_, weight in ground.waves))
    mix = np.clip(0.5 + 0.25 * field, 0, 1)[..., None]
    jitter = 14 * rng.standard_normal() + 6 * rng.standard_normal(3)
    dark, light = np.asarray(ground.dark), np.asarray(ground.light)
    return dark + jitter + mix * (light - dark)
