"""Maps scored as localization: boxes, pixels, peaks."""
