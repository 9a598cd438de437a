"""Training a segmentation network from images and masks to a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from wsss.core.files.pairing import require_classes
from wsss.core.random import mix
from wsss.nn.backbones import initialise
from wsss.nn.datasets import MaskedImages
from wsss.nn.transforms import TrainTransform
from wsss.segmentation.learner import SegmentationLearner
from wsss.segmentation.network import DeepLabV3Plus
from wsss.segmentation.recipe import TrainRecipe
from wsss.training.to_file import train_to_file


def train(
    recipe: TrainRecipe,
    images: Path,
    masks: Path | Sequence[Path],
    *,
    weights: Path | None,
    seed: int,
    threads: int,
    out: Path,
    gpus: int = 1,
) -> None:
    """Train DeepLabV3+ on the images that have a mask in `masks`, and write it to `out`.

    masks: pseudo masks (or their shards), or ground truth where the experiment is supervised; 255 =
    ignored. The image-level labels in `images` are not read.
    weights: the file of recipe.backbone.weights; None exactly if that is null.
    gpus: as of `train_to_file`; they share each batch.
    Same recipe, inputs, seed, threads and GPUs: same bytes of `out`, also after a resumption.
    Raises UserError for masks of other images or classes, unfit weights, too few images for a
    batch, and a training that diverges.
    """
    torch.set_num_threads(threads)
    dataset = MaskedImages(images, masks, TrainTransform(recipe.augment, recipe.backbone))
    classes = dataset.masks.header.classes
    known = dataset.reader.header.classes
    require_classes(dataset.masks, known, of=images, remedy="make the masks again")
    torch.manual_seed(mix(seed, "initialise"))
    network = DeepLabV3Plus(recipe.backbone, 1 + len(classes))
    initialise(network.backbone, recipe.backbone, weights)
    train_to_file(
        SegmentationLearner(network, recipe),
        dataset,
        recipe,
        kind="segmentation",
        module=__name__,
        inputs=[images, *dataset.masks.paths, weights],
        seed=seed,
        threads=threads,
        out=out,
        gpus=gpus,
        about=lambda: {"classes": list(classes)},
    )
