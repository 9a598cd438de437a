"""The base of every stage's training step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
from torch import nn

from wsss.core.errors import UserError
from wsss.core.ranks import ranks
from wsss.training.optimizer import build_optimizer, parameter_groups, poly
from wsss.training.recipe import Optimizer, Training


class Learner(L.LightningModule):
    """Base of the stages' learners: `loss(batch)` returns the loss and what to log.

    Subclasses implement `loss`, and `validation_step` where they take validation data. They say
    which layers of `network` are new, or give all parameter groups.

    `network` is what the training is for, and `schedule` how long and how fast it is trained.
    `done` in [0, 1) is the share of the batches that are over. Several GPUs can share a batch: the
    loss is a mean over images, and what else it takes from the batch comes from all processes
    (`wsss.training.synchronised`). `compares_images`: half batches have another loss.
    """

    compares_images = False
    done = 0.0

    def __init__(self, network: nn.Module, schedule: Training):
        super().__init__()
        self.network, self.schedule = network, schedule

    def loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        """Scalar loss of a batch; detached scalars or torchmetrics of this module for the logs."""
        raise NotImplementedError

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        """One batch; stops on a loss that is not finite."""
        batches = self.trainer.num_training_batches
        self.done = (self.current_epoch * batches + index) / (self.trainer.max_epochs * batches)
        loss, logs = self.loss(batch)
        if not torch.isfinite(loss):
            raise UserError(
                f"training diverged: loss is {loss.item()} in epoch {self.current_epoch + 1}, step "
                f"{self.global_step}; lower optimizer.lr (the last good checkpoint is kept)"
            )
        shown = {"loss": loss.detach(), **logs}
        self.log_dict(shown, on_step=False, on_epoch=True, prog_bar=True, sync_dist=ranks() > 1)
        # Lightning divides by all batches of a step, of which an epoch's last may have fewer.
        whole = self.trainer.accumulate_grad_batches
        left = batches - index // whole * whole
        return loss if left >= whole else loss * (whole / left)

    def new_layers(self) -> Iterable[nn.Module]:
        """The layers of `network` that start from random numbers; the others are pretrained."""
        return [child for name, child in self.network.named_children() if name != "backbone"]

    def parameter_groups(self, optimizer: Optimizer) -> list[dict]:
        """What is trained, and each group's learning rate and weight decay."""
        return parameter_groups(self.network, self.new_layers(), optimizer)

    def configure_optimizers(self) -> dict[str, Any]:
        """The recipe's optimizer over `parameter_groups`, the poly schedule per optimizer step."""
        recipe = self.schedule.optimizer
        optimizer = build_optimizer(self.parameter_groups(recipe), recipe)
        schedule = poly(optimizer, int(self.trainer.estimated_stepping_batches), recipe.power)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
