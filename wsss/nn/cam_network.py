"""The classification network whose class maps are the CAMs."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from wsss.nn.backbones import build_trunk, freeze_batch_norm
from wsss.nn.recipe import Backbone


class CamNetwork(nn.Module):
    """Backbone, then a 1×1 convolution without bias (Zhou et al. 2016 in fully convolutional form).

    logits = spatial mean of the class maps, which equals pooling first and classifying then.
    """

    def __init__(self, backbone: Backbone, num_classes: int):
        super().__init__()
        self.backbone = build_trunk(backbone)
        self.head = nn.Conv2d(self.backbone.num_features, num_classes, 1, bias=False)
        nn.init.kaiming_normal_(self.head.weight)
        if backbone.batch_norm == "frozen":
            freeze_batch_norm(self.backbone)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Class maps before ReLU."""
        return self.head(self.backbone(images))
