"""Saliency maps of every image of a split, into a maps file of one class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from wsss.core.files.store import Header, ImageReader, ImageRecord, MapWriter
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.core.maps import SALIENT
from wsss.core.shard import Shard
from wsss.nn.inference import augmented_mean, grid_size, in_order, ready
from wsss.nn.precision import autocast
from wsss.nn.recipe import Backbone
from wsss.saliency.c2am import load_c2am
from wsss.saliency.recipe import SaliencyMaps
from wsss.saliency.salient_network import load_saliency_network

Paths = Path | Sequence[Path]


def extract_c2am(
    recipe: SaliencyMaps,
    model: Path,
    images: Paths,
    *,
    shard: Shard = Shard(),
    threads: int,
    out: Path,
) -> None:
    """Write C²AM's map of each image to `out`: class 1, "salient", in [0, 1], of 8 bits.

    ReLU of the logits, or of their negative where training found the sides swapped. It is averaged
    over scales and flips on the grid ((H − 1) // s + 1, (W − 1) // s + 1) with s =
    recipe.map_stride, then divided by (its maximum + 1e-5). No label of the images is read.

    shard: the part of the images that is meant. Raises UserError where `model` is not a whole
    model file of C²AM, or `images` not a whole images file.
    """
    torch.set_num_threads(threads)
    trained = load_c2am(model)
    network = ready(trained.network)
    sign = -1 if trained.negative else 1

    def salience(x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1 h w"]:
        return (sign * network(x).logits).relu()

    def normalise(mean: Float[Tensor, "1 h w"]) -> Float[Tensor, "1 h w"]:
        return mean / (mean.amax() + 1e-5)

    _write(recipe, salience, normalise, trained.backbone, images, shard, trained.seed, out)


def extract_network(
    recipe: SaliencyMaps,
    model: Path,
    images: Paths,
    *,
    shard: Shard = Shard(),
    threads: int,
    out: Path,
) -> None:
    """Write a saliency network's map of each image to `out`: class 1, "salient", in [0, 1], 8 bits.

    The sigmoid of each scale and flip, averaged on the same grid as C²AM's maps. No label of the
    images is read. shard: the part of them that is meant. Raises UserError where `model` is not
    a whole model file of a saliency network, or `images` not a whole images file.
    """
    torch.set_num_threads(threads)
    trained = load_saliency_network(model)
    network = ready(trained.network)

    def salience(x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1 h w"]:
        return network(x).float().sigmoid()

    _write(recipe, salience, lambda mean: mean, trained.backbone, images, shard, trained.seed, out)


def _write(
    recipe: SaliencyMaps,
    salience: Callable[[Tensor], Tensor],
    finish: Callable[[Tensor], Tensor],
    backbone: Backbone,
    images: Paths,
    shard: Shard,
    seed: int,
    out: Path,
) -> None:
    def forward(x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1 h w"]:
        with autocast(recipe.precision, x.device.type):
            return salience(x)

    def maps(record: ImageRecord) -> Float32[np.ndarray, "1 h w"]:
        mean = augmented_mean(
            forward,
            decode(record.data),
            backbone,
            scales=recipe.scales,
            flip=recipe.flip,
            size=grid_size(record.size, recipe.map_stride),
        )
        return finish(mean).cpu().numpy()

    with ImageReader(images) as reader:
        made = {"image_labels": "not used", "seed": seed}
        header = Header("maps", reader.header.split, SALIENT, recipe.to_json(), made)
        with MapWriter(out, header, eight_bits=True) as writer:
            places = shard.part(range(len(reader)))
            bar = progress(
                in_order(reader, maps, chosen=places), total=len(places), what="saliency"
            )
            for record, found in bar:
                writer.add(record.id, record.size, np.array([1]), found)
