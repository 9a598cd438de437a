"""What LRP refuses: operations without a rule, and numbers and images out of range."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wsss.attribution.classifier import Classifier
from wsss.attribution.lrp.lrp import lrp
from wsss.core.errors import UserError
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone

BOX = {"low": [-5.0] * 3, "high": [5.0] * 3}


def of(network):
    """LRP goes through the whole network: any layer will do."""
    return Classifier(network, next(name for name, _ in network.named_children()))


class Odd(nn.Module):
    """One convolution and something that has no rule."""

    def __init__(self, odd):
        super().__init__()
        self.convolution, self.odd = nn.Conv2d(3, 4, 3), odd

    def forward(self, x):
        x = self.convolution(x)
        return self.odd(x).flatten(1)[:, :3]


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def reused(x):
    torch.relu_(x)
    return x


@pytest.mark.parametrize(
    "module, message",
    [
        (nn.GroupNorm(2, 4), r"group_norm in 'odd' \(GroupNorm\)"),
        (nn.Sequential(nn.Identity(), nn.LayerNorm(6)), r"layer_norm in 'odd.1' \(LayerNorm\)"),
        (nn.ConvTranspose2d(4, 4, 2), r"conv_transpose2d in 'odd' \(ConvTranspose2d\)"),
        (
            Of(lambda x: F.batch_norm(x, None, None, training=True)),
            "batch_norm with the batch's own",
        ),
        (nn.Conv2d(4, 4, 2, padding="same"), "conv2d with more padding on one side"),
        (Of(torch.sin), r"sin in 'odd' \(Of\)"),
        (Of(lambda x: x * x.relu()), "mul of two that depend on the images"),
        (Of(lambda x: 1 / (3 + x)), "__rtruediv__"),
        (Of(lambda x: x / x.mean()), "div by what depends on the images"),
        (Of(lambda x: x + x.sigmoid()), "add of a sigmoid"),
        (Of(lambda x: torch.add(x, x, alpha=2)), "add with alpha"),
        (Of(lambda x: x @ x.transpose(2, 3)), "matmul"),
        (Of(lambda x: x.detach()), "detach"),
        (Of(lambda x: x if x.sum() > 0 else -x), "sum"),
        (Of(reused), "flatten, of a tensor that was overwritten in place"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_what_has_no_rule_is_refused_by_name(module, message):
    images = torch.randn(1, 3, 8, 8)
    network = Odd(module)
    with pytest.raises(UserError, match=message):
        lrp(of(network), images, [0])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


@pytest.mark.parametrize(
    "name, message",
    [
        ("vit_tiny_patch16_224", r"layer_norm in 'backbone.blocks.0.norm1' \(LayerNorm\)"),
        ("convnext_atto", r"layer_norm in 'backbone.stem.1' \(LayerNorm2d\)"),
    ],
)
def test_transformers_are_refused_by_name(name, message):
    stride = 16 if name.startswith("vit") else 32
    network = CamNetwork(Backbone(name=name, output_stride=stride), 3)
    with pytest.raises(UserError, match=message):
        lrp(Classifier.of_cam_network(network), torch.randn(1, 3, 64, 64), [0])


def test_training_mode_is_refused(residual):
    classifier = of(residual)
    residual.train()
    with pytest.raises(UserError, match=r"training mode in 'stem\.1'"):
        lrp(classifier, torch.randn(2, 3, 16, 16), [0])


def test_probabilities_are_refused(residual):
    network = nn.Sequential(residual, nn.Sigmoid())
    with pytest.raises(UserError, match="not logits; leave out its last sigmoid"):
        lrp(of(network), torch.randn(2, 3, 16, 16), [0])


def test_pixels_outside_of_the_box_are_refused(residual):
    low, high = [-2.0, -1.0, 0.0], [2.0, 1.0, 4.0]
    images = torch.zeros(1, 3, 16, 16)
    images[:, 0, 0, 0], images[:, 1, 0, 1], images[:, 2, 0, 2] = -2, 1, 4

    def box(images, **bounds):
        bounds = {"low": low, "high": high, **bounds}
        return lrp(of(residual), images, [0], composite="epsilon-gamma-box", **bounds)

    box(images)
    for channel, outside in ((0, -2.01), (1, 1.01), (2, -0.01)):
        wrong = images.clone()
        wrong[0, channel, 3, 3] = outside
        with pytest.raises(ValueError, match="not within low"):
            box(wrong)
    with pytest.raises(ValueError, match="low is None"):
        box(images, low=None)
    with pytest.raises(ValueError, match="three numbers"):
        box(images, high=[4.0])
    with pytest.raises(ValueError, match="not below"):
        box(images, low=high)


def test_a_box_needs_a_convolution_of_the_images():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 4), nn.Flatten())
    with pytest.raises(UserError, match="no convolution takes the images"):
        lrp(of(network), torch.zeros(1, 3, 4, 4), [0], composite="epsilon-gamma-box", **BOX)


def test_numbers_out_of_range_are_refused(residual):
    for options in (
        {"epsilon": -1.0},
        {"gamma": -0.1},
        {"composite": "alpha2-beta1", "alpha": 2.0, "beta": 0.5},
        {"composite": "alpha2-beta1", "alpha": 0.5, "beta": -0.5},
    ):
        with pytest.raises(ValueError):
            lrp(of(residual), torch.zeros(1, 3, 16, 16), [0], **options)
