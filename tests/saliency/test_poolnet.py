import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wsss.core.errors import UserError
from wsss.nn.recipe import Backbone
from wsss.saliency.poolnet import Aggregation, PoolNet, PyramidPooling

from .conftest import fill_batch_norms


def test_it_has_the_published_number_of_parameters():
    network = PoolNet(Backbone(name="resnet50", batch_norm="frozen"))
    assert sum(p.numel() for p in network.parameters()) == 68_261_057


@pytest.mark.parametrize("size", [(64, 64), (50, 71), (16, 16)])
def test_logits_at_stride_2_for_any_size(size):
    network = PoolNet(Backbone(name="resnet10t")).eval()
    logits = network(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, -(-size[0] // 2), -(-size[1] // 2))


def up(maps, like):
    return F.interpolate(maps, like.shape[-2:], mode="bilinear", align_corners=True)


class Levels(nn.Module):
    """A backbone that gives the same five levels for any image."""

    def __init__(self, channels, sides):
        super().__init__()
        self.levels = [torch.randn(1, c, s, s + 1) for c, s in zip(channels, sides, strict=True)]

    def forward(self, images):
        return self.levels


def test_the_whole_network_by_hand():
    torch.manual_seed(0)
    network = PoolNet(Backbone(name="resnet10t"))
    network.backbone = Levels(network.backbone.feature_info.channels(), (24, 12, 6, 4, 4))
    for p in network.parameters():  # of a size at which no term drowns in another
        nn.init.normal_(p, 0, p[0].numel() ** -0.5)
    levels = network.backbone.levels
    a, b, c, d, e = (
        F.conv2d(level, k.weight).relu() for level, k in zip(levels, network.convert, strict=True)
    )
    guidance = network.pyramid(levels[-1])
    merged = e
    for i, skip in enumerate((d, c, b, a)):
        guide = F.conv2d(up(guidance, skip), network.guides[i].weight, padding=1).relu()
        merged = network.merge[i](merged, skip, guide)
    last, total = network.merge[-1], merged
    for side, convolution in zip((2, 4, 8), last.pooled, strict=True):
        small = F.conv2d(F.avg_pool2d(merged, side), convolution.weight, padding=1)
        total = total + up(small, merged)
    total = F.conv2d(total.relu(), last.sum.weight, padding=1)
    expected = F.conv2d(total, network.score.weight, network.score.bias)
    found = network(torch.zeros(1, 3, 48, 50))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.std().item())


def test_pyramid_pooling_by_hand():
    torch.manual_seed(0)
    module, x = PyramidPooling(4), torch.randn(1, 4, 15, 30)
    reduced = F.conv2d(x, module.reduce.weight)
    parts = [reduced]
    for bins, convolution in zip((1, 3, 5), module.bins, strict=True):
        pooled = F.avg_pool2d(reduced, (15 // bins, 30 // bins))
        parts.append(up(F.conv2d(pooled, convolution.weight).relu(), x))
    expected = F.conv2d(torch.cat(parts, 1), module.join.weight, padding=1).relu()
    torch.testing.assert_close(module(x), expected)


def test_new_layers_start_from_a_normal_distribution():
    torch.manual_seed(0)
    network = PoolNet(Backbone(name="resnet10t"))
    for name, p in network.named_parameters():
        if name.startswith("backbone."):
            continue
        if name == "score.bias":
            assert not p.any()
            continue
        n = p.numel()
        assert abs(p.mean()) < 5 * 0.01 / n**0.5, name
        assert abs(p.std() / 0.01 - 1) < 5 / (2 * n) ** 0.5, name
        within = (p.abs() < 0.01).double().mean().item()
        assert abs(within - 0.6827) < 5 * (0.6827 * 0.3173 / n) ** 0.5, name


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
    fill_batch_norms(network)
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    # Gradients behind weights of 0.01 are small, but none is 0.
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_more_than_five_levels_are_cut_and_fewer_refused():
    with torch.device("meta"):
        network = PoolNet(Backbone(name="vgg11", output_stride=32)).eval()
        assert network(torch.randn(1, 3, 64, 96)).shape == (1, 1, 32, 48)
    says = r"backbone.name: 'convnext_atto' has maps of 4 levels, PoolNet takes 5; choose .* unet"
    with pytest.raises(UserError, match=says):
        PoolNet(Backbone(name="convnext_atto", output_stride=32))


def test_a_transformer_is_refused():
    with pytest.raises(UserError, match="timm cannot build"):
        PoolNet(Backbone(name="vit_tiny_patch16_224"))
