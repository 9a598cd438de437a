"""Multi-label classifiers trained on image-level labels, whose class maps become CAMs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "losses": ["smooth_labels", "soft_margin"],
        "recipe": ["ClassifierRecipe"],
        "vanilla": ["Vanilla"],
    },
)
