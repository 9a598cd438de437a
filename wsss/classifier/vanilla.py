"""The vanilla objective: the multi-label soft margin loss on the pooled class maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MultilabelAveragePrecision,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
)

from wsss.classifier.losses import smooth_labels, soft_margin
from wsss.classifier.recipe import ClassifierRecipe
from wsss.core.optimizer import build_optimizer, parameter_groups, poly
from wsss.core.train import Learner
from wsss.nn.cam_network import CamNetwork


class Vanilla(Learner):
    """L = soft_margin(GAP(A(x)), smoothed y), with A the class maps of `network`."""

    def __init__(self, network: CamNetwork, recipe: ClassifierRecipe):
        super().__init__()
        self.network = network
        self.recipe = recipe
        classes = network.head.out_channels
        self.training_metrics = _metrics(classes)
        self.validation_metrics = _metrics(classes).clone(prefix="val_")

    def loss(self, batch: Sequence[Tensor]) -> tuple[Float[Tensor, ""], dict[str, Any]]:
        """The loss of images (b, 3, H, W) and their image-level labels (b, c) in {0, 1}."""
        images, labels = batch
        logits = self._logits(images)
        self.training_metrics.update(logits.detach(), labels.long())
        loss = soft_margin(logits, smooth_labels(labels, self.recipe.label_smoothing))
        return loss, dict(self.training_metrics.items())

    def validation_step(self, batch: Sequence[Tensor], _: int) -> None:
        """Metrics and the unsmoothed loss of held-out images with image-level labels."""
        images, labels = batch
        logits = self._logits(images)
        self.validation_metrics.update(logits, labels.long())
        self.log_dict(
            dict(self.validation_metrics.items()) | {"val_loss": soft_margin(logits, labels)}
        )

    def configure_optimizers(self) -> dict[str, Any]:
        """Four parameter groups and the poly schedule, per optimizer step."""
        recipe = self.recipe.training.optimizer
        groups = parameter_groups(self.network, [self.network.head], recipe)
        optimizer = build_optimizer(groups, recipe)
        schedule = poly(optimizer, int(self.trainer.estimated_stepping_batches), recipe.power)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _logits(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c"]:
        return self.network(images).float().mean((2, 3))


def _metrics(classes: int) -> MetricCollection:
    """Macro over classes. mAP keeps an epoch's scores: binning them takes a matrix of gigabytes
    where torch's deterministic algorithms are on.
    """
    return MetricCollection(
        {
            "mAP": MultilabelAveragePrecision(classes),
            "F1": MultilabelF1Score(classes),
            "precision": MultilabelPrecision(classes),
            "recall": MultilabelRecall(classes),
        },
        compute_groups=False,  # shared states do not survive Lightning's resets
    )
