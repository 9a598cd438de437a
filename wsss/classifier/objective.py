"""From a recipe to its objective."""

from __future__ import annotations

from torch import nn

from wsss.classifier.losses import Criterion
from wsss.classifier.oc_cse import OcCse
from wsss.classifier.p_noc import PNoc
from wsss.classifier.p_oc import POc
from wsss.classifier.puzzle_cam import PuzzleCam
from wsss.classifier.recipe import (
    ClassifierRecipe,
    OcCseRecipe,
    PNocRecipe,
    POcRecipe,
    PuzzleRecipe,
)
from wsss.classifier.vanilla import Vanilla
from wsss.nn.cam_network import CamNetwork


def build_objective(
    recipe: ClassifierRecipe, criterion: Criterion, ordinary: CamNetwork | None
) -> nn.Module:
    """The module whose call (network, images, labels, done) gives an Outcome.

    ordinary: the network of recipe.ordinary; None exactly for objectives that have none.
    """
    match recipe:
        case PuzzleRecipe():
            return PuzzleCam(recipe.puzzle, criterion)
        case OcCseRecipe():
            return OcCse(recipe.erase, criterion, ordinary)
        case POcRecipe():
            return POc(recipe.puzzle, recipe.erase, criterion, ordinary)
        case PNocRecipe():
            return PNoc(recipe.puzzle, recipe.erase, recipe.noc, criterion, ordinary)
    return Vanilla(criterion)
