import pytest
import torch

from wsss.nn.recipe import Backbone
from wsss.saliency.unet import Unet

from .conftest import fill_batch_norms


@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("size", [(64, 64), (50, 71)])
def test_logits_at_the_images_size(size, stride):
    network = Unet(Backbone(name="resnet10t", output_stride=stride)).eval()
    assert network(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_every_parameter_gets_a_gradient():
    network = Unet(Backbone(name="resnet10t", output_stride=32))
    fill_batch_norms(network)
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("name", "stride", "levels"),
    [
        ("convnext_atto", 32, (4, 8, 16, 32)),
        ("vgg11", 32, (2, 4, 8, 16, 32)),
        ("wide_resnet38", 8, (4, 8, 8, 8, 8)),
    ],
)
def test_it_takes_the_last_five_levels_or_fewer(name, stride, levels):
    with torch.device("meta"):
        network = Unet(Backbone(name=name, output_stride=stride)).eval()
        logits = network(torch.randn(1, 3, 64, 96))
    assert logits.shape == (1, 1, 64, 96) and len(network.decoder.blocks) == len(levels)
    strides = network.backbone.feature_info.reduction()
    assert tuple(strides[-5:]) == levels
