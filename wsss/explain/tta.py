"""Its place before version 0.2.0; now `wsss.attribution.tta`."""

from wsss.attribution.tta import tta

__all__ = ["tta"]
