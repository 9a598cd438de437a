"""Toy scenes: which classes, on which ground, where; and the exact truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from wsss.core.random import generator
from wsss.data.kind import Split
from wsss.data.toy.knobs import Knobs
from wsss.data.toy.objects import Pose, outline, paint_object
from wsss.data.toy.textures import GROUNDS, paint_ground, smooth_noise

_COMPANY = 0.25  # probability of one more class, whichever, on top of co-occurrence
_SHRINK = (1.0, 0.75, 0.5)  # an object that finds no room is tried smaller, then left out
_TRIES = 12


@dataclass(frozen=True)
class Scene:
    """An image and all that is true of it.

    mask: class ids, 0 background. instances: 0 background, 1… objects from far to near.
    classes (n,): class id of each instance. boxes (n, 4): x0, y0, x1, y1 of its visible pixels in
    pixels, ends exclusive. labels (C,): image-level labels in {0, 1}: the classes in the mask, less
    those that `missing_labels` drops in train.
    """

    image: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    instances: UInt8[np.ndarray, "h w"]
    classes: Int64[np.ndarray, " n"]
    boxes: Int64[np.ndarray, "n 4"]
    labels: UInt8[np.ndarray, " c"]


def generate(knobs: Knobs, split: Split, index: int) -> Scene:
    """Scene `index` (from 0) of a split; the same arguments give the same bytes."""
    seed = (knobs.seed, "toy", split, index)
    present = _classes(knobs, generator(*seed, "classes"))
    sites = _sites(generator(*seed, "sites"), len(present) + 1)
    image = _background(knobs, generator(*seed, "background"), present, sites)
    instances, classes = _place(knobs, seed, present, sites, image)
    mask = np.concatenate([[0], classes]).astype(np.uint8)[instances]
    labels = np.zeros(knobs.classes, np.uint8)
    labels[np.unique(classes) - 1] = 1
    if split == "train":
        kept = generator(*seed, "labels").uniform(size=knobs.classes) >= knobs.missing_labels
        labels *= kept
    finished = _photograph(generator(*seed, "camera"), image)
    return Scene(finished, mask, instances, classes, _boxes(instances, len(classes)), labels)


def _classes(knobs: Knobs, rng: np.random.Generator) -> list[int]:
    """Indices of the classes that the scene shall hold, the first drawn by the long tail."""
    weights = (1 - knobs.long_tail) ** (np.arange(knobs.classes) / (knobs.classes - 1))
    first, other = rng.choice(knobs.classes, 2, p=weights / weights.sum())
    together, company = rng.uniform(size=2)
    present = [int(first)]
    partner = present[0] ^ 1
    if together < knobs.co_occurrence and partner < knobs.classes:
        present.append(partner)
    if company < _COMPANY and other not in present:
        present.append(int(other))
    return present


def _sites(rng: np.random.Generator, count: int) -> Float64[np.ndarray, "count 2"]:
    """Centres (y, x) of the grounds in image sides: on a circle, so that they lie apart."""
    turns = (rng.uniform() + np.arange(count) / count) * 2 * np.pi
    circle = 0.26 * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    return 0.5 + circle + rng.normal(0, 0.04, (count, 2))


def _background(
    knobs: Knobs, rng: np.random.Generator, present: list[int], sites: np.ndarray
) -> Float64[np.ndarray, "size size 3"]:
    """Grounds with wavy borders: one per class, around its site, and one that belongs to none."""
    size = knobs.size
    at_home = rng.uniform(size=len(sites)) < knobs.background_bias
    drawn = rng.integers(0, len(GROUNDS), len(sites))
    kinds = [c if home else g for c, home, g in zip(present, at_home, drawn, strict=False)]
    kinds.append(int(drawn[-1]))
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    y = y + 0.06 * smooth_noise(rng, 4, 4, size)
    x = x + 0.06 * smooth_noise(rng, 4, 4, size)
    distance = np.stack([(y - sy) ** 2 + (x - sx) ** 2 for sy, sx in sites])
    # The one that belongs to none is smaller: it starts farther away.
    distance[-1] += 0.04
    share = np.exp(-(distance - distance.min(axis=0)) * 400)
    share /= share.sum(axis=0)
    image = np.zeros((size, size, 3))
    for kind, part in zip(kinds, share, strict=True):
        image += part[..., None] * paint_ground(rng, GROUNDS[kind], size)
    return image


def _place(
    knobs: Knobs, seed: tuple, present: list[int], sites: np.ndarray, image: np.ndarray
) -> tuple[UInt8[np.ndarray, "size size"], Int64[np.ndarray, " n"]]:
    """Paint the objects into `image`, far to near; returns instance map and class ids."""
    instances = np.zeros((knobs.size, knobs.size), np.uint8)
    classes: list[int] = []
    areas = [1.0]  # of the whole objects, as far as they lie in the image; entry 0 is background
    for position, index in enumerate(present):
        count = generator(*seed, "count", index).integers(1, knobs.max_instances + 1)
        for number in range(count):
            rng = generator(*seed, "object", index, number)
            length = knobs.size * rng.uniform(knobs.scale_min, knobs.scale_max)
            pose = Pose.draw(rng)
            spots = rng.normal(0, 0.14, (len(_SHRINK), _TRIES, 2))
            for smaller, offsets in zip(_SHRINK, spots, strict=True):
                shape = outline(pose, length * smaller, knobs.part_size)
                window = _room(shape.whole, sites[position] + offsets, instances, areas, knobs)
                if window is not None:
                    break
            else:
                continue
            inside, outside = window
            covered = shape.whole[inside]
            ground = image[outside][covered].mean(axis=0)
            name = knobs.class_names[index]
            image[outside][covered] = paint_object(rng, shape, inside, name, ground, knobs)
            classes.append(index + 1)
            areas.append(float(covered.sum()))
            instances[outside][covered] = len(classes)
    return instances, np.array(classes, np.int64)


def _room(
    whole: np.ndarray, spots: np.ndarray, instances: np.ndarray, areas: list[float], knobs: Knobs
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """The first spot where an object hides no earlier one too much: slices of window and image."""
    size, half = knobs.size, whole.shape[0] // 2
    seen = np.bincount(instances.ravel(), minlength=len(areas))
    # The border may cut an object, but its centre keeps away: a sliver would show no class.
    low = min(int(0.4 * half) + 1, size // 2)
    for centre in np.clip(np.rint(spots * size).astype(int), low, size - 1 - low):
        inside, outside = [], []
        for middle in centre:
            start, stop = max(0, middle - half), min(size, middle + half + 1)
            outside.append(slice(start, stop))
            inside.append(slice(start - middle + half, stop - middle + half))
        below = instances[tuple(outside)][whole[tuple(inside)]]
        left = seen - np.bincount(below, minlength=len(areas))
        if (left[1:] >= (1 - knobs.occlusion) * np.array(areas[1:])).all():
            return tuple(inside), tuple(outside)
    return None


def _photograph(
    rng: np.random.Generator, image: Float64[np.ndarray, "size size 3"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Uneven light, a lens that blurs by a pixel, sensor noise, 8 bits."""
    size = image.shape[0]
    light = 1 + 0.1 * rng.standard_normal() + 0.08 * smooth_noise(rng, 2, 2, size)
    lit = (image * light[..., None]).astype(np.float32)
    lit = np.pad(lit, ((1, 1), (1, 1), (0, 0)), mode="edge")
    lit = (lit[:-2] + 2 * lit[1:-1] + lit[2:]) / 4
    lit = (lit[:, :-2] + 2 * lit[:, 1:-1] + lit[:, 2:]) / 4
    lit += 4 * rng.standard_normal((size, size, 1), np.float32)
    lit += 2 * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _boxes(instances: UInt8[np.ndarray, "h w"], count: int) -> Int64[np.ndarray, "n 4"]:
    boxes = np.zeros((count, 4), np.int64)
    for i in range(count):
        y, x = np.nonzero(instances == i + 1)
        boxes[i] = x.min(), y.min(), x.max() + 1, y.max() + 1
    return boxes
