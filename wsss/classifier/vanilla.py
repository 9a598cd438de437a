"""The vanilla objective: the multi-label soft margin loss on the pooled class maps."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from wsss.classifier.losses import Criterion
from wsss.classifier.outcome import Outcome
from wsss.nn.cam_network import CamNetwork


class Vanilla(nn.Module):
    """L = ℓ(f(x), y)."""

    def __init__(self, criterion: Criterion):
        super().__init__()
        self.criterion = criterion

    def forward(
        self,
        network: CamNetwork,
        images: Float[Tensor, "b 3 H W"],
        labels: Float[Tensor, "b c"],
        done: float | int,
    ) -> Outcome:
        """The loss of a batch; `done` in [0, 1] is the share of the training that is over."""
        logits = network(images).logits
        return Outcome(self.criterion(logits, labels), logits, {})
