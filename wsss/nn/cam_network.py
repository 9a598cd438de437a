"""The classification network whose class maps are the CAMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wsss.core.files.model_file import load_into, read_model
from wsss.core.recipe import canonical_json
from wsss.nn.backbones import build_trunk, freeze
from wsss.nn.head import CamHead, ClassMaps
from wsss.nn.head_recipe import Head
from wsss.nn.recipe import Backbone


class CamNetwork(nn.Module):
    """A backbone and a head that gives class maps and logits."""

    def __init__(self, backbone: Backbone, num_classes: int, head: Head | None = None):
        super().__init__()
        self.backbone = build_trunk(backbone)
        self.head = CamHead(self.backbone.num_features, num_classes, head or Head())
        freeze(self.backbone, backbone)
        self.to(memory_format=torch.channels_last)  # the layout convolutions are fastest in

    def features(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k h w"]:
        """The backbone's last feature maps."""
        return self.backbone(images.contiguous(memory_format=torch.channels_last))

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> ClassMaps:
        """Class maps before ReLU, and logits."""
        return self.head(self.features(images))


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
    Raises UserError for a file that is not a classifier, or is damaged.
    """
    state, about = read_model(path, "classifier")
    plain = dict(about["recipe"]["backbone"])
    if output_stride is not None:
        plain["output_stride"] = output_stride
    backbone = Backbone.from_json(canonical_json(plain))
    head = Head.from_json(canonical_json(about["recipe"].get("head", {})))
    network = CamNetwork(backbone, len(about["classes"]), head)
    load_into(network, state, path)
    return TrainedCamNetwork(
        network, backbone, tuple(about["classes"]), about["recipe"], about["seed"]
    )
