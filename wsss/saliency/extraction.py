"""Saliency maps of every image of a split, by C²AM, into a maps file of one class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from wsss.core.command import progress
from wsss.core.images import decode
from wsss.core.store import Header, ImageReader, ImageRecord, MapWriter
from wsss.nn.inference import augmented_mean, in_order, ready, strided
from wsss.saliency.network import load_c2am
from wsss.saliency.recipe import SaliencyMaps

SALIENT = ("salient",)


def extract(
    recipe: SaliencyMaps, model: Path, images: Path | Sequence[Path], *, threads: int, out: Path
) -> None:
    """Write C²AM's map of each image to `out`: class 1, "salient", float16 in [0, 1].

    ReLU of the logits (of their negative, where training found the sides swapped), averaged over
    scales and flips on the grid ((H − 1) // s + 1, (W − 1) // s + 1) with s = recipe.map_stride,
    divided by (its maximum + 1e-5). No label of the images is read.
    """
    torch.set_num_threads(threads)
    trained = load_c2am(model)
    network = ready(trained.network)
    sign = -1 if trained.negative else 1

    def salient(x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1 h w"]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            return (sign * network(x).logits).relu()

    def maps(record: ImageRecord) -> Float32[np.ndarray, "1 h w"]:
        mean = augmented_mean(
            salient,
            decode(record.data),
            trained.backbone,
            scales=recipe.scales,
            flip=recipe.flip,
            size=strided(record.size, recipe.map_stride),
        )
        return (mean / (mean.amax() + 1e-5)).cpu().numpy()

    with ImageReader(images) as reader:
        more = {"image_labels": "not used", "seed": trained.seed}
        header = Header("maps", reader.header.split, SALIENT, recipe.to_json(), more)
        with MapWriter(out, header) as writer:
            bar = progress(in_order(reader, maps), total=len(reader), what="saliency")
            for record, found in bar:
                writer.add(record.id, record.size, np.array([1]), found)
