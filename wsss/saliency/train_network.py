"""Training a saliency network from images and pseudo saliency masks to a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from wsss.core.files.pairing import require_classes
from wsss.core.maps import SALIENT
from wsss.core.random import mix
from wsss.nn.backbones import initialise
from wsss.nn.datasets import MaskedImages
from wsss.nn.transforms import TrainTransform
from wsss.saliency.checks import require_both_sides, require_size
from wsss.saliency.network_learner import SaliencyLearner
from wsss.saliency.recipe import NetworkTrain
from wsss.saliency.salient_network import ARCHITECTURES
from wsss.training.to_file import train_to_file


def train_network(
    recipe: NetworkTrain,
    images: Path,
    masks: Path | Sequence[Path],
    *,
    weights: Path | None,
    seed: int,
    threads: int,
    out: Path,
    gpus: int = 1,
) -> None:
    """Train the recipe's network on the images that have a mask in `masks`, and write it to `out`.

    masks: pseudo saliency (or its shards), of the one class "salient"; 255 = ignored. No label is
    read.
    weights: the file of recipe.backbone.weights; None exactly if that is null.
    gpus: as of `train_to_file`; they share each batch.
    Same recipe, inputs, seed, threads and GPUs: same bytes of `out`, also after a resumption.
    Raises UserError before training for masks of another split, of other sizes, of other classes,
    without an image, or of one side only; for tiny images, backbones that the network cannot have,
    unfit weights and too few images for a batch; and where the training diverges.
    """
    torch.set_num_threads(threads)
    dataset = MaskedImages(images, masks, TrainTransform(recipe.augment, recipe.backbone))
    require_classes(dataset.masks, SALIENT, remedy="give the masks of wsss saliency masks")
    require_size(dataset.reader, images)
    require_both_sides(dataset.masks)
    torch.manual_seed(mix(seed, "initialise"))
    network = ARCHITECTURES[recipe.architecture](recipe.backbone)
    initialise(network.backbone, recipe.backbone, weights)
    train_to_file(
        SaliencyLearner(network, recipe),
        dataset,
        recipe,
        kind="saliency",
        module=__name__,
        inputs=[images, *dataset.masks.paths, weights],
        seed=seed,
        threads=threads,
        out=out,
        gpus=gpus,
    )
