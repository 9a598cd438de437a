"""Training a classifier from an images file to a model file."""

from __future__ import annotations

from pathlib import Path

import torch

from wsss.classifier.recipe import ClassifierRecipe
from wsss.classifier.vanilla import Vanilla
from wsss.core.digest import code_digest
from wsss.core.errors import UserError
from wsss.core.model_file import save_model
from wsss.core.random import mix
from wsss.core.store import ImageReader, software_versions
from wsss.core.train import discard_checkpoints, fingerprint, fit
from wsss.nn.backbones import initialise
from wsss.nn.cam_network import CamNetwork
from wsss.nn.datasets import LabelledImages, loader_workers
from wsss.nn.recipe import Augment, LongSide
from wsss.nn.transforms import TrainTransform


def train(
    recipe: ClassifierRecipe,
    images: Path,
    *,
    weights: Path | None,
    seed: int,
    threads: int,
    out: Path,
    validation: Path | None = None,
) -> None:
    """Train on the image-level labels of `images` and write the network to `out`.

    weights: the file of recipe.backbone.weights; None exactly if that is null.
    validation: an images file whose labels are scored after every epoch (log and history only;
    the weights do not depend on it).
    Same recipe, inputs, seed and threads: same bytes of `out`, also after a resumption.
    Raises UserError for a class without a positive image, unfit weights, other classes in
    `validation`, and a training that diverges.
    """
    torch.set_num_threads(threads)
    classes = _classes(images)
    torch.manual_seed(mix(seed, "initialise"))
    network = CamNetwork(recipe.backbone, len(classes))
    initialise(network.backbone, recipe.backbone, weights)
    inputs = [images] if weights is None else [images, weights]
    fit(
        Vanilla(network, recipe),
        LabelledImages(images, TrainTransform(recipe.augment, recipe.backbone)),
        recipe.training,
        seed=seed,
        out=out,
        resume_key=fingerprint(recipe.to_json(), seed, code_digest(__name__), inputs),
        workers=loader_workers(threads),
        validation=None if validation is None else _held_out(recipe, validation, classes),
    )
    about = {
        "kind": "classifier",
        "recipe": recipe.model_dump(mode="json"),
        "classes": list(classes),
        "seed": seed,
        "software": software_versions(),
    }
    save_model(out, network, about)
    discard_checkpoints(out)


def _classes(images: Path) -> tuple[str, ...]:
    with ImageReader(images) as reader:
        classes = reader.header.classes
        absent = [name for name, n in zip(classes, reader.labels.sum(0), strict=True) if n == 0]
    if absent:
        raise UserError(
            f"{images}: no training image of {', '.join(absent)}; "
            "add images of it or leave it out of the data set's classes"
        )
    return classes


def _held_out(recipe: ClassifierRecipe, images: Path, classes: tuple[str, ...]) -> LabelledImages:
    """Whole images, long side resized to the crop and padded, without other augmentation."""
    crop = recipe.augment.crop
    augment = Augment(crop=crop, resize=LongSide(min=crop, max=crop), flip=False)
    held_out = LabelledImages(images, TrainTransform(augment, recipe.backbone))
    if held_out.reader.header.classes != classes:
        raise UserError(
            f"{images}: its classes are not those of the training images; prepare both again"
        )
    return held_out
