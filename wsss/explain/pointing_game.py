"""Its place before version 0.2.0; now `wsss.explain.localization`."""

from wsss.explain.localization.pointing_game import Pointing, PointingGame

__all__ = ["Pointing", "PointingGame"]
