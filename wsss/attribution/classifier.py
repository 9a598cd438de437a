"""What explaining methods see of a classifier: the activations of one layer, and the logits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wsss.core.errors import UserError
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head_recipe import GapPooling


class Seen(NamedTuple):
    """activations: what the layer gave; logits: before the sigmoid; both of the same images."""

    activations: Float[Tensor, "b k h w"]
    logits: Float[Tensor, "b c"]


class Classifier:
    """A multi-label classifier in evaluation mode, and the layer whose activations are explained.

    network: any module that maps (B, 3, H, W) images, preprocessed as it wants them, to (B, C)
    logits, or to a tuple whose last item they are (`ClassMaps`). It is put into `.eval()`.
    layer: the name of a module of it that gives (B, K, h, w) maps, such as "layer4"; of a
    `CamNetwork`, "backbone" gives the maps that its head takes.
    linear: the name of its `nn.Linear` from the layer's spatial means to the logits, such as "fc",
    where there is one: closed forms need no backward pass then. `see` checks that it is so.
    channels_last: the layer gives (B, h, w, K), as in Swin transformers.

    >>> classifier = Classifier(torchvision.models.resnet50(), "layer4", linear="fc")
    >>> swin = timm.create_model("swin_tiny_patch4_window7_224")
    >>> classifier = Classifier(swin, "norm", linear="head.fc", channels_last=True)

    Raises UserError for names that the network has not, and for BatchNorm without running
    statistics, by which images depend on each other.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        *,
        linear: str | None = None,
        channels_last: bool = False,
    ):
        self.network = network.eval()
        self.layer = layer
        self._module = self._find(layer)
        self._head = None
        if isinstance(network, CamNetwork) and self._module is network.backbone:
            self._head = network.head
        self._linear = self._find(linear) if linear else None
        if self._linear is not None and not isinstance(self._linear, nn.Linear):
            kind = type(self._linear).__name__
            raise UserError(f"'{linear}' is a {kind}, no nn.Linear; leave linear out")
        self._channels_last = channels_last
        for name, module in network.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
                raise UserError(
                    f"'{name}' has no running statistics, so that an image's logits depend on the "
                    "others of its batch; give it track_running_stats=True"
                )
        self._checked = False

    @classmethod
    def of_cam_network(cls, network: CamNetwork) -> Classifier:
        """A classifier of this workflow: the head takes the backbone's maps."""
        return cls(network, "backbone")

    @property
    def weight(self) -> Float[Tensor, "c k"] | None:
        """W (with KUR the effective W̃), where class maps are W·A; None where the head is other."""
        if self._head is not None:
            return self._head.effective_weight().detach().flatten(1)
        return None if self._linear is None else self._linear.weight.detach()

    @property
    def is_averaged(self) -> bool:
        """Whether logits are W · (mean of A over space) + b, so that ∂s/∂A is W/(hw) everywhere."""
        if self._head is not None:
            return isinstance(self._head.recipe.pooling, GapPooling)
        return self._linear is not None

    def required_weight(self, otherwise: str) -> Float[Tensor, "c k"]:
        """`weight`; where it is None UserError, which names the method to use otherwise."""
        weight = self.weight
        if weight is None:
            raise UserError(
                f"no weights lead from '{self.layer}' to the logits; name its nn.Linear as linear "
                f"where it takes the layer's spatial means, or use {otherwise}"
            )
        return weight

    def see(self, images: Float[Tensor, "b 3 H W"], *, head_gradients: bool = False) -> Seen:
        """Run the network once.

        head_gradients: the activations become a leaf that requires gradients, and the logits
        depend on it; a backward pass ends there and costs what the head costs.
        Raises UserError where the layer gives no maps, or `linear` is not what makes the logits.
        """
        kept: list[Tensor] = []

        def hook(module: nn.Module, args: Any, output: Any) -> Tensor:
            if kept:
                raise UserError(f"'{self.layer}' runs twice in a pass; name a layer that runs once")
            if not isinstance(output, Tensor) or output.ndim != 4:
                shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise UserError(
                    f"'{self.layer}' gives {shape}, no (B, K, h, w) maps; name a layer with maps "
                    "(of transformers: wsss.nn.token_maps turns tokens into them)"
                )
            self._require_likely_layout(output.shape, images.shape)
            maps = output.permute(0, 3, 1, 2) if self._channels_last else output
            kept.append(maps.detach().requires_grad_() if head_gradients else maps)
            rest = kept[0].clone()  # what follows may write into its input
            return rest.permute(0, 2, 3, 1) if self._channels_last else rest

        handle = self._module.register_forward_hook(hook)
        try:
            with torch.set_grad_enabled(head_gradients or torch.is_grad_enabled()):
                logits = self.logits(images)
        finally:
            handle.remove()
        if not kept:
            raise UserError(f"'{self.layer}' does not run in a pass; name another layer")
        if not self._checked:
            if self._linear is not None:
                self._require_linear_of_means(kept[0].detach(), logits)
            if logits.numel() > 1 and logits.min() >= 0 and logits.max() <= 1:
                warnings.warn(
                    "all logits are in [0, 1]: if these are probabilities, leave out the network's "
                    "last sigmoid or softmax",
                    stacklevel=2,
                )
            self._checked = True
        return Seen(kept[0], logits)

    def logits(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c"]:
        """The network's logits alone."""
        output = self.network(images)
        logits = output[-1] if isinstance(output, tuple) else output
        if not isinstance(logits, Tensor):
            kind = type(logits).__name__
            raise UserError(f"the network gives {kind}, no logits; wrap it so that it gives these")
        return logits

    def _require_likely_layout(self, maps: Sequence[int], images: Sequence[int]) -> None:
        """UserError for maps of the images' proportions only if their channels are elsewhere.

        Methods would run on them, and give maps of h × K.
        """
        first, last = _distortion(maps[2:], images[2:]), _distortion(maps[1:3], images[2:])
        here, there = (last, first) if self._channels_last else (first, last)
        if here > 2 > there:  # rounding to whole positions makes less than 2
            message = f"{tuple(maps)} for images of {tuple(images)}"
            remedy = "(B, h, w, K); set channels_last=True"
            if self._channels_last:
                remedy = "(B, K, h, w); leave channels_last out"
            raise UserError(f"'{self.layer}' gives {message}, which looks like {remedy}")

    def _require_linear_of_means(self, maps: Tensor, logits: Tensor) -> None:
        if maps.shape[1] == self._linear.in_features:
            expected = self._linear(maps.mean((2, 3)))
            if expected.shape == logits.shape and torch.allclose(
                expected, logits, rtol=1e-3, atol=1e-4
            ):
                return
        raise UserError(
            f"the logits are not the linear layer of '{self.layer}' averaged over space; leave "
            "linear out"
        )

    def _find(self, name: str) -> nn.Module:
        try:
            return self.network.get_submodule(name)
        except AttributeError:
            some = ", ".join(key for key, _ in self.network.named_children())
            raise UserError(f"the network has no module '{name}' (it has {some})") from None


def _distortion(maps: Sequence[int], images: Sequence[int]) -> float:
    """How many times as far apart positions are in one direction as in the other, at least 1."""
    ratio = (images[0] * maps[1]) / (images[1] * maps[0])
    return max(ratio, 1 / ratio)


@contextmanager
def frozen_parameters(network: nn.Module) -> Iterator[None]:
    """Autograd on, parameters without gradients: backward passes go to images and activations."""
    wanted = [p for p in network.parameters() if p.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
