"""The training step of every objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import (
    MultilabelAveragePrecision,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
    MultilabelStatScores,
)
from torchmetrics.metric import CompositionalMetric

from wsss.classifier.mixing import mix_batch
from wsss.classifier.recipe import ClassifierRecipe
from wsss.nn.cam_network import CamNetwork
from wsss.training.learner import Learner
from wsss.training.optimizer import parameter_groups
from wsss.training.recipe import Optimizer


class ClassifierLearner(Learner):
    """Trains `network`, and the second player if the objective has one."""

    def __init__(self, network: CamNetwork, objective: nn.Module, recipe: ClassifierRecipe):
        super().__init__(network, recipe.training)
        self.objective, self.recipe = objective, recipe
        classes = network.head.out_channels
        self.compares_images = recipe.compares_images
        self.training_metrics = _metrics(classes)
        self.validation_metrics = _metrics(classes).clone(prefix="val_")
        # Of several processes one may have an image more. NaN is to be seen, not left out.
        self.validation_loss = MeanMetric(nan_strategy=float("nan"))

    def loss(self, batch: Sequence[Tensor]) -> tuple[Float[Tensor, ""], dict[str, Any]]:
        """The loss of images (b, 3, H, W) and their image-level labels (b, c) in {0, 1}."""
        images, labels = batch
        if self.recipe.augment.mix is not None:
            images, labels = mix_batch(images, labels, self.recipe.augment.mix)
        outcome = self.objective(self.network, images, labels, self.done)
        # Probabilities: torchmetrics would take logits that lie in [0, 1] by chance for such.
        probabilities = outcome.logits.detach().float().sigmoid()
        self.training_metrics.update(probabilities, (labels > 0).long())
        return outcome.loss, outcome.parts | dict(self.training_metrics.items())

    def validation_step(self, batch: Sequence[Tensor], _: int) -> None:
        """Metrics and the classification loss of held-out images with image-level labels."""
        images, labels = batch
        logits = self.network(images).logits
        self.validation_metrics.update(logits.float().sigmoid(), labels.long())
        self.validation_loss.update(self.objective.criterion(logits, labels), len(images))
        self.log_dict(dict(self.validation_metrics.items()) | {"val_loss": self.validation_loss})

    def parameter_groups(self, optimizer: Optimizer) -> list[dict]:
        """Of the network and, where the objective has one, of the second player."""
        groups = super().parameter_groups(optimizer)
        second = getattr(self.objective, "noc", None)
        if second is not None:
            for group in parameter_groups(second, [second.head], optimizer):
                group["lr"] *= self.objective.recipe.lr_multiplier
                groups.append(group)
        return groups


def _metrics(classes: int) -> MetricCollection:
    """Means over the classes that some image shows. mAP keeps an epoch's scores: binning them takes
    a matrix of gigabytes where torch's deterministic algorithms are on.
    """
    kinds = {
        "mAP": MultilabelAveragePrecision,
        "F1": MultilabelF1Score,
        "precision": MultilabelPrecision,
        "recall": MultilabelRecall,
    }
    return MetricCollection(
        {name: _of_shown(kind, classes) for name, kind in kinds.items()},
        compute_groups=False,  # shared states do not survive Lightning's resets
    )


def _of_shown(kind: type[Metric], classes: int) -> CompositionalMetric:
    """A metric of each class, averaged. Not validating, torchmetrics takes a single class, too."""
    options = {"average": "none", "validate_args": False}
    each, counts = kind(classes, **options), MultilabelStatScores(classes, **options)
    return CompositionalMetric(_mean_of_shown, each, counts)


def _mean_of_shown(values: Float[Tensor, "*c"], counts: Int[Tensor, "c 5"]) -> Float[Tensor, ""]:
    """Over classes with a positive label, the last count; 0 without any. One class has no axis."""
    shown = counts[:, 4] > 0
    return torch.where(shown, values, 0).sum() / shown.sum().clamp(min=1)
