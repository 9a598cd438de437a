import pytest
import torch

from wsss.nn.recipe import Backbone
from wsss.saliency.unet import Unet


@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("size", [(64, 64), (50, 71)])
def test_logits_at_the_images_size(size, stride):
    network = Unet(Backbone(name="resnet10t", output_stride=stride)).eval()
    assert network(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_every_parameter_gets_a_gradient():
    network = Unet(Backbone(name="resnet10t", output_stride=32))
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
