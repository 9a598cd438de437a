"""RandAugment as FixMatch has it, with cutout (Cubuk et al. 2020; Sohn et al. 2020, appendix D).

Random numbers come from torch's global generator. Pixels that a geometric operation uncovers are
black; the others are taken from their nearest source pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as F


def _enhancement(level: int) -> float:
    """A factor in [0.14, 0.86], where 1 would leave the image as it is."""
    return 0.05 + 0.09 * level


def _random_sign(value: float | int) -> float | int:
    return -value if torch.rand(()) < 0.5 else value


def _auto_contrast(image: Tensor, level: int) -> Tensor:
    return F.autocontrast(image)


def _brightness(image: Tensor, level: int) -> Tensor:
    return F.adjust_brightness(image, _enhancement(level))


def _colour(image: Tensor, level: int) -> Tensor:
    return F.adjust_saturation(image, _enhancement(level))


def _contrast(image: Tensor, level: int) -> Tensor:
    return F.adjust_contrast(image, _enhancement(level))


def _equalise(image: Tensor, level: int) -> Tensor:
    return F.equalize(image)


def _identity(image: Tensor, level: int) -> Tensor:
    return image


def _posterise(image: Tensor, level: int) -> Tensor:
    return F.posterize(image, bits=4 + 4 * level // 10)


def _rotate(image: Tensor, level: int) -> Tensor:
    return F.rotate(image, float(_random_sign(3 * level)))


def _sharpness(image: Tensor, level: int) -> Tensor:
    return F.adjust_sharpness(image, _enhancement(level))


def _shear(image: Tensor, x: float | int, y: float | int) -> Tensor:
    """x: pixels to the side per row; y: pixels up or down per column; the top left corner stays."""
    degrees = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    return F.affine(image, 0.0, [0, 0], 1.0, degrees, center=[0.0, 0.0])


def _shear_x(image: Tensor, level: int) -> Tensor:
    return _shear(image, _random_sign(0.03 * level), 0)


def _shear_y(image: Tensor, level: int) -> Tensor:
    return _shear(image, 0, _random_sign(0.03 * level))


def _solarise(image: Tensor, level: int) -> Tensor:
    return F.solarize(image, threshold=256 - 256 * level // 10)


def _translate_x(image: Tensor, level: int) -> Tensor:
    height, width = image.shape[-2:]
    return F.crop(image, 0, int(_random_sign(3 * level * width // 100)), height, width)


def _translate_y(image: Tensor, level: int) -> Tensor:
    height, width = image.shape[-2:]
    return F.crop(image, int(_random_sign(3 * level * height // 100)), 0, height, width)


OPERATIONS: tuple[Callable[[Tensor, int], Tensor], ...] = (
    _auto_contrast,
    _brightness,
    _colour,
    _contrast,
    _equalise,
    _identity,
    _posterise,
    _rotate,
    _sharpness,
    _shear_x,
    _shear_y,
    _solarise,
    _translate_x,
    _translate_y,
)


class RandAugment:
    """Random operations, then one black square.

    `operations` of the 14 are drawn with replacement; each gets a level in U{1, …, magnitude − 1}
    and is applied with probability ½. Level 10 would be: a factor of 0.95 on brightness, colour,
    contrast and sharpness (level 0: 0.05), 8 bits a channel (0: 4), ±30°, a shear of ±0.3, a
    solarising threshold of 0 (0: 256), a translation by ±0.3 of the side.

    cutout: side of the square, pixels; 0: none. Its centre is uniform in the image. Like the
    published one it is moved inside at the top and left border and cut off at the other two.
    """

    def __init__(self, operations: int = 2, magnitude: int = 10, cutout: int = 16):
        self.operations, self.magnitude, self.cutout = operations, magnitude, cutout

    def __call__(self, image: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h w"]:
        """An image of the same size and type; the given one is left as it is."""
        for chosen in torch.randint(len(OPERATIONS), (self.operations,)).tolist():
            level = int(torch.randint(1, self.magnitude, ()))
            if torch.rand(()) < 0.5:
                image = OPERATIONS[chosen](image, level)
        return self._cut_out(image) if self.cutout else image

    def _cut_out(self, image: Tensor) -> Tensor:
        y, x = (
            int(max(0.0, float(torch.rand(())) * side - self.cutout / 2))
            for side in image.shape[-2:]
        )
        black = torch.zeros((), dtype=torch.uint8)
        return F.erase(image, y, x, self.cutout, self.cutout, black)
