"""Test-time augmentation over scales and flips, one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, ImageRecord, MaskReader
from wsss.core.gpu import claim_gpu
from wsss.core.memory import keep_freed_memory
from wsss.nn.recipe import Backbone, Images
from wsss.nn.transforms import normalise

T = TypeVar("T")


def device() -> torch.device:
    """CUDA (a GPU that no other wsss process has), else MPS, else CPU."""
    claim_gpu()
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def ready(network: nn.Module) -> nn.Module:
    """Evaluation mode, on the device, in the memory layout that convolutions like best."""
    keep_freed_memory()
    return network.eval().to(device(), memory_format=torch.channels_last)


def grid_size(size: tuple[int, int], stride: int = 4) -> tuple[int, int]:
    """Size of the map grid: ((H − 1) // stride + 1, (W − 1) // stride + 1)."""
    return (size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1


@torch.inference_mode()
def augmented_mean(
    forward: Callable[[Float[Tensor, "b 3 H W"]], Float[Tensor, "b c h w"]],
    image: UInt8[np.ndarray, "H W 3"],
    backbone: Backbone,
    *,
    scales: Sequence[float],
    flip: bool,
    size: tuple[int, int],
) -> Float[Tensor, "c sh sw"]:
    """Mean over scales (and horizontal flips) of forward's maps, each resized bilinearly to `size`.

    Scaled images are (round(H·s), round(W·s)), PIL bicubic; an image and its flip make one batch.
    Batches never mix images: the result does not depend on how a split is divided among jobs.
    """
    height, width = image.shape[:2]
    total: Tensor | None = None
    for scale in scales:
        scaled = image
        if scale != 1:
            target = (max(1, round(width * scale)), max(1, round(height * scale)))
            scaled = np.array(Image.fromarray(image).resize(target, Image.Resampling.BICUBIC))
        x = normalise(scaled, backbone)[None].to(device())
        x = torch.cat([x, x.flip(-1)]) if flip else x
        maps = forward(x.contiguous(memory_format=torch.channels_last)).float()
        maps = maps[:1] + maps[1:].flip(-1) if flip else maps
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
        total = maps if total is None else total + maps
    return total[0] / (len(scales) * (2 if flip else 1))


def in_order(
    reader: ImageReader,
    work: Callable[[ImageRecord], T],
    window: int = 16,
    chosen: Sequence[int] | None = None,
) -> Iterator[tuple[ImageRecord, T]]:
    """(record, work(record)) in the file's order; inside a window, images of one size go together.

    chosen: ascending places in the file; None: all.

    Neighbours of one size spare some planning of convolutions; a window bounds memory.
    """
    places = range(len(reader)) if chosen is None else chosen
    for start in range(0, len(places), window):
        span = places[start : start + window]
        done = {}
        for i in sorted(span, key=lambda i: (reader.sizes[i], i)):
            record = reader[i]
            done[i] = (record, work(record))
        for i in span:
            yield done.pop(i)


def places_with_masks(reader: ImageReader, masks: Path | None, images: Images) -> Sequence[int]:
    """Where in the images file those are that a recipe's `images` means.

    masks: the file that says which have masks; None exactly if all are meant. Of it only the names
    are read. UserError if recipe and file disagree.
    """
    if (images == "all") != (masks is None):
        remedy = "leave out --masks" if masks else "give the masks file as --masks"
        raise UserError(f"images is '{images}' in the recipe; {remedy}")
    if masks is None:
        return range(len(reader))
    with MaskReader(masks) as with_masks:
        known = set(with_masks.ids)
    return [i for i, name in enumerate(reader.ids) if name in known]
