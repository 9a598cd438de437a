"""Affinity: from class maps to pseudo masks, by affinity labels and a random walk."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "labels": ["affinity_label", "make_labels"],
        "loss": ["affinity_loss"],
        "boundary_net": ["BoundaryNet"],
        "walk": ["random_walk"],
    },
)
