"""P-NOC (David et al. 2023): P-OC whose second classifier learns to find what was left.

The published code trains the two networks in turn on the same batch. Both losses of an iteration
are taken at the weights before it (the second player's mask comes from the maps that the first
one made before its step), and each moves one network only. So the sum of the losses has exactly
the gradients of one step after the other, and one optimizer over both networks takes them.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from wsss.classifier.erasing import activation, erase_hard
from wsss.classifier.losses import Criterion
from wsss.classifier.oc_cse import ErasingTerm
from wsss.classifier.outcome import Outcome
from wsss.classifier.puzzle_cam import PuzzleTerms
from wsss.classifier.recipe import Erasing, NotSoOrdinary, Puzzle
from wsss.nn.backbones import freeze_batch_norm
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head import ClassMaps


class PNoc(nn.Module):
    """The players' losses, summed; neither's gradient reaches the other unless `leak_noc_gradient`.

    L_f   = ℓ(f(x), y) + ℓ(f_re(x), y) + α(t) L_re + λ(t) ℓ(noc(x ∘ (1 − ψ(A_r))), y∖{r})
    L_noc = λ_noc(t) ℓ(noc(x ∘ [ψ(A_r) ≤ δ]), y), with ψ of each image by its own maximum
    """

    def __init__(
        self,
        puzzle: Puzzle,
        erase: Erasing,
        noc: NotSoOrdinary,
        criterion: Criterion,
        ordinary: CamNetwork,
    ):
        super().__init__()
        self.criterion, self.recipe = criterion, noc
        self.noc = ordinary
        freeze_batch_norm(ordinary.backbone)
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
        leak = self.recipe.leak_noc_gradient
        erased = self.erasing(self.noc, images, labels, whole, done, leak=leak)
        parts = {"classification": own.detach(), **parts, **erased.parts}
        loss = own + terms + erased.loss
        if self.recipe.weight.has_begun(done):
            second = self._second(images, labels, whole, erased.classes, erased.present)
            loss = loss + self.recipe.weight.at(done) * second
            parts["noc"] = second.detach()
        return Outcome(loss, whole.logits, parts)

    def _second(
        self,
        images: Float[Tensor, "b 3 H W"],
        labels: Float[Tensor, "b c"],
        whole: ClassMaps,
        classes: Int64[Tensor, " b"],
        present: Bool[Tensor, " b"],
    ) -> Float[Tensor, ""]:
        """The second player's loss, with every label, on what a hard mask leaves."""
        size = (images.shape[-2], images.shape[-1])
        mask = activation(
            whole.maps.detach(), classes, present, size, normalise="image", order="relu-upsample"
        )
        left = erase_hard(images, mask, self.recipe.threshold)
        self.noc.train(self.training)
        return self.criterion(self.noc(left).logits, labels)
