"""captum takes one target a row, so that an image is repeated for each of its classes."""

import pytest
import torch

from wsss.attribution.classifier import Classifier
from wsss.attribution.methods.grad_cam import grad_cam
from wsss.attribution.methods.gradients import gradients

attr = pytest.importorskip("captum.attr")


def test_gradients(residual, images, labels):
    found = gradients(Classifier(residual, "relu"), images, labels)
    repeated = images[found.images].requires_grad_()
    theirs = attr.Saliency(residual).attribute(repeated, target=found.classes, abs=True)
    torch.testing.assert_close(found.maps, theirs.mean(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer, linear", [("relu", "fc"), ("relu", None), ("pool", None)])
def test_grad_cam(residual, images, labels, layer, linear):
    found = grad_cam(Classifier(residual, layer, linear=linear), images, labels)
    method = attr.LayerGradCam(residual, residual.get_submodule(layer))
    theirs = method.attribute(images[found.images], target=found.classes)
    torch.testing.assert_close(found.maps, theirs[:, 0].detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["resnet", "se", "group-norm"])
def test_both_of_networks_of_timm(tiny, kind):
    network = tiny(kind)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0]]).bool()
    found = gradients(Classifier(network, "layer4"), x, labels)
    theirs = attr.Saliency(network).attribute(
        x[found.images].requires_grad_(), target=found.classes, abs=True
    )
    torch.testing.assert_close(found.maps, theirs.mean(1), rtol=1e-3, atol=1e-6)
    found = grad_cam(Classifier(network, "layer3"), x, labels)
    theirs = attr.LayerGradCam(network, network.layer3).attribute(
        x[found.images], target=found.classes
    )
    torch.testing.assert_close(found.maps, theirs[:, 0].detach(), rtol=1e-3, atol=1e-6)
