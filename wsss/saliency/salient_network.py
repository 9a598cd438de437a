"""Saliency networks by name, and from their model files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import nn

from wsss.core.files.model_file import load_into, read_model
from wsss.core.recipe import canonical_json
from wsss.nn.recipe import Backbone
from wsss.saliency.poolnet import PoolNet
from wsss.saliency.recipe import NetworkTrain
from wsss.saliency.unet import Unet

ARCHITECTURES: dict[str, type[nn.Module]] = {"poolnet": PoolNet, "unet": Unet}


class TrainedSaliency(NamedTuple):
    """A trained network whose call gives logits of what is salient."""

    network: nn.Module
    backbone: Backbone
    seed: int


def load_saliency_network(path: str | Path) -> TrainedSaliency:
    """Read a model file; UserError for one of another kind, or a damaged one."""
    state, about = read_model(path, "saliency")
    recipe = NetworkTrain.from_json(canonical_json(about["recipe"]))
    network = ARCHITECTURES[recipe.architecture](recipe.backbone)
    load_into(network, state, path)
    return TrainedSaliency(network, recipe.backbone, about["seed"])
