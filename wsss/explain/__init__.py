"""Explaining methods next to CAM, their metrics, and localization."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "library": [
            *("METHODS", "Classifier", "FullGradient", "Maps", "full_gradient", "psi", "resize"),
        ],
    },
)
