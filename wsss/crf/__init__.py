"""Dense CRF: unaries, mean-field inference, published presets; refines any map or mask file."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "inference": ["ImageCrf", "mean_field"],
        "pairwise": ["Bilateral", "Gaussian", "Pairwise"],
        "presets": ["PRESETS"],
        "pseudo": ["make_pseudo_masks", "pseudo_mask"],
        "recipe": ["CrfRecipe", "CrfSettings", "PseudoRecipe"],
        "unary": ["unary_from_labels", "unary_from_probabilities"],
    },
)
