"""The classification loss of multi-label images."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def smooth_labels(labels: Float[Tensor, "b c"], epsilon: float | int) -> Float[Tensor, "b c"]:
    """(1 − ε) y + ε/2: with ε = 0.1 a present class is 0.95, an absent one 0.05."""
    return (1 - epsilon) * labels + epsilon / 2


def soft_margin(
    logits: Float[Tensor, "b c"],
    targets: Float[Tensor, "b c"],
    weights: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, ""]:
    """Multi-label soft margin loss: mean over batch and classes of −y log σ(z) − (1−y) log(1−σ(z)).

    targets in [0, 1]; weights: a factor on each class's terms. In float32 whatever autocast
    computed the logits in.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), targets, weights)


class Criterion(nn.Module):
    """ℓ(z, y): the soft margin loss of logits against smoothed labels."""

    def __init__(self, smoothing: float | int, weights: Float[Tensor, " c"] | None = None):
        super().__init__()
        self.smoothing = smoothing
        self.register_buffer("weights", weights)

    def forward(
        self, logits: Float[Tensor, "b c"], labels: Float[Tensor, "b c"]
    ) -> Float[Tensor, ""]:
        """Scalar loss; labels in [0, 1], before smoothing."""
        return soft_margin(logits, smooth_labels(labels, self.smoothing), self.weights)
