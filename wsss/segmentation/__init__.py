"""DeepLabV3+ trained on pseudo masks (or ground truth), and its class scores of whole images."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "learner": ["SegmentationLearner", "cross_entropy"],
        "masks": ["write_masks"],
        "network": ["DeepLabV3Plus", "load_segmenter"],
        "recipe": ["PredictRecipe", "SegmentationRecipe", "TrainRecipe"],
    },
)
