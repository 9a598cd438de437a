"""WideResNet38-d: the wide, dilated pre-activation network of AffinityNet (PSA) and OC-CSE."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class WideResNet38(nn.Sequential):
    """Model A1 of Wu, Shen, van den Hengel (arXiv 1611.10080), dilated as in Ahn & Kwak 2018.

    (B, 3, H, W) → (B, 4096, ⌈H/8⌉, ⌈W/8⌉), all ≥ 0. Parameters are named as in the published
    code of both papers (`b2.bn_branch2a.weight`, `b4_1.conv_branch2b1.weight`, `bn7.weight`), so
    that state dicts converted from the published weights fit. `num_features` and `feature_info`
    are timm's: stages conv1a, b2…, b3…, b4…, b5…, b6, b7 with bn7 and ReLU.
    """

    num_features = 4096

    def __init__(self):
        blocks: OrderedDict[str, nn.Module] = OrderedDict(
            conv1a=nn.Conv2d(3, 64, 3, padding=1, bias=False)
        )
        channels = 64
        for level, count, width in ((2, 3, 128), (3, 3, 256), (4, 6, 512)):
            for i in range(count):
                blocks[_name(level, i)] = Block(channels, width, width, stride=1 if i else 2)
                channels = width
        for i in range(3):
            # The first convolution still looks at level 4's grid, which is not dilated.
            dilations = (2, 2) if i else (1, 2)
            blocks[_name(5, i)] = Block(channels, 512, 1024, dilations=dilations)
            channels = 1024
        blocks["b6"] = Bottleneck(1024, 2048, dropout=0.3)
        blocks["b7"] = Bottleneck(2048, 4096, dropout=0.5)
        blocks["bn7"] = nn.BatchNorm2d(4096)
        blocks["relu7"] = nn.ReLU(inplace=True)
        super().__init__(blocks)
        self.feature_info = [
            {"module": module, "num_chs": width, "reduction": stride}
            for module, width, stride in (
                ("conv1a", 64, 1),
                ("b2_2", 128, 2),
                ("b3_2", 256, 4),
                ("b4_5", 512, 8),
                ("b5_2", 1024, 8),
                ("b6", 2048, 8),
                ("relu7", 4096, 8),
            )
        ]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)


def _name(level: int, i: int) -> str:
    return f"b{level}_{i}" if i else f"b{level}"


class Block(nn.Module):
    """Two 3×3 convolutions, each after BatchNorm and ReLU (pre-activation, arXiv 1603.05027).

    y = shortcut + conv(relu(bn(conv(relu(bn(x)))))): the first convolution has the stride. The
    shortcut is x; where shapes differ, a 1×1 convolution of relu(bn(x)).
    """

    def __init__(
        self,
        channels: int,
        mid: int,
        out: int,
        stride: int = 1,
        dilations: tuple[int, int] = (1, 1),
    ):
        super().__init__()
        first, second = dilations
        self.bn_branch2a = nn.BatchNorm2d(channels)
        self.conv_branch2a = nn.Conv2d(channels, mid, 3, stride, first, first, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(mid)
        self.conv_branch2b1 = nn.Conv2d(mid, out, 3, 1, second, second, bias=False)
        if channels != out or stride != 1:
            self.conv_branch1 = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Float[Tensor, "b c H W"]) -> Float[Tensor, "b k h w"]:
        """(B, channels, H, W) → (B, out, ⌈H/stride⌉, ⌈W/stride⌉)."""
        y = torch.relu_(self.bn_branch2a(x))
        shortcut = self.conv_branch1(y) if hasattr(self, "conv_branch1") else x
        y = torch.relu_(self.bn_branch2b1(self.conv_branch2a(y)))
        return shortcut + self.conv_branch2b1(y)


class Bottleneck(nn.Module):
    """1×1, 3×3 with dilation 4, 1×1 to a quarter, a half and all of the `out` channels.

    Pre-activation and projection shortcut as in `Block`; whole channels are dropped before the
    second and the third convolution, as in PSA's code (the original network drops none).
    """

    def __init__(self, channels: int, out: int, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.bn_branch2a = nn.BatchNorm2d(channels)
        self.conv_branch2a = nn.Conv2d(channels, out // 4, 1, bias=False)
        self.bn_branch2b1 = nn.BatchNorm2d(out // 4)
        self.conv_branch2b1 = nn.Conv2d(out // 4, out // 2, 3, 1, 4, 4, bias=False)
        self.bn_branch2b2 = nn.BatchNorm2d(out // 2)
        self.conv_branch2b2 = nn.Conv2d(out // 2, out, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """(B, channels, h, w) → (B, out, h, w)."""
        y = torch.relu_(self.bn_branch2a(x))
        shortcut = self.conv_branch1(y)
        y = torch.relu_(self.bn_branch2b1(self.conv_branch2a(y)))
        y = torch.relu_(self.bn_branch2b2(self.conv_branch2b1(self._drop(y))))
        return shortcut + self.conv_branch2b2(self._drop(y))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.dropout, self.training)
