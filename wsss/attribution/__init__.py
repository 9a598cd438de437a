"""Explaining methods as functions on a classifier: a foundation for every stage that needs maps."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "classifier": ["Classifier"],
        "maps": ["Maps", "psi", "resize"],
        "methods.full_grad": ["FullGradient", "full_gradient"],
        "registry": ["METHODS"],
    },
)
