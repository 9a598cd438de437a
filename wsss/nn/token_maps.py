"""Feature maps from transformers of timm, whose own outputs are tokens or channels-last."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


def give_maps(network: nn.Module) -> None:
    """Make a ViT or Swin without pooling return (B, K, ⌈H/p⌉, ⌈W/p⌉) maps, p the stride.

    Images whose sides are not multiples of the patch are padded with 0 at the right and below.
    Class and other prefix tokens are dropped. Hooks do it: the state's names stay timm's.
    """
    network.register_forward_pre_hook(_pad)
    network.register_forward_hook(_maps)


def _pad(network: Any, args: tuple[Tensor]) -> tuple[Tensor]:
    (images,) = args
    height, width = network.patch_embed.feat_ratio(as_scalar=False)
    return (F.pad(images, (0, -images.shape[-1] % width, 0, -images.shape[-2] % height)),)


def _maps(network: Any, args: tuple[Tensor], output: Tensor) -> Tensor:
    if output.ndim == 4:
        return output.permute(0, 3, 1, 2)
    rows = args[0].shape[-2] // network.patch_embed.feat_ratio(as_scalar=False)[0]
    patches = output[:, network.num_prefix_tokens :]
    return patches.transpose(1, 2).unflatten(2, (rows, -1))
