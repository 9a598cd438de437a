"""The classification network whose class maps are the CAMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wsss.core.model_file import load_into, read_model
from wsss.core.recipe import canonical_json
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
        self.to(memory_format=torch.channels_last)  # the layout convolutions are fastest in

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Class maps before ReLU."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.head(self.backbone(images))


class TrainedCamNetwork(NamedTuple):
    """A trained classifier; classes are the names of ids 1…C, recipe is the classifier's whole."""

    network: CamNetwork
    backbone: Backbone
    classes: tuple[str, ...]
    recipe: dict[str, Any]
    seed: int


def load_cam_network(path: str | Path, output_stride: int | None = None) -> TrainedCamNetwork:
    """Read a classifier's model file.

    output_stride: 8, 16 or 32 in place of the trained one; dilation changes no weights.
    Raises UserError for a file that is no classifier, or is damaged.
    """
    state, about = read_model(path, "classifier")
    plain = dict(about["recipe"]["backbone"])
    if output_stride is not None:
        plain["output_stride"] = output_stride
    backbone = Backbone.from_json(canonical_json(plain))
    network = CamNetwork(backbone, len(about["classes"]))
    load_into(network, state, path)
    return TrainedCamNetwork(
        network, backbone, tuple(about["classes"]), about["recipe"], about["seed"]
    )
