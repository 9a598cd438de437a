"""Which of an image's classes is erased."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from wsss.training.synchronised import of_first_rank, own_share, whole_batch

FOCAL_GAMMA, FOCAL_DECAY = 2.0, 0.9


class LabelSampler(nn.Module):
    """Draws one present class r of each image, for all processes that share a batch.

    random: uniform. balanced: p ∝ 1 / (1 + times drawn), as P-NOC's code counts. least-chosen: one
    of those drawn least often. Both count image by image. focal: p ∝ F_c, a running mean of how
    wrong the ordinary classifier was about class c on erased images. What it counts travels in
    checkpoints.
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
        self, labels: Float[Tensor, "b c"]
    ) -> tuple[Int64[Tensor, " b"], Bool[Tensor, " b"]]:
        """(r, whether the image has a label at all; r means nothing where it has none).

        Of this process's images, as if one process had drawn for the whole batch.
        """
        present = whole_batch(labels) > 0
        some = present.any(1)
        classes = of_first_rank(self._draw(present, some))
        self.drawn += torch.bincount(classes[some], minlength=len(self.drawn))
        return own_share(classes), own_share(some)

    def learn(
        self,
        logits: Float[Tensor, "b c"],
        left: Float[Tensor, "b c"],
        labels: Float[Tensor, "b c"],
    ) -> None:
        """Update F_c from the ordinary classifier's logits on erased images, y∖{r} and y.

        F_c ← 0.9 F_c + 0.1 Σ (1 − p_t)² / n_c for the classes that y shows, with p_t the
        probability of what y∖{r} says of class c and n_c the images with it. Only `focal` reads it.
        """
        if self.strategy != "focal":
            return
        p = logits.detach().float().sigmoid()
        wrong = whole_batch(torch.where(left > 0, 1 - p, p) ** FOCAL_GAMMA)
        shown = (whole_batch(labels) > 0).sum(0)
        mean = wrong.sum(0) / shown.clamp(min=1)
        updated = FOCAL_DECAY * self.focal + (1 - FOCAL_DECAY) * mean
        self.focal = torch.where(shown > 0, updated, self.focal)

    def _draw(self, present: Bool[Tensor, "b c"], some: Bool[Tensor, " b"]) -> Int64[Tensor, " b"]:
        if self.strategy in ("balanced", "least-chosen"):
            return self._in_turn(present)
        weights = present * self.focal.clamp(min=1e-6) if self.strategy == "focal" else present
        # A row without a label cannot be drawn from: any class will do, the caller ignores it.
        return torch.where(some[:, None], weights.float(), 1.0).multinomial(1)[:, 0]

    def _in_turn(self, present: Bool[Tensor, "b c"]) -> Int64[Tensor, " b"]:
        drawn = self.drawn.cpu().clone()
        chosen = []
        for row in present.cpu():
            if not row.any():
                chosen.append(0)
                continue
            if self.strategy == "balanced":
                weights = row / (1 + drawn)
            else:
                weights = (row & (drawn == drawn[row].min())).float()
            chosen.append(int(weights.multinomial(1)))
            drawn[chosen[-1]] += 1
        return torch.tensor(chosen, device=present.device)
