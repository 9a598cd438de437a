"""The part of a recipe that every trained stage shares: schedule, batch, optimizer, precision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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


class Training(Recipe):
    """How long and in which batches a network is trained."""

    epochs: int = Field(15, ge=1)
    batch_size: int = Field(16, ge=1)
    accumulate: int = Field(1, ge=1, description="Batches whose mean gradient makes one step.")
    precision: Literal["32", "bf16"] = Field("32", description="bf16: autocast to bfloat16.")
    optimizer: Optimizer = Optimizer()
