"""The public names of `wsss.attribution`, for `from wsss.explain import METHODS, Classifier`."""

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps, psi, resize
from wsss.attribution.methods.full_grad import FullGradient, full_gradient
from wsss.attribution.registry import METHODS

__all__ = ["METHODS", "Classifier", "FullGradient", "Maps", "full_gradient", "psi", "resize"]
