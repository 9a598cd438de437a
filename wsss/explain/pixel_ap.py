"""Its place before version 0.2.0; now `wsss.explain.localization`."""

from wsss.explain.localization.pixel_ap import PixelAP, PrecisionRecall

__all__ = ["PixelAP", "PrecisionRecall"]
