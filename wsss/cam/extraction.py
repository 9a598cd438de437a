"""Class activation maps of every image of a split, into a maps file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32

from wsss.cam.recipe import CamRecipe
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import Header, ImageReader, ImageRecord, MapWriter
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.core.shard import Shard
from wsss.nn.cam_network import load_cam_network
from wsss.nn.inference import augmented_mean, grid_size, in_order, places_with_masks, ready


def extract(
    recipe: CamRecipe,
    model: Path,
    images: Path | Sequence[Path],
    *,
    masks: Path | None = None,
    shard: Shard = Shard(),
    threads: int,
    out: Path,
) -> None:
    """Write the CAMs of each image's labelled classes to `out`.

    A = ReLU(class maps), averaged over scales and flips on the grid ((H − 1) // s + 1,
    (W − 1) // s + 1) with s = recipe.map_stride, each class divided by (its maximum + 1e-5):
    float16 in [0, 1]. Classes are the image-level labels given in `images`, not the classifier's
    guess; an image without labels gets K = 0 maps.

    masks: the masks file whose images are meant by recipe.images "with-masks"; None for "all". Of
    it only the names of the images are read. shard: the part of these images that is meant.

    Raises UserError if the images' classes are not the model's.
    """
    torch.set_num_threads(threads)
    trained = load_cam_network(model, recipe.output_stride)
    network = ready(trained.network)

    def maps(record: ImageRecord) -> Float32[np.ndarray, "k h w"]:
        size = grid_size(record.size, recipe.map_stride)
        present = torch.from_numpy(np.flatnonzero(record.labels))
        if len(present) == 0:
            return np.zeros((0, *size), np.float32)
        mean = augmented_mean(
            lambda x: network(x).maps[:, present].relu(),
            decode(record.data),
            trained.backbone,
            scales=recipe.scales,
            flip=recipe.flip,
            size=size,
        )
        return normalise_maps(mean.cpu().numpy())

    with ImageReader(images) as reader:
        require_classes(reader, trained.classes, of=model, remedy="train it on the same data set")
        header = Header(
            "maps",
            reader.header.split,
            trained.classes,
            recipe.to_json(),
            {"image_labels": "given", "seed": trained.seed},
        )
        places = shard.part(places_with_masks(reader, masks, recipe.images))
        with MapWriter(out, header) as writer:
            bar = progress(in_order(reader, maps, chosen=places), total=len(places), what="cam")
            for record, found in bar:
                writer.add(record.id, record.size, np.flatnonzero(record.labels) + 1, found)


def normalise_maps(maps: Float[np.ndarray, "k h w"]) -> Float[np.ndarray, "k h w"]:
    """Divide each non-negative map by (its maximum + 1e-5); in [0, 1), zeros stay zeros."""
    return maps / (maps.max(axis=(1, 2), keepdims=True) + maps.dtype.type(1e-5))
