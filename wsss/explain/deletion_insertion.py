"""Its place before version 0.2.0; now `wsss.explain.metrics`."""

from wsss.explain.metrics.deletion_insertion import area, deletion, insertion

__all__ = ["area", "deletion", "insertion"]
