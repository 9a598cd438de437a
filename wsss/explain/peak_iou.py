"""Its place before version 0.2.0; now `wsss.explain.localization`."""

from wsss.explain.localization.peak_iou import IouCurve, IouCurves, PeakIou

__all__ = ["IouCurve", "IouCurves", "PeakIou"]
