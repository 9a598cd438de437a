"""Training a classifier from an images file to a model file."""

from __future__ import annotations

from pathlib import Path

import torch

from wsss.classifier.balance import chosen_images, inverse_frequency
from wsss.classifier.learner import ClassifierLearner
from wsss.classifier.losses import Criterion
from wsss.classifier.objective import build_objective
from wsss.classifier.recipe import ClassifierRecipe
from wsss.core.errors import UserError
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import ImageReader
from wsss.core.log import log
from wsss.core.random import mix
from wsss.nn.backbones import initialise
from wsss.nn.cam_network import CamNetwork, load_cam_network
from wsss.nn.datasets import LabelledImages
from wsss.nn.rand_augment import RandAugment
from wsss.nn.recipe import Augment, LongSide
from wsss.nn.transforms import TrainTransform
from wsss.training.to_file import train_to_file


def train(
    recipe: ClassifierRecipe,
    images: Path,
    *,
    weights: Path | None,
    seed: int,
    threads: int,
    out: Path,
    gpus: int = 1,
    ordinary: Path | None = None,
    validation: Path | None = None,
    history: Path | None = None,
) -> None:
    """Train on the image-level labels of `images` and write the network to `out`.

    weights: the file of recipe.backbone.weights; None exactly if that is null.
    ordinary: the model file of recipe.ordinary; None exactly for objectives without one.
    validation: an images file whose labels are scored after every epoch; the weights depend on it
    with keep: best-val-map only. history: the scores of every epoch as CSV.
    gpus: as of `train_to_file`; they share each batch.
    Same recipe, inputs, seed, threads and GPUs: same bytes of `out`, also after a resumption.
    Raises UserError for a class without a positive image, unfit weights, an unfit ordinary
    classifier, other classes in `validation`, and a training that diverges.
    """
    torch.set_num_threads(threads)
    classes = _classes(images)
    torch.manual_seed(mix(seed, "initialise"))
    network = CamNetwork(recipe.backbone, len(classes), recipe.head)
    initialise(network.backbone, recipe.backbone, weights)
    judge = _ordinary(recipe, ordinary, images)
    held_out = None if validation is None else _held_out(recipe, validation, images, classes)
    best = recipe.keep == "best-val-map"
    if best and held_out is None:
        raise UserError("keep: best-val-map needs --validation; give the images file of val")
    dataset, class_weights = _training_data(recipe, images, seed)
    criterion = Criterion(recipe.label_smoothing, class_weights)
    objective = build_objective(recipe, criterion, judge)
    train_to_file(
        ClassifierLearner(network, objective, recipe),
        dataset,
        recipe,
        kind="classifier",
        module=__name__,
        inputs=[images, weights, ordinary, validation if best else None],
        seed=seed,
        threads=threads,
        out=out,
        gpus=gpus,
        about=lambda: {"classes": list(classes)},
        validation=held_out,
        best="val_mAP" if best else None,
        history=history,
    )


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


def _ordinary(recipe: ClassifierRecipe, path: Path | None, images: Path) -> CamNetwork | None:
    wanted = getattr(recipe, "ordinary", None)
    if wanted is None:
        if path is not None:
            raise UserError(
                f"--ordinary {path}: objective {recipe.objective} has none; leave it out"
            )
        return None
    if path is None:
        raise UserError(f"objective {recipe.objective} needs --ordinary; give '{wanted}' as a file")
    found = load_cam_network(path)
    with ImageReader(images) as reader:
        require_classes(reader, found.classes, of=path, remedy="train it on these images")
    same = (found.backbone.mean, found.backbone.std) == (recipe.backbone.mean, recipe.backbone.std)
    if not same:
        raise UserError(
            f"{path}: it takes images normalised with another backbone.mean or std than this "
            "recipe's; use one normalisation for both"
        )
    return found.network


def _training_data(
    recipe: ClassifierRecipe, images: Path, seed: int
) -> tuple[LabelledImages, torch.Tensor | None]:
    """The images that an epoch sees, and the weights of the classes."""
    augment = recipe.augment
    extra = []
    if augment.rand_augment is not None:
        chosen = augment.rand_augment
        extra.append(RandAugment(chosen.operations, chosen.magnitude, chosen.cutout))
    with ImageReader(images) as reader:
        labels = reader.labels
    indices = chosen_images(labels, recipe.balance, unlabelled=recipe.unlabelled, seed=seed)
    if len(indices) != len(labels) or len(set(indices.tolist())) != len(labels):
        log.info(
            "%s: %d of %d images are used, %d samples an epoch",
            images,
            len(set(indices.tolist())),
            len(labels),
            len(indices),
        )
    weights = None
    if recipe.class_weights == "inverse-frequency":
        weights = torch.from_numpy(inverse_frequency(labels[indices]))
    transform = TrainTransform(augment, recipe.backbone, extra)
    return LabelledImages(images, transform, indices.tolist()), weights


def _held_out(
    recipe: ClassifierRecipe, images: Path, training: Path, classes: tuple[str, ...]
) -> LabelledImages:
    """Whole images, long side resized to the crop and padded, without other augmentation.

    training: the images of training, which have these classes.
    """
    crop = recipe.augment.crop
    augment = Augment(crop=crop, resize=LongSide(min=crop, max=crop), flip=False)
    held_out = LabelledImages(images, TrainTransform(augment, recipe.backbone))
    require_classes(held_out.reader, classes, of=training, remedy="prepare both again")
    if not len(held_out):
        raise UserError(f"{images}: holds no image to validate by; list some, or leave it out")
    return held_out
