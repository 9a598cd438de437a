"""The training step of C²AM and C²AM-H."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from wsss.saliency.c2am import C2am
from wsss.saliency.hints import hint_mask
from wsss.saliency.losses import MeanFeatures, contrast, disentangle, hint_loss
from wsss.saliency.recipe import C2amTrain
from wsss.training.learner import Learner
from wsss.training.synchronised import sum_over_ranks, whole_batch


class C2amLearner(Learner):
    """L = SimMax(f) + SimMax(b) + SimMin(b, f), and with hints + w · L_h.

    Nothing in C²AM says which side is the foreground. `border` adds up p at the images' border in
    an epoch, where background is expected; hints settle it, and it is not asked then.
    """

    compares_images = True

    def __init__(self, network: C2am, recipe: C2amTrain):
        super().__init__(network, recipe.training)
        self.recipe = recipe
        self.register_buffer("border", torch.zeros(2))

    def on_train_epoch_start(self) -> None:
        """Count the border from zero: the last epoch decides."""
        self.border.zero_()

    def loss(self, batch: Sequence[Tensor]) -> tuple[Float[Tensor, ""], dict[str, Any]]:
        """The loss of images (b, 3, H, W), normalised, and of hints if the recipe has any.

        Hints are (b, H, W) uint8 in steps of 1/254; 255 is padding.
        """
        images, *rest = batch
        found = self.network(images)
        # bfloat16 rounds the highest cosine, 0.9995, to 1, where SimMin is infinite.
        with torch.autocast(images.device.type, enabled=False):
            own = disentangle(found.features, found.logits)
            everyone = MeanFeatures(*(whole_batch(each) for each in own))
            terms = contrast(everyone, self.recipe.rank_decay)
        loss = sum(terms.values())
        logs = {name: term.detach() for name, term in terms.items()}
        if self.recipe.hints is not None:
            size = (found.logits.shape[-2], found.logits.shape[-1])
            where = hint_mask(rest[0], size, self.recipe.hints.threshold)
            hints = hint_loss(found.logits, where, self.recipe.hints.label_smoothing)
            loss = loss + self.recipe.hints.weight * hints
            logs |= {"hints": hints.detach(), "hinted": where.float().mean()}
        p = found.logits.detach().sigmoid()
        logs["salient"] = p.mean()
        ring = at_border(p)
        here = torch.stack([ring.sum(), ring.new_tensor(ring.numel())])
        self.border += sum_over_ranks(here).to(self.border)
        return loss, logs

    @property
    def is_negative(self) -> bool:
        """Whether the last epoch's border is more salient than not, and no hint has settled it."""
        return self.recipe.hints is None and bool(self.border[0] > self.border[1] / 2)


def at_border(maps: Float[Tensor, "b 1 h w"]) -> Float[Tensor, " n"]:
    """The values at the border: a seventh of each side, 4 of the published 28 cells."""
    height, width = maps.shape[-2:]
    inner = torch.ones_like(maps, dtype=torch.bool)
    y, x = -(-height // 7), -(-width // 7)
    inner[..., y : height - y, x : width - x] = False
    return maps[inner]
