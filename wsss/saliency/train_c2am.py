"""Training C²AM or C²AM-H from images, and class maps as hints, to a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader
from wsss.core.images import decode
from wsss.core.random import mix
from wsss.core.ranks import ranks
from wsss.nn.backbones import initialise
from wsss.nn.transforms import TrainTransform
from wsss.saliency.c2am import C2am
from wsss.saliency.c2am_learner import C2amLearner
from wsss.saliency.checks import require_size
from wsss.saliency.hints import HintedImages, require_hints
from wsss.saliency.recipe import C2amTrain
from wsss.training.to_file import train_to_file


class Images(Dataset):
    """Items: (image (3, crop, crop) float32,); no label of theirs is read."""

    def __init__(self, images: Path, transform: TrainTransform):
        self.reader, self.transform = ImageReader(images), transform

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> tuple[Tensor]:
        image, _ = self.transform(decode(self.reader[index].data))
        return (image,)


def train(
    recipe: C2amTrain,
    images: Path,
    *,
    hints: Path | Sequence[Path] | None,
    weights: Path | None,
    seed: int,
    threads: int,
    out: Path,
    gpus: int = 1,
) -> None:
    """Train C²AM on `images`, or C²AM-H with the class maps `hints`, and write it to `out`.

    hints: a maps file of the same images (or its shards); None exactly if recipe.hints is null.
    weights: the file of recipe.backbone.weights; None exactly if that is null.
    gpus: as of `train_to_file`; they share each batch.
    Same recipe, inputs, seed, threads and GPUs: same bytes of `out`, also after a resumption.
    Raises UserError before training for hints of another split, of other classes, of other sizes,
    with a background channel or outside [0, 1], that lack an image, or that say nothing; for tiny
    images, backbones without maps of several stages, unfit weights and too few images for a batch;
    and where the training diverges.
    """
    given = [hints] if isinstance(hints, Path) else list(hints or ())
    if bool(recipe.hints) != bool(given):
        remedy = "give their file as --hints" if recipe.hints else "set hints, or leave out --hints"
        raise UserError(f"the recipe's hints are {'set' if recipe.hints else 'null'}; {remedy}")
    torch.set_num_threads(threads)
    transform = TrainTransform(recipe.augment, recipe.backbone)
    dataset: Dataset = Images(images, transform)
    if recipe.hints is not None:
        dataset = HintedImages(images, given, transform)
        if ranks() == 1:  # before several processes begin
            require_hints(given, recipe.hints.threshold)
    with ImageReader(images) as reader:
        require_size(reader, images)
    torch.manual_seed(mix(seed, "initialise"))
    network = C2am(recipe.backbone)
    initialise(network.backbone, recipe.backbone, weights)
    learner = C2amLearner(network, recipe)
    train_to_file(
        learner,
        dataset,
        recipe,
        kind="c2am",
        module=__name__,
        inputs=[images, *given, weights],
        seed=seed,
        threads=threads,
        out=out,
        gpus=gpus,
        about=lambda: {"negative": learner.is_negative},
    )
