"""Puzzle-CAM (Jo & Yu 2021): whole images and their tiles should give the same class maps."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from wsss.classifier.losses import Criterion
from wsss.classifier.outcome import Outcome
from wsss.classifier.puzzle import re_merge_loss, tiled_maps
from wsss.classifier.recipe import SIDES, Puzzle
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head import ClassMaps


class PuzzleTerms(nn.Module):
    """ℓ(f_re(x), y) + α(t) · L_re, with f_re the network on merged tiles."""

    def __init__(self, recipe: Puzzle, criterion: Criterion):
        super().__init__()
        self.recipe, self.criterion = recipe, criterion
        self.side = SIDES[recipe.tiles]

    def forward(
        self,
        network: CamNetwork,
        images: Float[Tensor, "b 3 H W"],
        labels: Float[Tensor, "b c"],
        whole: ClassMaps,
        done: float | int,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Both terms of a batch, `whole` being the network's output on it, and their values.

        0 and nothing before α has begun.
        """
        if not self.recipe.weight.has_begun(done):
            return whole.logits.new_zeros(()), {}
        merged = tiled_maps(network, images, self.side)
        tiles = self.criterion(merged.logits, labels)
        difference = re_merge_loss(whole.maps, merged.maps, labels)
        loss = tiles + self.recipe.weight.at(done) * difference
        return loss, {"tiles": tiles.detach(), "re_merge": difference.detach()}


class PuzzleCam(nn.Module):
    """L = ℓ(f(x), y) + ℓ(f_re(x), y) + α(t) · L_re."""

    def __init__(self, recipe: Puzzle, criterion: Criterion):
        super().__init__()
        self.criterion = criterion
        self.puzzle = PuzzleTerms(recipe, criterion)

    def forward(
        self,
        network: CamNetwork,
        images: Float[Tensor, "b 3 H W"],
        labels: Float[Tensor, "b c"],
        done: float | int,
    ) -> Outcome:
        """The loss of a batch; `done` in [0, 1] is the share of the training that is over."""
        whole = network(images)
        own = self.criterion(whole.logits, labels)
        terms, parts = self.puzzle(network, images, labels, whole, done)
        return Outcome(own + terms, whole.logits, {"classification": own.detach(), **parts})
