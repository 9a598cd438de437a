"""What every objective returns."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Outcome(NamedTuple):
    """loss: a scalar with gradients. logits: of the whole images. parts: detached, for the logs."""

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "b c"]
    parts: dict[str, Tensor]
