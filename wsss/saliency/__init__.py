"""Class-agnostic saliency without masks: C²AM, and C²AM-H with hints from class maps."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "losses": ["disentangle", "hint_loss", "sim_max", "sim_min"],
        "c2am": ["C2am"],
    },
)
