"""Backbones: building, freezing, and loading weights with checked keys."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from timm.models import FeatureInfo, FeatureListNet
from torch import nn
from torch.func import functional_call

from wsss.core.errors import UserError
from wsss.core.log import log
from wsss.core.mistakes import did_you_mean
from wsss.nn.folding import fold_batch_norm
from wsss.nn.mxnet_params import read_params, wide_resnet38_names
from wsss.nn.recipe import WIDE_RESNET38, Backbone
from wsss.nn.token_maps import give_maps
from wsss.nn.vgg import vgg_trunk
from wsss.nn.wide_resnet38 import WideResNet38

_PROBE = (225, 353)  # multiples of none of the usual strides, which they distinguish
_TIMM_CANNOT = (TypeError, RuntimeError, NotImplementedError, AssertionError, ValueError)


def build_trunk(recipe: Backbone) -> nn.Module:
    """The network up to its last feature map: (B, 3, H, W) → (B, num_features, ⌈H/s⌉, ⌈W/s⌉).

    s is the recipe's output stride. A ViT or Swin first pads sides that are not multiples of its
    patch with 0, at the right and below; so the last row and column may lie partly outside of the
    image. A few convolutional networks of timm (DenseNet) round down instead.
    Raises UserError for a network that timm has not, that has no maps of any input size, or whose
    stride is another. Freezes nothing: see `freeze`.
    """
    if recipe.name == WIDE_RESNET38:
        return WideResNet38()
    _require_known(recipe.name)
    if recipe.name.startswith("vgg"):
        return vgg_trunk(recipe.name, recipe.output_stride)
    network = _create_trunk(recipe)
    # timm's own number is another where its head begins with a convolution (MobileNetV3).
    network.num_features, stride = _probe(network, recipe.name)
    _require_stride(stride, recipe)
    fold_batch_norm(network)
    return network


def build_pyramid(recipe: Backbone) -> nn.Module:
    """The network with a list of every stage's feature maps; `feature_info` has their shapes.

    Raises UserError for a network that timm cannot build so; all transformers are among them.
    """
    if recipe.name == WIDE_RESNET38:
        network = WideResNet38()
        return FeatureListNet(network, out_indices=tuple(range(len(network.feature_info))))
    _require_known(recipe.name)
    try:
        network = timm.create_model(
            recipe.name, features_only=True, output_stride=recipe.output_stride
        )
    except _TIMM_CANNOT as error:
        raise UserError(
            f"backbone: timm cannot build '{recipe.name}' as a pyramid with output_stride "
            f"{recipe.output_stride} ({_line(error)}); choose a convolutional network such as "
            f"resnet50, or another stride"
        ) from None
    _require_stride(network.feature_info.reduction()[-1], recipe)
    fold_batch_norm(network)
    return network


def _require_known(name: str) -> None:
    if not timm.is_model(name):
        near = did_you_mean(name, [*timm.list_models(), WIDE_RESNET38])
        near = near if "did you mean" in near else " (see timm.list_models())"
        raise UserError(f"backbone.name: timm has no model '{name}'{near}")


def _create_trunk(recipe: Backbone) -> nn.Module:
    try:
        return timm.create_model(
            recipe.name, num_classes=0, global_pool="", output_stride=recipe.output_stride
        )
    except _TIMM_CANNOT:
        pass  # no such option: a transformer, or a network of one stride
    for option in ({"dynamic_img_size": True}, {"strict_img_size": False}):
        try:
            network = timm.create_model(recipe.name, num_classes=0, **option)
            # Not global_pool="" above: with it some networks have their last norm elsewhere, and
            # another name for its weights.
            network.reset_classifier(0, "")
            give_maps(network)
            return network
        except _TIMM_CANNOT:
            continue
    try:
        return timm.create_model(recipe.name, num_classes=0, global_pool="")
    except _TIMM_CANNOT as error:
        raise UserError(
            f"backbone: timm cannot build '{recipe.name}' as feature maps ({_line(error)}); "
            f"choose another network"
        ) from None


def _line(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


def _probe(network: nn.Module, name: str) -> tuple[int, int]:
    """Channels and stride of a network's maps, from a run without numbers on the meta device."""
    tensors = chain(network.named_parameters(), network.named_buffers())
    state = {key: value.to("meta") for key, value in tensors}
    images = torch.empty(1, 3, *_PROBE, device="meta")
    try:
        network.eval()
        with torch.no_grad():
            maps = functional_call(network, state, images)
    except (*_TIMM_CANNOT, AttributeError, IndexError) as error:
        raise UserError(
            f"backbone.name: '{name}' cannot take images of any size ({_line(error)}); choose "
            f"another network"
        ) from None
    finally:
        network.train()
    shape = tuple(maps.shape) if isinstance(maps, torch.Tensor) else ()
    for stride in (8, 16, 32, *range(1, 65)):
        bounds = [(side // stride, -(-side // stride)) for side in _PROBE]
        if len(shape) == 4 and shape[2] in bounds[0] and shape[3] in bounds[1]:
            return shape[1], stride
    raise UserError(
        f"backbone.name: '{name}' gives {shape} for {images.shape[2]}×{images.shape[3]} pixels, "
        f"no feature maps; choose another network"
    )


def _require_stride(stride: int, recipe: Backbone) -> None:
    if stride != recipe.output_stride:
        remedy = (
            f"set output_stride: {stride}" if stride in (8, 16, 32) else "choose another network"
        )
        raise UserError(
            f"backbone.output_stride: '{recipe.name}' gives stride {stride}, not "
            f"{recipe.output_stride}; {remedy}"
        )


def freeze(network: nn.Module, recipe: Backbone) -> None:
    """Apply `batch_norm` and `frozen_stages` to a trunk or a pyramid of that recipe.

    It lasts through `.train()`, which Lightning calls. What is frozen has no gradient.
    Raises UserError for more stages than the network has.
    """
    if recipe.batch_norm != "train":
        freeze_batch_norm(network, train_affine=recipe.batch_norm == "eval")
    for module in _first_modules(network, recipe):
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            freeze_batch_norm(module)


def _first_modules(network: nn.Module, recipe: Backbone) -> list[nn.Module]:
    """All modules up to and including the last of the frozen stages, in timm's order."""
    if recipe.frozen_stages == 0:
        return []
    info = getattr(network, "feature_info", [])
    stages = [s["module"] for s in (info.get_dicts() if isinstance(info, FeatureInfo) else info)]
    modules = list(network.named_modules())
    for names in (stages, [stage.replace(".", "_", 1) for stage in stages]):  # see load_weights
        if names and {name for name, _ in modules}.issuperset(names):
            break
    else:
        raise UserError(
            f"backbone.frozen_stages: timm lists no stages of '{recipe.name}'; set it to 0"
        )
    if recipe.frozen_stages > len(names):
        raise UserError(
            f"backbone.frozen_stages: '{recipe.name}' has {len(names)} stages "
            f"({', '.join(stages)}), not {recipe.frozen_stages}; set it to {len(names)} at most"
        )
    end = names[recipe.frozen_stages - 1]
    last = max(i for i, (name, _) in enumerate(modules) if f"{name}.".startswith(f"{end}."))
    return [module for _, module in modules[: last + 1]]


def freeze_batch_norm(network: nn.Module, train_affine: bool = False) -> None:
    """Use running statistics, now and after `.train()`.

    train_affine: the affine parameters are trained (FixedBatchNorm of IRN and Puzzle-CAM); else
    they have no gradient.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(train_affine)
            module.eval()
            module.train = lambda mode=True, module=module: module  # Lightning calls .train()


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

    path: .safetensors, .pth, or .params (MXNet's, of WideResNet38). Every parameter and buffer of
    `network` must be in it with its shape; what it has beyond (a classification head) is left out
    and logged. UserError otherwise.
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
    if path.suffix == ".params":
        return wide_resnet38_names(read_params(path))
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
    except Exception as error:  # of a broken file torch raises whatever it stumbled over
        if type(error).__name__ == "UnpicklingError":  # pickle's own class, for refused globals
            message = "holds more than tensors, refused; save a plain state dict"
        else:
            reason = str(error).partition("\n")[0] or "it ends too early"
            message = f"not a readable weights file ({reason}); download or save it again"
        raise UserError(f"{path}: {message}") from None
    tensors = isinstance(state, dict) and all(isinstance(v, torch.Tensor) for v in state.values())
    if not state or not tensors or not all(isinstance(key, str) for key in state):
        raise UserError(f"{path}: no weights in it; give a state dict")
    broken = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise UserError(f"{path}: '{broken[0]}' has values that are not finite; give other weights")
    return state
