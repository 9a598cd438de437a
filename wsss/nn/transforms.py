"""Training-time transforms on images with or without a mask, by torchvision v2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from wsss.core.images import IGNORE
from wsss.nn.recipe import Augment, Backbone, LongSide, ResizedCrop, Square


def normalise(image: UInt8[np.ndarray, "h w 3"], backbone: Backbone) -> Float[Tensor, "3 h w"]:
    """(x/255 − mean)/std as float32."""
    tensor = torch.from_numpy(image).permute(2, 0, 1).float().div_(255)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    return (tensor - mean) / std


class TrainTransform:
    """Augment, normalise and crop; the same geometry for image and mask.

    Padding is 0 after normalisation in images and 255 in masks. Random numbers come from torch's
    global generator.

    extra: further steps on the uint8 image (3, h, w), after resizing, colour jitter and flip and
    before normalisation. They would not move a mask along, so images with masks cannot have any.
    """

    def __init__(
        self,
        augment: Augment,
        backbone: Backbone,
        extra: Sequence[Callable[[Tensor], Tensor]] = (),
    ):
        self.augment = augment
        self.extra = tuple(extra)
        steps: list[Callable] = []
        if augment.colour_jitter:
            steps.append(v2.ColorJitter(0.3, 0.3, 0.3, 0.1))
        if augment.flip:
            steps.append(v2.RandomHorizontalFlip())
        steps += [partial(_on_image, step) for step in self.extra]
        steps += [v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)]
        steps += [v2.Normalize(list(backbone.mean), list(backbone.std))]
        self.rest = v2.Compose(steps)
        if isinstance(augment.resize, ResizedCrop):
            area = (augment.resize.min_area, 1.0)
            self.resized = v2.RandomResizedCrop(augment.crop, scale=area, antialias=True)

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"] | None = None
    ) -> tuple[Float[Tensor, "3 c c"], UInt8[Tensor, "c c"] | None]:
        """A crop of the image as float32, and of its mask if it has one.

        Raises ValueError for a mask where there are extra steps.
        """
        if mask is not None and self.extra:
            raise ValueError("extra steps change the image alone; leave out the mask or them")
        sample: list[Tensor] = [tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))]
        if mask is not None:
            sample.append(tv_tensors.Mask(torch.from_numpy(mask)))
        resize = self.augment.resize
        if isinstance(resize, ResizedCrop):
            sample = self.rest(self.resized(sample))
        else:
            sample = self._crop(self.rest(self._resize(sample, resize)))
        image_out = sample[0].as_subclass(Tensor)
        return image_out, (sample[1].as_subclass(Tensor) if mask is not None else None)

    @staticmethod
    def _resize(sample: list[Tensor], to: LongSide | Square) -> list[Tensor]:
        if isinstance(to, Square):
            size = [to.side, to.side]
        else:
            side = int(torch.randint(to.min, to.max + 1, ()))
            height, width = sample[0].shape[-2:]
            scale = side / max(height, width)
            size = [max(1, round(height * scale)), max(1, round(width * scale))]
        return [
            F.resize(item, size, v2.InterpolationMode.BICUBIC)
            if isinstance(item, tv_tensors.Image)
            else F.resize(item, size)
            for item in sample
        ]

    def _crop(self, sample: list[Tensor]) -> list[Tensor]:
        crop = self.augment.crop
        height, width = sample[0].shape[-2:]
        # Where the image is smaller than the crop it lies at a random place in the padding.
        free_y, free_x = abs(height - crop), abs(width - crop)
        y, x = int(torch.randint(free_y + 1, ())), int(torch.randint(free_x + 1, ()))
        source_y, target_y = (y, 0) if height > crop else (0, y)
        source_x, target_x = (x, 0) if width > crop else (0, x)
        h, w = min(height, crop), min(width, crop)
        out = []
        for item in sample:
            fill = IGNORE if isinstance(item, tv_tensors.Mask) else 0
            canvas = torch.full((*item.shape[:-2], crop, crop), fill, dtype=item.dtype)
            part = item[..., source_y : source_y + h, source_x : source_x + w]
            canvas[..., target_y : target_y + h, target_x : target_x + w] = part
            out.append(canvas)
        return out


def _on_image(step: Callable[[Tensor], Tensor], sample: list[Tensor]) -> list[Tensor]:
    return [tv_tensors.Image(step(sample[0]))]
