"""Training a boundary network from affinity labels to a model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from wsss.affinity.loss import affinity_loss
from wsss.affinity.network import build_network
from wsss.affinity.recipe import STRIDE, NetworkRecipe
from wsss.core.errors import UserError
from wsss.core.files.pairing import require_classes
from wsss.core.files.store import MaskReader
from wsss.core.images import IGNORE
from wsss.core.random import mix
from wsss.nn.backbones import initialise
from wsss.nn.datasets import MaskedImages
from wsss.nn.transforms import TrainTransform
from wsss.training.learner import Learner
from wsss.training.to_file import train_to_file


class AffinityLearner(Learner):
    """The loss of pairs on the boundary map of `network`; only its new layers are trained."""

    def __init__(self, network: nn.Module, recipe: NetworkRecipe):
        super().__init__(network, recipe.training)
        self.recipe = recipe

    def loss(
        self, batch: Sequence[Tensor]
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The loss of images (b, 3, H, W) and their affinity labels (b, H, W), 255 uncertain."""
        images, labels = batch
        images = images.contiguous(memory_format=torch.channels_last)
        boundary = self.network(images).float().sigmoid()
        # Output pixel i of the convolutions looks at image pixel 4i: so does the nearest label.
        return affinity_loss(boundary, labels[:, ::STRIDE, ::STRIDE], self.recipe.radius)


def train(
    recipe: NetworkRecipe,
    images: Path,
    labels: Path | Sequence[Path],
    *,
    weights: Path | None,
    seed: int,
    threads: int,
    out: Path,
    gpus: int = 1,
) -> None:
    """Train the recipe's network on the labels of `labels` (or its shards) and write it to `out`.

    images: an images file that holds at least the ids of `labels`; its image-level labels are not
    used. weights: the file of recipe.backbone.weights.
    gpus: as of `train_to_file`; they share each batch.
    Same recipe, inputs, seed, threads and GPUs: same bytes of `out`, also after a resumption.
    Raises UserError for files that do not fit each other, labels without a boundary, unfit weights,
    and a training that diverges.
    """
    torch.set_num_threads(threads)
    transform = TrainTransform(recipe.augment, recipe.backbone)
    dataset = MaskedImages(images, labels, transform)
    known = dataset.reader.header.classes
    require_classes(dataset.masks, known, of=images, remedy="make the labels again")
    _require_boundaries(dataset.masks)
    torch.manual_seed(mix(seed, "initialise"))
    network = build_network(recipe)
    initialise(network.backbone, recipe.backbone, weights)
    train_to_file(
        AffinityLearner(network, recipe),
        dataset,
        recipe,
        kind="affinity",
        module=__name__,
        inputs=[images, *dataset.masks.paths, weights],
        seed=seed,
        threads=threads,
        out=out,
        gpus=gpus,
        about=lambda: {"classes": list(dataset.masks.header.classes)},
    )


def _require_boundaries(labels: MaskReader) -> None:
    """UserError where no image has two labels, such as for maps or saliency that are constant."""
    with labels:  # closed again before the loader's workers start
        if any(np.unique(mask[mask != IGNORE]).size > 1 for _, mask in labels):
            return
    raise UserError(
        f"{labels.paths[0]}: no image has two labels, so no boundary can be learnt; look at "
        "the maps and the saliency that they were made from, and at labels.foreground, "
        "labels.background and labels.salient"
    )
