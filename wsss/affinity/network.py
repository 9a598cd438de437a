"""The networks of the affinity stage by the names of `network.architecture`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from wsss.affinity.boundary_net import BoundaryNet
from wsss.affinity.recipe import NetworkRecipe
from wsss.core.files.model_file import load_into, read_model
from wsss.core.recipe import canonical_json
from wsss.nn.recipe import Backbone

# Each takes a backbone and maps images (b, 3, H, W) to boundary logits (b, h, w) at stride 4.
ARCHITECTURES: dict[str, Callable[[Backbone], nn.Module]] = {"boundary": BoundaryNet}


def build_network(recipe: NetworkRecipe) -> nn.Module:
    """The network that the recipe names, with its backbone's weights not yet loaded."""
    return ARCHITECTURES[recipe.architecture](recipe.backbone)


def load_network(path: Path) -> tuple[nn.Module, NetworkRecipe, dict[str, Any]]:
    """The network, its recipe and the header of a model file of kind "affinity".

    Raises UserError for a file of another kind, or a damaged one.
    """
    state, about = read_model(path, "affinity")
    recipe = NetworkRecipe.from_json(canonical_json(about["recipe"]))
    network = build_network(recipe)
    load_into(network, state, path)
    return network, recipe, about
