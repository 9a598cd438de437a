"""PoolNet (Liu et al. 2019): pooling-based salient object detection on any pyramid of timm's."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.core.errors import UserError
from wsss.nn.backbones import build_pyramid, freeze
from wsss.nn.recipe import Backbone

LEVELS = 5
CONVERTED = (128, 256, 256, 512, 512)  # channels after the 1×1 convolutions, fine to coarse
MERGED = (512, 256, 256, 128, 128)  # after the feature aggregation modules, coarse to fine
GUIDANCE = 512
BINS = (1, 3, 5)  # of the pyramid pooling module
POOLS = (2, 4, 8)  # of a feature aggregation module


class PoolNet(nn.Module):
    """A pyramid pooling module guides five feature aggregation modules, from coarse to fine.

    Called with normalised images of any size, it returns logits (B, 1, H', W') at the size of the
    finest of the last five levels (stride 2 for a ResNet). With a ResNet-50 it has 68,261,057
    parameters, as the published one. Raises UserError for what timm cannot build, and for a network
    of fewer levels.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = build_pyramid(backbone)
        channels = self.backbone.feature_info.channels()[-LEVELS:]
        if len(channels) < LEVELS:
            raise UserError(
                f"backbone.name: '{backbone.name}' has maps of {len(channels)} levels, PoolNet "
                f"takes {LEVELS}; choose a network such as resnet50, or architecture unet"
            )
        self.convert = nn.ModuleList(
            _convolution(c, k, 1) for c, k in zip(channels, CONVERTED, strict=True)
        )
        self.pyramid = PyramidPooling(channels[-1])
        self.guides = nn.ModuleList(_convolution(GUIDANCE, k, 3) for k in MERGED[:-1])
        widths = (CONVERTED[-1], *MERGED)
        self.merge = nn.ModuleList(
            Aggregation(before, after, fuses=i < LEVELS - 1)
            for i, (before, after) in enumerate(pairwise(widths))
        )
        self.score = nn.Conv2d(MERGED[-1], 1, 1)
        for module in (self.convert, self.pyramid, self.guides, self.merge, self.score):
            _initialise(module)
        freeze(self.backbone, backbone)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1 h w"]:
        """Logits of what is salient."""
        levels = self.backbone(images)[-LEVELS:]
        guidance = self.pyramid(levels[-1])
        *skips, merged = [
            convert(level).relu() for convert, level in zip(self.convert, levels, strict=True)
        ]
        for guide, merge, skip in zip(self.guides, self.merge[:-1], reversed(skips), strict=True):
            merged = merge(merged, skip, guide(_resize(guidance, skip)).relu())
        return self.score(self.merge[-1](merged))


class PyramidPooling(nn.Module):
    """What the image holds as a whole: features, and their pools of 1, 9 and 25 bins."""

    def __init__(self, channels: int):
        super().__init__()
        self.reduce = _convolution(channels, GUIDANCE, 1)
        self.bins = nn.ModuleList(_convolution(GUIDANCE, GUIDANCE, 1) for _ in BINS)
        self.join = _convolution(GUIDANCE * (1 + len(BINS)), GUIDANCE, 3)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Guidance at the size of the features."""
        reduced = self.reduce(features)
        pooled = [
            _resize(convolution(F.adaptive_avg_pool2d(reduced, bins)).relu(), reduced)
            for bins, convolution in zip(BINS, self.bins, strict=True)
        ]
        return self.join(torch.cat([reduced, *pooled], 1)).relu()


class Aggregation(nn.Module):
    """A feature aggregation module: sees its input at four scales, then takes in a finer level."""

    def __init__(self, before: int, after: int, *, fuses: bool):
        super().__init__()
        self.pooled = nn.ModuleList(_convolution(before, before, 3) for _ in POOLS)
        self.sum = _convolution(before, after, 3)
        self.fuse = _convolution(after, after, 3) if fuses else None

    def forward(
        self,
        features: Float[Tensor, "b c h w"],
        skip: Float[Tensor, "b k y x"] | None = None,
        guide: Float[Tensor, "b k y x"] | None = None,
    ) -> Float[Tensor, "b k ..."]:
        """At the size of `skip` where there is one."""
        total = features
        for pool, convolution in zip(POOLS, self.pooled, strict=True):
            kernel = [min(pool, side) for side in features.shape[-2:]]
            total = total + _resize(convolution(F.avg_pool2d(features, kernel)), features)
        total = total.relu()
        if skip is None or guide is None or self.fuse is None:
            return self.sum(total)
        return self.fuse(self.sum(_resize(total, skip)) + skip + guide)


def _convolution(before: int, after: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, padding=size // 2, bias=False)


def _initialise(module: nn.Module) -> None:
    """N(0, 0.01), as published; biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, 0, 0.01)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _resize(maps: Float[Tensor, "b c h w"], like: Float[Tensor, "b k y x"]) -> Tensor:
    """To the size of `like`; corners on corners, as published."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return F.interpolate(maps, like.shape[-2:], mode="bilinear", align_corners=True)
