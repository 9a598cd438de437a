"""Its place before version 0.2.0; now `wsss.attribution.smooth`."""

from wsss.attribution.smooth import smooth

__all__ = ["smooth"]
