"""Backbones from timm: building, loading weights with checked keys, freezing BatchNorm."""

from __future__ import annotations

import re
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from wsss.core.command import log
from wsss.core.errors import UserError
from wsss.core.recipe import did_you_mean
from wsss.nn.recipe import Backbone


def build_trunk(recipe: Backbone) -> nn.Module:
    """The network up to its last feature map: (B, 3, H, W) → (B, num_features, H/s, W/s)."""
    return _create(recipe, num_classes=0, global_pool="")


def build_pyramid(recipe: Backbone) -> nn.Module:
    """The network with a list of every stage's feature maps; `feature_info` tells their shapes."""
    return _create(recipe, features_only=True)


def _create(recipe: Backbone, **options) -> nn.Module:
    if not timm.is_model(recipe.name):
        near = did_you_mean(recipe.name, timm.list_models()) if timm.list_models() else ""
        near = near if "did you mean" in near else " (see timm.list_models())"
        raise UserError(f"backbone.name: timm has no model '{recipe.name}'{near}")
    try:
        return timm.create_model(recipe.name, output_stride=recipe.output_stride, **options)
    except (TypeError, RuntimeError, NotImplementedError, AssertionError, ValueError) as error:
        raise UserError(
            f"backbone: timm cannot build '{recipe.name}' with output_stride "
            f"{recipe.output_stride} ({error}); choose another stride or network"
        ) from None


def initialise(network: nn.Module, recipe: Backbone, weights: Path | None) -> None:
    """Load the pretrained weights the recipe asks for; UserError if file and recipe disagree."""
    if recipe.weights is None and weights is not None:
        raise UserError(
            f"--weights {weights}: backbone.weights is null; set it, or leave out the file"
        )
    if recipe.weights is not None and weights is None:
        raise UserError(f"backbone.weights is '{recipe.weights}'; give its file as --weights")
    if weights is not None:
        load_weights(network, weights)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a backbone's weights: a trained classifier's, or a file in timm's naming.

    path: .safetensors or .pth. Every parameter and buffer of `network` must be in it with its
    shape; what it has beyond (a classification head) is left out and logged. UserError otherwise.
    """
    state = _read_state(path)
    own = network.state_dict()
    for key in own:
        # A pyramid of timm may call stages_0.x what the whole network calls stages.0.x.
        whole = re.sub(r"^(\w+)_(\d+)\.", r"\1.\2.", key)
        if key not in state and whole in state:
            state[key] = state.pop(whole)
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(own)} weights of the network are missing, e.g. "
            f"'{missing[0]}'; give weights of the same network in timm's naming"
        )
    wrong = [k for k in own if k in state and state[k].shape != own[k].shape]
    if wrong:
        key = wrong[0]
        raise UserError(
            f"{path}: '{key}' has shape {tuple(state[key].shape)}, the network needs "
            f"{tuple(own[key].shape)}; give weights of the same network"
        )
    extra = sorted({key.split(".")[0] for key in state if key not in own})
    if extra:
        log.info("%s: not used: %s", path, ", ".join(extra))
    network.load_state_dict(
        {k: state[k].to(own[k].dtype) if k in state else own[k] for k in own}, strict=True
    )


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; correct backbone.weights")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                ours = "wsss" in (file.metadata() or {})
            state = load_file(path)
            if ours:
                state = {
                    k.removeprefix("backbone."): v
                    for k, v in state.items()
                    if k.startswith("backbone.")
                }
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state) if isinstance(state, dict) else {}
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: not a readable weights file ({error})") from None
    except Exception as error:  # torch raises pickle's own error class for refused globals
        if type(error).__name__ != "UnpicklingError":
            raise
        raise UserError(
            f"{path}: holds more than tensors, refused; save a plain state dict"
        ) from None
    if not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"{path}: no weights in it; give a state dict")
    return state


def freeze_batch_norm(network: nn.Module) -> None:
    """Use running statistics and leave affine parameters untrained, now and after `.train()`."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
            module.eval()
            module.train = lambda mode=True, module=module: module  # Lightning calls .train()
