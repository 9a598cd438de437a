"""Maps scored as localization: boxes, pixels, peaks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "box_accuracy": ["BoxAccuracies", "BoxAccuracy"],
        "peak_iou": ["IouCurve", "IouCurves", "PeakIou"],
        "pixel_ap": ["PixelAP", "PrecisionRecall"],
        "pointing_game": ["Pointing", "PointingGame"],
    },
)
