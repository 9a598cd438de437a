"""Evaluation: maps at every threshold in one pass, masks, and the numbers that tables report."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "confusion": ["confusion_matrix"],
        "measures": ["Metrics", "metrics"],
        "map_evaluation": ["evaluate_maps"],
        "mask_evaluation": ["evaluate_masks"],
        "mask_source": ["open_masks"],
        "recipe": ["EvaluationRecipe"],
        "thresholds": ["Curve", "threshold_curve"],
    },
)
