"""Parameter groups and the poly schedule."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from wsss.training.recipe import Optimizer


def parameter_groups(
    network: nn.Module, new_layers: Iterable[nn.Module], recipe: Optimizer
) -> list[dict]:
    """The four groups of this field: pretrained and new layers, weights and the rest.

    Weights get lr (new layers ×head_multiplier) and weight decay; every other parameter gets
    ×bias_multiplier on top and no decay. Parameters that do not require gradients are left out.
    """
    new = {id(p) for layer in new_layers for p in layer.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = (id(parameter) in new, name.rsplit(".", 1)[-1] == "weight")
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.lr
            * (recipe.head_multiplier if is_new else 1.0)
            * (1.0 if is_weight else recipe.bias_multiplier),
            "weight_decay": recipe.weight_decay if is_weight else 0.0,
        }
        for (is_new, is_weight), parameters in sorted(groups.items())
    ]


def build_optimizer(groups: list[dict], recipe: Optimizer) -> torch.optim.Optimizer:
    """SGD or AdamW over `parameter_groups`."""
    if recipe.name == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def poly(
    optimizer: torch.optim.Optimizer, steps: int, power: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """lr(t) = lr(0) · (1 − t/steps)^power, per optimizer step; stays at its end after the last."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: max(1.0 - step / steps, 1e-8) ** power
    )
