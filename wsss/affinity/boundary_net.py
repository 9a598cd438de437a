"""BoundaryNet: the probability of a class boundary, from the stages of a frozen backbone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from wsss.affinity.recipe import STRIDE
from wsss.nn.backbones import build_pyramid
from wsss.nn.recipe import Backbone

CHANNELS = 32  # per stage


class BoundaryNet(nn.Module):
    """The boundary branch of IRN (Ahn et al. 2019) as Puzzle-CAM and P-NOC use it.

    Its output is boundary logits at stride 4. It is not the network of PSA (Ahn and Kwak 2018),
    which is the one that its authors called AffinityNet.

    Each stage of the backbone → 1×1 convolution without bias → GroupNorm(4) → stride-4 grid →
    ReLU; concatenated → 1×1 convolution → one logit. The backbone stays in evaluation mode and
    untrained. Stages of a stride below 4 are first max-pooled (3×3, stride 2, padding 1) to it:
    timm's first ResNet stage is the stem before the network's own max pooling, the papers' first
    tap the stem after it, and the two become the same.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = build_pyramid(backbone).requires_grad_(False)
        info = self.backbone.feature_info
        self.strides: list[int] = info.reduction()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, CHANNELS, 1, bias=False), nn.GroupNorm(4, CHANNELS))
            for channels in info.channels()
        )
        self.logit = nn.Conv2d(CHANNELS * len(self.stages), 1, 1)
        self.train()

    def train(self, mode: bool = True) -> BoundaryNet:
        """The backbone's BatchNorm always uses its running statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b h w"]:
        """Logits of a class boundary at ((H − 1) // 4 + 1, (W − 1) // 4 + 1).

        With sides that are multiples of 32 every stage is enlarged by exactly stride / 4.
        """
        size = [(side - 1) // STRIDE + 1 for side in images.shape[-2:]]
        with torch.no_grad():
            features = [
                self._to_stride_4(x, stride)
                for x, stride in zip(self.backbone(images), self.strides, strict=True)
            ]
        stages = [stage(x) for stage, x in zip(self.stages, features, strict=True)]
        stages = [
            x if list(x.shape[-2:]) == size else F.interpolate(x, size, mode="bilinear")
            for x in stages
        ]
        return self.logit(torch.cat([F.relu(x) for x in stages], 1))[:, 0]

    @staticmethod
    def _to_stride_4(x: Tensor, stride: int) -> Tensor:
        while stride < STRIDE:
            x, stride = F.max_pool2d(x, 3, stride=2, padding=1), stride * 2
        return x
