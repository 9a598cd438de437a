"""Class activation maps: what the classifier saw of the classes that an image is labelled with."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={"extraction": ["extract", "normalise_maps"], "recipe": ["CamRecipe"]},
)
