"""grad-cam scales maps to [0, 1] before and after it resizes them, and takes one target a row."""

import pytest
import torch

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import psi, rescale, resize
from wsss.attribution.methods.full_grad import full_grad
from wsss.attribution.methods.grad_cam import grad_cam
from wsss.attribution.methods.grad_cam_plus_plus import grad_cam_plus_plus
from wsss.attribution.methods.score_cam import score_cam

theirs = pytest.importorskip("pytorch_grad_cam")


@pytest.fixture
def steep(residual):
    """Logits and gradients so large that the constants it adds to denominators do not show."""
    with torch.no_grad():
        residual.fc.weight *= 1e4
    return residual


def their_maps(method, network, layer, found, images):
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(int(c)) for c in found.classes]
    layers = [network.get_submodule(layer)]
    with getattr(theirs, method)(network, layers) as cam:
        return torch.from_numpy(cam(images[found.images], targets))


@pytest.mark.parametrize("linear", ["fc", None])
@pytest.mark.parametrize(
    "ours, name", [(grad_cam, "GradCAM"), (grad_cam_plus_plus, "GradCAMPlusPlus")]
)
def test_grad_cam(steep, images, labels, ours, name, linear):
    found = ours(Classifier(steep, "relu", linear=linear), images, labels)
    maps = rescale(resize(psi(found.maps), (16, 20)))
    expected = their_maps(name, steep, "relu", found, images)
    assert expected.amax((1, 2)).min() > 0.99
    torch.testing.assert_close(maps, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("layer", ["pool", "branch"])
def test_grad_cam_of_a_layer_that_more_than_a_mean_follows(steep, images, labels, layer):
    found = grad_cam(Classifier(steep, layer), images, labels)
    maps = rescale(resize(psi(found.maps), (16, 20)))
    expected = their_maps("GradCAM", steep, layer, found, images)
    torch.testing.assert_close(maps, expected, rtol=0, atol=2e-5)


def test_grad_cam_plus_plus_of_a_layer_that_more_than_a_mean_follows(steep, images, labels):
    found = grad_cam_plus_plus(Classifier(steep, "pool"), images, labels)
    maps = rescale(resize(psi(found.maps), (16, 20)))
    expected = their_maps("GradCAMPlusPlus", steep, "pool", found, images)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-4)


def test_score_cam(residual, images, labels):
    classifier = Classifier(residual, "relu")
    found = score_cam(
        classifier, images, labels, channels=None, weight="softmax", align_corners=True
    )
    maps = rescale(resize(psi(found.maps), (16, 20)))
    expected = their_maps("ScoreCAM", residual, "relu", found, images)
    torch.testing.assert_close(maps, expected, rtol=0, atol=2e-5)


def test_full_grad(steep, images, labels):
    found = full_grad(Classifier(steep, "relu"), images, labels)
    expected = their_maps("FullGrad", steep, "relu", found, images)
    torch.testing.assert_close(rescale(found.maps), expected, rtol=0, atol=1e-4)
