"""Which of an image's classes is erased."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

FOCAL_GAMMA, FOCAL_DECAY = 2.0, 0.9


class LabelSampler(nn.Module):
    """Draws one present class r of each image; what it counts travels in checkpoints.

    random: uniform. balanced: p ∝ 1 / (times drawn + 1). least-chosen: one of those drawn least
    often. focal: p ∝ F_c, a running mean of (1 − p_t)^2 over the images of class c.
    """

    drawn: Tensor
    focal: Tensor

    def __init__(
        self, strategy: Literal["random", "balanced", "least-chosen", "focal"], classes: int
    ):
        super().__init__()
        self.strategy = strategy
        self.register_buffer("drawn", torch.zeros(classes))
        self.register_buffer("focal", torch.ones(classes))

    def forward(
        self, labels: Float[Tensor, "b c"], logits: Float[Tensor, "b c"]
    ) -> tuple[Int64[Tensor, " b"], Bool[Tensor, " b"]]:
        """(r, whether the image has a label at all; r means nothing where it has none)."""
        present = labels > 0
        self._learn(present, logits.detach().float())
        weights = self._weights(present)
        some = present.any(1)
        # A row without a label cannot be drawn from: any class will do, the caller ignores it.
        chosen = torch.where(some[:, None], weights, 1.0).multinomial(1)[:, 0]
        self.drawn += torch.bincount(chosen[some], minlength=labels.shape[1])
        return chosen, some

    def _weights(self, present: Bool[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        if self.strategy == "balanced":
            return present / (self.drawn + 1)
        if self.strategy == "least-chosen":
            counts = torch.where(present, self.drawn, torch.inf)
            return (present & (counts == counts.amin(1, keepdim=True))).float()
        if self.strategy == "focal":
            return present * self.focal.clamp(min=1e-6)
        return present.float()

    def _learn(self, present: Bool[Tensor, "b c"], logits: Float[Tensor, "b c"]) -> None:
        if self.strategy != "focal":
            return
        hardness = ((1 - logits.sigmoid()) ** FOCAL_GAMMA * present).sum(0)
        counts = present.sum(0)
        mean = hardness / counts.clamp(min=1)
        self.focal = torch.where(
            counts > 0, FOCAL_DECAY * self.focal + (1 - FOCAL_DECAY) * mean, self.focal
        )
