"""Its place before version 0.2.0; now `wsss.explain.localization`."""

from wsss.explain.localization.box_accuracy import BoxAccuracies, BoxAccuracy

__all__ = ["BoxAccuracies", "BoxAccuracy"]
