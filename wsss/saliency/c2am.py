"""The network of C²AM: a backbone and a map of what is foreground."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.core.files.model_file import load_into, read_model
from wsss.core.recipe import canonical_json
from wsss.nn.backbones import build_pyramid, freeze
from wsss.nn.recipe import Backbone


class Found(NamedTuple):
    """features: of the last two stages; logits: of one of two sides, which is not settled yet."""

    features: Float[Tensor, "b d h w"]
    logits: Float[Tensor, "b 1 h w"]


class C2am(nn.Module):
    """Features of the last two stages, and a 3×3 convolution with BatchNorm on them.

    Where the last stage is coarser it is brought to the grid of the one before. Raises UserError
    for what timm cannot build.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = build_pyramid(backbone)
        channels = self.backbone.feature_info.channels()[-2:]
        self.head = nn.Conv2d(sum(channels), 1, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(1)
        freeze(self.backbone, backbone)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Found:
        """The features of normalised images, and the logits of one side, both in float32.

        The grid has ⌈H/s⌉ × ⌈W/s⌉ places, with s the stride of the last stage but one.
        """
        before, last = self.backbone(images.contiguous(memory_format=torch.channels_last))[-2:]
        with torch.autocast(images.device.type, enabled=False):
            before, last = before.float(), last.float()
            if last.shape[-2:] != before.shape[-2:]:
                last = F.interpolate(last, before.shape[-2:], mode="bilinear", align_corners=False)
            features = torch.cat([last, before], 1)
            return Found(features, self.norm(self.head(features)))


class TrainedC2am(NamedTuple):
    """A trained network. negative: what it calls foreground lies at the border: the background."""

    network: C2am
    backbone: Backbone
    negative: bool
    seed: int


def load_c2am(path: str | Path) -> TrainedC2am:
    """Read a model file of C²AM; UserError for one of another kind, or a damaged one."""
    state, about = read_model(path, "c2am")
    backbone = Backbone.from_json(canonical_json(about["recipe"]["backbone"]))
    network = C2am(backbone)
    load_into(network, state, path)
    return TrainedC2am(network, backbone, about["negative"], about["seed"])
