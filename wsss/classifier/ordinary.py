"""The classifier that judges an erased image: fixed, or only fixed for the other player's loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from wsss.nn.cam_network import CamNetwork


def ordinary_logits(
    ordinary: CamNetwork, images: Float[Tensor, "b 3 H W"], *, leak: bool = False
) -> Float[Tensor, "b c"]:
    """Its logits in evaluation mode; gradients reach the images and not its weights.

    leak: they reach its weights too.
    """
    ordinary.eval()
    if leak:
        return ordinary(images).logits
    fixed = {name: weight.detach() for name, weight in ordinary.named_parameters()}
    return functional_call(ordinary, fixed, (images,)).logits
