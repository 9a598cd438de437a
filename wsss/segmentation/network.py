"""DeepLabV3+: a timm backbone under the decoder of segmentation-models-pytorch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.core.files.model_file import load_into, read_model
from wsss.core.recipe import canonical_json
from wsss.nn.backbones import build_pyramid, freeze
from wsss.nn.recipe import Backbone

CHANNELS = 256


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611) with class scores at stride 4.

    ASPP with dilations 6, 12, 18 at output stride 16, twice that at 8; depthwise separable
    convolutions and BatchNorm in the decoder, as in the paper. Called with normalised images of
    any size, it returns logits (B, num_classes, ⌈H/4⌉, ⌈W/4⌉): who needs full resolution upsamples
    them, who predicts need not pay for it. Raises UserError for what timm cannot build.
    """

    def __init__(self, backbone: Backbone, num_classes: int):
        super().__init__()
        self.backbone = build_pyramid(backbone)
        channels = self.backbone.feature_info.channels()
        self._low = self.backbone.feature_info.reduction().index(4)
        self.decoder = DeepLabV3PlusDecoder(
            encoder_channels=[3, 0, channels[self._low], channels[-1]],
            encoder_depth=5,
            out_channels=CHANNELS,
            atrous_rates=[rate * 16 // backbone.output_stride for rate in (6, 12, 18)],
            output_stride=backbone.output_stride,
            aspp_separable=True,
            aspp_dropout=0.5,
        )
        self.head = nn.Conv2d(CHANNELS, num_classes, 1)
        initialize_decoder(self.decoder)
        initialize_head(self.head)
        freeze(self.backbone, backbone)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Logits at stride 4."""
        features = self.backbone(images)
        low = features[self._low]
        # To the size of `low` and not by a factor: then the sides need not divide by the stride.
        context = F.interpolate(
            self.decoder.aspp(features[-1]), low.shape[-2:], mode="bilinear", align_corners=True
        )
        fused = torch.cat([context, self.decoder.block1(low)], 1)
        return self.head(self.decoder.block2(fused))


class TrainedSegmenter(NamedTuple):
    """A trained network; classes are the names of ids 1…C, its channels are 0 (background)…C."""

    network: DeepLabV3Plus
    backbone: Backbone
    classes: tuple[str, ...]
    seed: int


def load_segmenter(path: str | Path) -> TrainedSegmenter:
    """Read a segmentation model file; UserError if it is of another kind, or damaged."""
    state, about = read_model(path, "segmentation")
    backbone = Backbone.from_json(canonical_json(about["recipe"]["backbone"]))
    network = DeepLabV3Plus(backbone, 1 + len(about["classes"]))
    load_into(network, state, path)
    return TrainedSegmenter(network, backbone, tuple(about["classes"]), about["seed"])
