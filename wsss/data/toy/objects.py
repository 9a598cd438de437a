"""Toy objects: a body whose coat the classes share, and a mark that distinguishes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from wsss.data.toy.knobs import Knobs

# Coats run from dark brown over rust and tan to cream: every class may have any of them.
_COATS = np.array([(52, 40, 36), (128, 70, 42), (190, 142, 92), (238, 222, 196)], dtype=float)
# What a class adds to the coat when bodies are not shared: a tint, and stripes of its own
# (cycles over the body's length, angle in turns).
_TINTS = np.array(
    [
        *((206, 110, 96), (98, 128, 206), (214, 190, 84), (186, 100, 178)),
        *((86, 184, 180), (226, 150, 78), (150, 190, 84), (140, 112, 208)),
    ],
    dtype=float,
)
_STRIPES = ((3, 0.0), (6, 0.25), (5, 0.12), (8, 0.4), (10, 0.0), (3, 0.25), (8, 0.15), (12, 0.3))
# Two colours of each mark.
_MARKS = np.array(
    [
        ((208, 36, 36), (250, 236, 230)),
        ((34, 70, 208), (244, 244, 250)),
        ((250, 208, 30), (30, 30, 34)),
        ((16, 16, 20), (246, 246, 246)),
        ((206, 48, 170), (250, 226, 60)),
        ((20, 178, 190), (20, 30, 60)),
        ((246, 130, 24), (60, 24, 90)),
        ((120, 206, 40), (126, 40, 190)),
    ],
    dtype=float,
)


@dataclass(frozen=True)
class Shape:
    """An object's outline on a square window, in the object's own coordinates.

    u, v: position of each pixel, in body lengths, u along the body and v downwards.
    body: the silhouette without the mark. mark: the disc that holds it, partly outside the body.
    disc: the mark's coordinates, in its radius.
    """

    u: Float64[np.ndarray, "n n"]
    v: Float64[np.ndarray, "n n"]
    body: Bool[np.ndarray, "n n"]
    mark: Bool[np.ndarray, "n n"]
    disc: tuple[Float64[np.ndarray, "n n"], Float64[np.ndarray, "n n"]]

    @property
    def whole(self) -> Bool[np.ndarray, "n n"]:
        """Body and mark together: what the ground truth covers."""
        return self.body | self.mark


@dataclass(frozen=True)
class Pose:
    """The random choices for an outline, free of its size: an object can be drawn smaller."""

    turn: float
    flip: float
    height: float
    wobble: Float64[np.ndarray, "3 2"]
    head: tuple[float, float]
    legs: Float64[np.ndarray, " legs"]
    leg_length: float
    mark: tuple[float, float]
    mark_turn: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Pose:
        """A random pose."""
        return Pose(
            turn=rng.normal(0, 0.3),
            flip=rng.choice((-1.0, 1.0)),
            height=rng.uniform(0.5, 0.8),
            wobble=rng.normal(0, 0.05, (3, 2)),
            head=(rng.uniform(0.95, 1.15), rng.uniform(-1.1, -0.1)),
            legs=np.sort(rng.uniform(-0.3, 0.3, rng.integers(2, 5))),
            leg_length=rng.uniform(0.12, 0.24),
            mark=(np.sqrt(rng.uniform(0, 0.8)), rng.uniform(0, 2 * np.pi)),
            mark_turn=rng.normal(0, 0.4),
        )


def outline(pose: Pose, length: float, part_size: float) -> Shape:
    """Rasterise a pose at a length in pixels; part_size is the mark's area over the body's."""
    half = int(np.ceil(0.62 * length)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / length
    u = pose.flip * (x * np.cos(pose.turn) + y * np.sin(pose.turn))
    v = y * np.cos(pose.turn) - x * np.sin(pose.turn)
    long, short = 0.36, 0.36 * pose.height
    around = u / long + 1j * (v / short)
    distance = np.abs(around)
    around /= np.maximum(distance, 1e-9)
    radius, turned = np.ones_like(u), around
    for cosine, sine in pose.wobble:  # harmonics 2, 3, 4 of the angle
        turned = turned * around
        radius += cosine * turned.real + sine * turned.imag
    body = distance <= radius
    reach, at = pose.head
    head = np.hypot(u - reach * long * np.cos(at), v - reach * short * np.sin(at))
    body |= head <= 0.14
    for leg in pose.legs:
        body |= (np.abs(u - leg) <= 0.045) & (v >= 0) & (v <= short + pose.leg_length)
    share, direction = pose.mark
    mark_u, mark_v = share * long * np.cos(direction), share * short * np.sin(direction)
    mark_radius = np.sqrt(part_size * body.sum() / np.pi) / length
    p, q = (u - mark_u) / mark_radius, (v - mark_v) / mark_radius
    turn = pose.mark_turn
    disc = (p * np.cos(turn) - q * np.sin(turn), p * np.sin(turn) + q * np.cos(turn))
    return Shape(u, v, body, p**2 + q**2 <= 1, disc)


def paint_object(
    rng: np.random.Generator,
    shape: Shape,
    inside: tuple[slice, slice],
    name: str,
    ground: Float64[np.ndarray, " 3"],
    knobs: Knobs,
) -> Float64[np.ndarray, "pixels 3"]:
    """Colours (RGB in about 0..255) of the pixels of an object of class `name`.

    inside: the part of the shape's window that lies in the image; pixels belong to the whole
    object in it, row by row. ground: mean colour of what they cover; the coat stands out from it.
    """
    covered = shape.whole[inside]
    u, v, mark, p, q = (
        field[inside][covered] for field in (shape.u, shape.v, shape.mark, *shape.disc)
    )
    index = knobs.class_names.index(name)
    own = 1 - knobs.shared_body
    coat = (1 - own) * _coat(rng, ground) + own * _TINTS[index]
    phase = rng.uniform(0, 2 * np.pi, 3)
    # Blotches of random direction are common to all classes, stripes are a class's own.
    a, b = rng.uniform(0, 2 * np.pi, 2)
    blotches = np.sin(14 * (u * np.cos(a) + v * np.sin(a)) + phase[0])
    blotches *= np.sin(18 * (u * np.cos(b) + v * np.sin(b)) + phase[1])
    cycles, turns = _STRIPES[index]
    across = u * np.cos(2 * np.pi * turns) + v * np.sin(2 * np.pi * turns)
    stripes = np.sin(2 * np.pi * cycles * across + phase[2])
    fur = rng.standard_normal(u.shape)
    light = -70 * v
    pattern = (1 - own) * 16 * blotches + own * 26 * stripes + 7 * fur + light
    colour = coat + pattern[:, None]
    first, second = _MARKS[index]
    drawn = np.where(_mark(name, p, q)[:, None], first, second) + light[:, None] / 2
    # Where the mark stands out of the body there is coat below it: a faint mark is still body.
    opacity = knobs.part_strength * mark[:, None]
    return colour + opacity * (drawn - colour)


def _coat(rng: np.random.Generator, ground: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, " 3"]:
    at = rng.uniform(0, len(_COATS) - 1.001, 6)
    low, part = at.astype(int), (at % 1)[:, None]
    coats = _COATS[low] * (1 - part) + _COATS[low + 1] * part + 8 * rng.standard_normal((6, 3))
    distance = np.linalg.norm(coats - ground, axis=1)
    clear = distance >= 80
    return coats[np.argmax(clear) if clear.any() else np.argmax(distance)]


def _mark(
    name: str, p: Float64[np.ndarray, " pixels"], q: Float64[np.ndarray, " pixels"]
) -> Bool[np.ndarray, " pixels"]:
    """Where the first of the mark's two colours stands, in the mark's coordinates (unit disc)."""
    r, angle = np.hypot(p, q), np.arctan2(q, p)
    match name:
        case "ring":
            return (r > 0.35) & (r < 0.75)
        case "cross":
            return (np.abs(p) < 0.28) | (np.abs(q) < 0.28)
        case "bars":
            return np.sin(2.5 * np.pi * p) > 0
        case "checks":
            return (np.sin(1.6 * np.pi * p) > 0) ^ (np.sin(1.6 * np.pi * q) > 0)
        case "dots":
            return np.cos(2.4 * np.pi * p) * np.cos(2.4 * np.pi * q) > 0.25
        case "star":
            return r < 0.55 + 0.4 * np.cos(5 * angle)
        case "triangle":
            return (q < 0.5) & (q > 1.9 * np.abs(p) - 0.85)
        case "half":
            return q < 0
    raise ValueError(f"no mark is drawn for class '{name}'")
