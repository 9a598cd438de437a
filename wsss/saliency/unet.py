"""A U-Net on any pyramid of timm's: the light alternative to PoolNet."""

from __future__ import annotations

import torch
from jaxtyping import Float
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from wsss.nn.backbones import build_pyramid, freeze
from wsss.nn.recipe import Backbone

CHANNELS = (256, 128, 64, 32, 16)  # of the decoder, coarse to fine


class Unet(nn.Module):
    """segmentation-models-pytorch's decoder over the last levels of the backbone, five at most.

    Called with normalised images of any size, it returns logits (B, 1, H, W). Raises UserError for
    what timm cannot build.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = build_pyramid(backbone)
        levels = self.backbone.feature_info.channels()[-len(CHANNELS) :]
        widths = CHANNELS[-len(levels) :]
        self.decoder = UnetDecoder([3, *levels], widths, n_blocks=len(levels))
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)
        initialize_decoder(self.decoder)
        initialize_head(self.head)
        freeze(self.backbone, backbone)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b 1 H W"]:
        """Logits of what is salient."""
        levels: list[torch.Tensor] = self.backbone(images)[-len(CHANNELS) :]
        return self.head(self.decoder([images, *levels]))
