"""OC-CSE (Kweon et al. 2021): what the class map of r covers, the ordinary classifier must miss."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from wsss.classifier.erasing import activation, erase_softly, without
from wsss.classifier.label_sampler import LabelSampler
from wsss.classifier.losses import Criterion
from wsss.classifier.ordinary import ordinary_logits
from wsss.classifier.outcome import Outcome
from wsss.classifier.recipe import Erasing
from wsss.core.ranks import ranks
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head import ClassMaps
from wsss.training.synchronised import mean_over_ranks


class ErasingLoss(NamedTuple):
    """The weighted loss, its parts for the logs, and each image's class r (valid where present)."""

    loss: Float[Tensor, ""]
    parts: dict[str, Tensor]
    classes: Int64[Tensor, " b"]
    present: Bool[Tensor, " b"]


class ErasingTerm(nn.Module):
    """λ(t) · ℓ(oc(x ∘ (1 − ψ(A_r))), y∖{r}), with r drawn from the labels."""

    def __init__(self, recipe: Erasing, criterion: Criterion, classes: int):
        super().__init__()
        self.recipe, self.criterion = recipe, criterion
        self.sampler = LabelSampler(recipe.sampling, classes)

    def forward(
        self,
        ordinary: CamNetwork,
        images: Float[Tensor, "b 3 H W"],
        labels: Float[Tensor, "b c"],
        whole: ClassMaps,
        done: float | int,
        *,
        leak: bool = False,
    ) -> ErasingLoss:
        """The term of a batch, `whole` being the trained network's output on it.

        0 before λ has begun, with the classes all the same.
        """
        classes, present = self.sampler(labels)
        if not self.recipe.weight.has_begun(done):
            return ErasingLoss(whole.logits.new_zeros(()), {}, classes, present)
        size = (images.shape[-2], images.shape[-1])
        mask = activation(
            whole.maps,
            classes,
            present,
            size,
            normalise=self.recipe.normalise,
            order=self.recipe.order,
        )
        logits = ordinary_logits(ordinary, erase_softly(images, mask), leak=leak)
        left = without(labels, classes)
        self.sampler.learn(logits, left, labels)
        loss = self.criterion(logits, left)
        some = mean_over_ranks(present.float().sum()).clamp(min=1 / ranks())
        share = mask.detach().mean((1, 2, 3)).sum() / some
        parts = {"erasing": loss.detach(), "erased_share": share}
        return ErasingLoss(self.recipe.weight.at(done) * loss, parts, classes, present)


class OcCse(nn.Module):
    """L = ℓ(f(x), y) + λ(t) · ℓ(oc(x ∘ (1 − ψ(A_r))), y∖{r}); oc is fixed."""

    def __init__(self, recipe: Erasing, criterion: Criterion, ordinary: CamNetwork):
        super().__init__()
        self.criterion = criterion
        self.ordinary = ordinary.requires_grad_(False)
        self.erasing = ErasingTerm(recipe, criterion, ordinary.head.out_channels)

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
        erased = self.erasing(self.ordinary, images, labels, whole, done)
        parts = {"classification": own.detach(), **erased.parts}
        return Outcome(own + erased.loss, whole.logits, parts)
