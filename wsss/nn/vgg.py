"""VGG's convolutions without its fully connected layers, at output stride 8, 16 or 32."""

from __future__ import annotations

import timm
from torch import nn


def vgg_trunk(name: str, output_stride: int) -> nn.Module:
    """timm's VGG up to its last feature map: (B, 3, H, W) → (B, 512, ⌈H/s⌉, ⌈W/s⌉).

    32 is the whole network. 16 leaves out the last max pooling (VGG16-GAP). 8 takes one max
    pooling more at every position, not at every other, and dilates what follows: every second of
    its rows and columns are the maps of 16 (à trous, arXiv 1412.7062). timm's names of the state.
    """
    # The ratio leaves one channel of the 4096 of the two layers that are dropped below.
    network = timm.create_model(name, num_classes=0, global_pool="", mlp_ratio=1 / 4096)
    network.pre_logits = nn.Identity()
    stride = dilation = 1
    for i, layer in enumerate(network.features):
        if isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (dilation, dilation)
        elif isinstance(layer, nn.MaxPool2d) and stride < output_stride:
            layer.ceil_mode = True
            stride *= 2
        elif isinstance(layer, nn.MaxPool2d):
            last = i == len(network.features) - 1
            network.features[i] = nn.Identity() if last else _everywhere(dilation)
            dilation *= 2
    for stage in network.feature_info:
        stage["reduction"] = min(stage["reduction"], output_stride)
    return network


def _everywhere(dilation: int) -> nn.Module:
    # Zeros do not change the maximum of values after ReLU.
    return nn.Sequential(
        nn.ZeroPad2d((0, dilation, 0, dilation)), nn.MaxPool2d(2, stride=1, dilation=dilation)
    )
