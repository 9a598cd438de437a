"""The part of a recipe that every trained stage shares: schedule, batch, optimizer, precision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from wsss.core.recipe import Recipe


class Optimizer(Recipe):
    """Optimizer and learning-rate schedule, as the papers of this field define them."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0, description="Learning rate of pretrained weights.")
    momentum: float = Field(0.0, ge=0, lt=1, description="SGD momentum. The published code runs 0.")
    nesterov: bool = False
    weight_decay: float = Field(1e-4, ge=0, description="On weights; biases get none.")
    head_multiplier: float = Field(10.0, gt=0, description="Learning-rate factor of new layers.")
    bias_multiplier: float = Field(2.0, gt=0, description="Learning-rate factor of biases.")
    power: float = Field(0.9, ge=0, description="Poly schedule: lr · (1 − step/steps)^power.")

    @model_validator(mode="after")
    def _check_momentum(self) -> Optimizer:
        if self.name == "adamw" and (self.momentum or self.nesterov):
            raise ValueError("momentum and nesterov are sgd's; leave them out with adamw")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum, such as 0.9")
        return self


class Ema(Recipe):
    """Exponential moving average of the weights, which is what the training leaves."""

    decay: float = Field(
        0.99, gt=0, lt=1, description="Per update. With few updates the first weights linger."
    )
    every: int = Field(32, ge=1, description="Optimizer steps from one update to the next.")
    start_epoch: int = Field(1, ge=0, description="Epochs before the average begins.")


class Training(Recipe):
    """How long and in which batches a network is trained."""

    epochs: int = Field(15, ge=1)
    batch_size: int = Field(16, ge=1)
    accumulate: int = Field(
        1,
        ge=1,
        description="Batches whose mean gradient makes one step; an epoch's last may have fewer.",
    )
    precision: Literal["32", "bf16"] = Field(
        "32", description="bf16: autocast to bfloat16, where the device has instructions for it."
    )
    optimizer: Optimizer = Optimizer()
    ema: Ema | None = Field(None, description="null: the weights as they are.")

    @model_validator(mode="after")
    def _check_ema(self) -> Training:
        if self.ema is not None and self.ema.start_epoch >= self.epochs:
            raise ValueError(
                f"ema.start_epoch {self.ema.start_epoch} is never reached in {self.epochs} epochs; "
                "lower it"
            )
        return self
