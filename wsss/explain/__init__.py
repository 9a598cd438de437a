"""Explaining methods beside CAM, their metrics, and localization."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "classifier": ["Classifier"],
        "full_grad": ["FullGradient", "full_gradient"],
        "maps": ["Maps", "psi", "resize"],
        "methods": ["METHODS"],
        "threshold": ["maximum_threshold", "percentile_threshold"],
    },
)
