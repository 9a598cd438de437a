"""What masking images by their maps does to the classifier."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "averages": ["aggregate", "read_rows"],
        "deletion_insertion": ["area", "deletion", "insertion"],
        "detections": ["per_detection"],
    },
)
