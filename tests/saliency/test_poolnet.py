import pytest
import torch
from torch.nn import functional as F

from wsss.core.errors import UserError
from wsss.nn.recipe import Backbone
from wsss.saliency.poolnet import Aggregation, PoolNet, PyramidPooling


def test_it_has_the_published_number_of_parameters():
    network = PoolNet(Backbone(name="resnet50", batch_norm="frozen"))
    assert sum(p.numel() for p in network.parameters()) == 68_261_057


@pytest.mark.parametrize("size", [(64, 64), (50, 71), (16, 16)])
def test_logits_at_stride_2_for_any_size(size):
    network = PoolNet(Backbone(name="resnet10t")).eval()
    logits = network(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, -(-size[0] // 2), -(-size[1] // 2))


def test_pyramid_pooling_of_a_constant_is_one_number_inside():
    pooling = PyramidPooling(4)
    with torch.no_grad():
        found = pooling(torch.ones(1, 4, 9, 9))
    inner = found[..., 1:-1, 1:-1]  # at the border the 3×3 convolution sees padding
    torch.testing.assert_close(inner, inner[..., :1, :1].expand_as(inner))


def test_aggregation_by_hand():
    torch.manual_seed(0)
    module = Aggregation(2, 3, fuses=True)
    x, skip, guide = torch.randn(1, 2, 8, 8), torch.randn(1, 3, 16, 16), torch.randn(1, 3, 16, 16)
    total = x.clone()
    for pool, convolution in zip((2, 4, 8), module.pooled, strict=True):
        small = F.conv2d(F.avg_pool2d(x, pool), convolution.weight, padding=1)
        total += F.interpolate(small, (8, 8), mode="bilinear", align_corners=True)
    total = F.interpolate(total.relu(), (16, 16), mode="bilinear", align_corners=True)
    expected = F.conv2d(total, module.sum.weight, padding=1) + skip + guide
    expected = F.conv2d(expected, module.fuse.weight, padding=1)
    torch.testing.assert_close(module(x, skip, guide), expected)


def test_every_parameter_gets_a_gradient():
    network = PoolNet(Backbone(name="resnet10t"))
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_a_transformer_is_refused():
    with pytest.raises(UserError, match="timm cannot build"):
        PoolNet(Backbone(name="vit_tiny_patch16_224"))
