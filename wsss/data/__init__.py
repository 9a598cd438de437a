"""The data stage: images, image-level labels and ground truth of three kinds of data sets."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "export": ["export_masks"],
        "prepare": ["prepare_images", "prepare_masks"],
        "preview_sheet": ["preview"],
        "problems": ["Problem"],
        "recipe": ["Data", "DataRecipe", "FolderData", "ToyData", "VocData"],
        "toy.scene": ["Scene", "generate"],
        "validate": ["find_problems"],
    },
)
