"""Report: tables of metrics and of run times over experiments and seeds, curves, and galleries."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "curves": ["curves_figure"],
        "gallery": ["make_gallery"],
        "recipe": ["GalleryRecipe", "TableRecipe"],
        "selection": ["choose_images", "image_miou"],
        "spec": ["CurvesSpec", "GallerySpec", "TableSpec"],
        "table": ["make_table"],
    },
)
