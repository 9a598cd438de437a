"""Class scores of every image of a split, into a maps file with a background channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from wsss.core.files.pairing import require_classes
from wsss.core.files.store import Header, ImageReader, ImageRecord, MapWriter
from wsss.core.images import decode
from wsss.core.log import progress
from wsss.core.shard import Shard
from wsss.nn.inference import augmented_mean, grid_size, in_order, ready
from wsss.nn.precision import autocast
from wsss.segmentation.network import load_segmenter
from wsss.segmentation.recipe import PredictRecipe


def predict(
    recipe: PredictRecipe,
    model: Path,
    images: Path | Sequence[Path],
    *,
    shard: Shard = Shard(),
    threads: int,
    out: Path,
) -> None:
    """Write the class probabilities of each image to `out`; no label of the images is read.

    shard: the part of the images that is meant.

    The softmax of each scale and flip at the network's stride 4, averaged on the grid
    ((H − 1) // s + 1, (W − 1) // s + 1) with s = recipe.map_stride: float16 in [0, 1], class ids 0
    (background, always there) and those that reach recipe.min_score somewhere in the image.

    Raises UserError if the images' classes are not the model's.
    """
    torch.set_num_threads(threads)
    trained = load_segmenter(model)
    network = ready(trained.network)

    def probabilities(x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        with autocast(recipe.precision, x.device.type):
            logits = network(x)
        return logits.float().softmax(1)

    def scores(
        record: ImageRecord,
    ) -> tuple[Int[np.ndarray, " k"], Float32[np.ndarray, "k h w"]]:
        mean = augmented_mean(
            probabilities,
            decode(record.data),
            trained.backbone,
            scales=recipe.scales,
            flip=recipe.flip,
            size=grid_size(record.size, recipe.map_stride),
        )
        stored = mean.amax((1, 2)) >= recipe.min_score
        stored[0] = True
        classes = stored.nonzero()[:, 0]
        return classes.cpu().numpy(), mean[classes].cpu().numpy()

    with ImageReader(images) as reader:
        require_classes(reader, trained.classes, of=model, remedy="train it on the same data set")
        header = Header(
            "maps",
            reader.header.split,
            trained.classes,
            recipe.to_json(),
            {"image_labels": "not used", "seed": trained.seed},
        )
        with MapWriter(out, header) as writer:
            places = shard.part(range(len(reader)))
            found = in_order(reader, scores, chosen=places)
            bar = progress(found, total=len(places), what="predict")
            for record, (classes, maps) in bar:
                writer.add(record.id, record.size, classes, maps)
