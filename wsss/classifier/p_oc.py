"""P-OC: Puzzle-CAM and OC-CSE together (David et al. 2023)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from wsss.classifier.losses import Criterion
from wsss.classifier.oc_cse import ErasingTerm
from wsss.classifier.outcome import Outcome
from wsss.classifier.puzzle_cam import PuzzleTerms
from wsss.classifier.recipe import Erasing, Puzzle
from wsss.nn.cam_network import CamNetwork


class POc(nn.Module):
    """L = ℓ(f(x), y) + ℓ(f_re(x), y) + α(t) L_re + λ(t) ℓ(oc(x ∘ (1 − ψ(A_r))), y∖{r})."""

    def __init__(self, puzzle: Puzzle, erase: Erasing, criterion: Criterion, ordinary: CamNetwork):
        super().__init__()
        self.criterion = criterion
        self.ordinary = ordinary.requires_grad_(False)
        self.puzzle = PuzzleTerms(puzzle, criterion)
        self.erasing = ErasingTerm(erase, criterion, ordinary.head.out_channels)

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
        erased = self.erasing(self.ordinary, images, labels, whole, done)
        parts = {"classification": own.detach(), **parts, **erased.parts}
        return Outcome(own + terms + erased.loss, whole.logits, parts)
