"""Which networks a method takes: maps of the right shape, or a line that names what it cannot."""

import pytest
import timm
import torch
import torchvision

from wsss.attribution.classifier import Classifier
from wsss.attribution.methods.cam import cam
from wsss.attribution.methods.grad_cam import grad_cam
from wsss.attribution.registry import METHODS
from wsss.core.errors import UserError
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone

LABELS = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0]]).bool()
PIXELS = {"gradients", "full-grad", "lrp"}  # maps at the image's size
BY_NAME = {
    "full-grad": r"piecewise affine network, which \S+ \((LayerNorm\w*|GroupNorm|Sigmoid|GELU)\)",
    "lrp": r"no rule for (layer|group)_norm in '\S+' \((Layer|Group)Norm\w*\)",
}


def images(height=64, width=64):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def small_swin(shake):
    options = dict(img_size=64, embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 3, 4))
    name = "swin_tiny_patch4_window7_224"
    return shake(timm.create_model(name, num_classes=4, window_size=2, **options))


def small_swin_of_torchvision(shake):
    options = dict(patch_size=[4, 4], embed_dim=24, depths=[1, 1], num_heads=[1, 2])
    return shake(torchvision.models.SwinTransformer(**options, window_size=[2, 2], num_classes=4))


def require_maps(name, classifier, x, size):
    found = METHODS[name](classifier, x, LABELS)
    expected = tuple(x.shape[2:]) if name in PIXELS else size
    assert found.maps.shape == (4, *expected)
    assert found.maps.isfinite().all() and found.maps.abs().amax((1, 2)).min() > 0


@pytest.mark.parametrize("name", METHODS)
def test_swin_of_timm(shake, name):
    classifier = Classifier(small_swin(shake), "norm", linear="head.fc", channels_last=True)
    if name in BY_NAME:
        with pytest.raises(UserError, match=BY_NAME[name]):
            METHODS[name](classifier, images(), LABELS)
    else:
        require_maps(name, classifier, images(), (2, 2))


def test_channels_last_are_the_same_maps(shake):
    """Of torchvision's Swin a module turns them to the front."""
    network = small_swin_of_torchvision(shake)
    first = Classifier(network, "permute", linear="head")
    last = Classifier(network, "norm", linear="head", channels_last=True)
    x = images(64, 96)
    inner = Classifier(network, "features.1", channels_last=True)
    with torch.no_grad():
        torch.testing.assert_close(inner.see(x).logits, network(x))
    for method, ours in ((cam, last), (grad_cam, Classifier(network, "norm", channels_last=True))):
        expected = method(first, x, LABELS).maps
        assert expected.shape == (4, 8, 12)
        torch.testing.assert_close(method(ours, x, LABELS).maps, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_a_layout_that_is_not_the_layers_is_refused(shake, residual, size):
    x = images(*size)
    network = small_swin_of_torchvision(shake)
    with pytest.raises(UserError, match=r"'norm' gives .*, 48\) for .*; set channels_last=True"):
        grad_cam(Classifier(network, "norm"), x, LABELS)
    wrong = Classifier(residual, "stem", channels_last=True)
    with pytest.raises(UserError, match=r"'stem' gives .*; leave channels_last out"):
        grad_cam(wrong, x, LABELS)


def test_maps_of_odd_proportions_are_taken_as_they_are(residual):
    residual.pool = torch.nn.AdaptiveAvgPool2d((1, 16))
    residual.last[0].stride = (1, 1)
    assert grad_cam(Classifier(residual, "pool"), images(), LABELS).maps.shape == (4, 1, 16)


@pytest.mark.parametrize("name", METHODS)
def test_tokens_of_another_vit_are_refused_by_name(shake, name):
    network = shake(timm.create_model("test_vit", num_classes=4, img_size=64))
    classifier = Classifier(network, "blocks")
    if name == "gradients":
        require_maps(name, classifier, images(), None)
        return
    tokens = r"'blocks' gives \(2, 17, 64\), no \(B, K, h, w\) maps"
    weights = r"no weights lead from 'blocks' to the logits"
    closed = name in ("cam", "minmax-cam", "d-minmax-cam")
    with pytest.raises(UserError, match=BY_NAME.get(name, weights if closed else tokens)):
        METHODS[name](classifier, images(), LABELS)


@pytest.mark.parametrize("name", ["cam", "grad-cam++", "minmax-grad-cam", "full-grad", "lrp"])
def test_swin_of_this_workflow(shake, name):
    backbone = Backbone(name="swin_tiny_patch4_window7_224", output_stride=32)
    classifier = Classifier.of_cam_network(shake(CamNetwork(backbone, 4)))
    if name in BY_NAME:
        with pytest.raises(UserError, match=BY_NAME[name]):
            METHODS[name](classifier, images(), LABELS)
    else:
        require_maps(name, classifier, images(), (2, 2))


@pytest.mark.parametrize("name", ["full-grad", "lrp"])
@pytest.mark.parametrize("kind", ["resnet", "se", "group-norm"])
def test_residual_blocks_gates_and_group_norm(tiny, kind, name):
    """What takes the whole network apart has the residual sums; gates only LRP; GroupNorm none."""
    classifier = Classifier(tiny(kind), "layer4", linear="fc")
    if kind == "group-norm" or (kind, name) == ("se", "full-grad"):
        with pytest.raises(UserError, match=BY_NAME[name]):
            METHODS[name](classifier, images(), LABELS)
    else:
        require_maps(name, classifier, images(), None)


@pytest.mark.parametrize("name", METHODS)
def test_convnext(shake, name):
    """LayerNorm of maps that are channels first; behind the means it is no linear layer alone."""
    classifier = Classifier(shake(timm.create_model("test_convnext", num_classes=4)), "stages")
    refused = BY_NAME | dict.fromkeys(("cam", "minmax-cam", "d-minmax-cam"), "no weights lead from")
    if name in refused:
        with pytest.raises(UserError, match=refused[name]):
            METHODS[name](classifier, images(), LABELS)
    else:
        require_maps(name, classifier, images(), (2, 2))


def test_a_linear_layer_of_other_features_is_refused(tiny):
    with pytest.raises(UserError, match="leave linear out"):
        cam(Classifier(tiny("resnet"), "layer2", linear="fc"), images(), LABELS)
