"""CAM, Grad-CAM, Grad-CAM++ and the MinMax family, by hand and by what holds of all."""

import copy

import pytest
import torch
from torch.nn import functional as F

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import psi
from wsss.attribution.methods.cam import cam
from wsss.attribution.methods.d_minmax_cam import d_minmax_cam
from wsss.attribution.methods.d_minmax_grad_cam import d_minmax_grad_cam
from wsss.attribution.methods.grad_cam import grad_cam
from wsss.attribution.methods.grad_cam_plus_plus import grad_cam_plus_plus
from wsss.attribution.methods.minmax_cam import minmax_cam
from wsss.attribution.methods.minmax_grad_cam import minmax_grad_cam
from wsss.attribution.registry import METHODS
from wsss.core.errors import UserError
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head_recipe import Head, KurKernel, TapPooling
from wsss.nn.recipe import Backbone

EVERY = [0, 1, 2]
GRAD = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "minmax-grad-cam": minmax_grad_cam,
    "d-minmax-grad-cam": d_minmax_grad_cam,
}
CLOSED = {"cam": cam, "minmax-cam": minmax_cam, "d-minmax-cam": d_minmax_cam}


def flat(found):
    return found.maps.flatten(1)


def close(actual, expected):
    torch.testing.assert_close(
        actual, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_cam_by_hand(worked_closed, worked_images):
    found = cam(worked_closed, worked_images, EVERY)
    raw = [[8.5, -2.5, 3, 3], [2, 7, 5, -3], [-3, -5, -4, 1]]
    close(flat(found), raw)
    scaled = [[1, 0, 0.352941, 0.352941], [0.285714, 1, 0.714286, 0], [0, 0, 0, 1]]
    close(psi(found.maps).flatten(1), scaled)
    close(found.logits, [[3, 1.75, -5.75]])


def test_cam_without_negative_weights_by_hand(worked_closed, worked_images):
    found = cam(worked_closed, worked_images, EVERY, clamp_negative=True)
    close(flat(found), [[8.5, 0.5, 4, 3], [4, 9, 5, 1], [1, 1, 0, 2]])
    close(found.logits, [[3, 1.75, -5.75]])


def test_grad_cam_by_hand(worked, worked_images):
    found = grad_cam(worked, worked_images, EVERY)
    close(4 * flat(found), [[8.5, -2.5, 3, 3], [2, 7, 5, -3], [-3, -5, -4, 1]])


def test_grad_cam_plus_plus_by_hand(worked, worked_images):
    found = grad_cam_plus_plus(worked, worked_images, EVERY)
    weights = torch.tensor(
        [[0.363636, 0, 0.2], [0.266667, 0.6, 0], [0, 0, 0.333333]], dtype=torch.float64
    )
    expected = weights @ worked_images[0].flatten(1)
    torch.testing.assert_close(flat(found), expected, rtol=0, atol=1e-5)
    scaled = [[1, 0, 0.3625, 0.3875], [0.521739, 1, 0.565217, 0], [0.5, 0.5, 0, 1]]
    close(psi(found.maps).flatten(1), scaled)


MINMAX = [[1.0, -4, 2.5], [-1, 4, -2.5]]
D_MINMAX = {"code": [[1, -3, -0.25], [-1, 3, -1.25]], "formula": [[1, -3.5, -0.5], [-1, 2.5, -1.5]]}


def from_weights(weights, images):
    return torch.tensor(weights, dtype=torch.float64) @ images[0].flatten(1)


def test_minmax_cam_by_hand(worked_closed, worked_images):
    found = minmax_cam(worked_closed, worked_images)
    assert found.classes.tolist() == [0, 1]  # the detected ones
    torch.testing.assert_close(flat(found), from_weights(MINMAX, worked_images))
    close(psi(found.maps).flatten(1), [[1, 0, 0, 0.923077], [0, 1, 0.210526, 0]])


@pytest.mark.parametrize(
    "form, scaled",
    [
        ("code", [[1, 0, 0, 0.133333], [0, 1, 0.129032, 0]]),
        ("formula", [[1, 0, 0, 0], [0, 1, 0.083333, 0]]),
    ],
)
def test_d_minmax_cam_by_hand(worked_closed, worked_images, form, scaled):
    found = d_minmax_cam(worked_closed, worked_images, form=form)
    torch.testing.assert_close(flat(found), from_weights(D_MINMAX[form], worked_images))
    close(psi(found.maps).flatten(1), scaled)


def test_minmax_grad_cam_by_hand(worked, worked_images):
    found = minmax_grad_cam(worked, worked_images)
    torch.testing.assert_close(flat(found), from_weights(MINMAX, worked_images))


def test_d_minmax_grad_cam_by_hand(worked, worked_images):
    found = d_minmax_grad_cam(worked, worked_images)
    torch.testing.assert_close(flat(found), from_weights(D_MINMAX["code"], worked_images))


def test_a_class_that_is_not_contrasted_has_all_that_are_against_it(worked_closed, worked_images):
    # D = {0, 1}: the divisor of MinMax-CAM stays n − 1 = 1.
    found = minmax_cam(worked_closed, worked_images, [2])
    weights = [[-1 - 2 - 1, -2 + 1 - 3, 1 - 0.5 + 2.0]]
    torch.testing.assert_close(flat(found), from_weights(weights, worked_images))
    # In the formula it is |N_c| = 2; negative weights of D are −1 of k1, −2 of k2.
    found = d_minmax_cam(worked_closed, worked_images, [2], form="formula")
    weights = [[-3 / 2, -3 / 2 - 1 / 2, 1 - 0.5 / 2 - 2 / 2]]
    torch.testing.assert_close(flat(found), from_weights(weights, worked_images))


def test_the_contrast_set_can_be_given(worked, worked_images):
    found = minmax_grad_cam(worked, worked_images, [0], contrast=[0, 2])
    torch.testing.assert_close(flat(found), from_weights([[3.0, 1, -0.5]], worked_images))
    found = minmax_grad_cam(worked, worked_images, [0], contrast=0.9)  # only class 0 is above
    torch.testing.assert_close(flat(found), from_weights([[2.0, -1, 0.5]], worked_images))


ALONE = [
    (minmax_cam, {}, "fc"),
    (d_minmax_cam, {"form": "code"}, "fc"),
    (d_minmax_cam, {"form": "formula"}, "fc"),
    (minmax_grad_cam, {}, "fc"),
    (minmax_grad_cam, {}, None),
    (d_minmax_grad_cam, {}, "fc"),
    (d_minmax_grad_cam, {}, None),
]


@pytest.mark.parametrize("method, options, linear", ALONE)
def test_of_a_class_alone_in_its_image_it_is_cam(residual, images, method, options, linear):
    alone = F.one_hot(torch.tensor([2, 0, 3]), 4).bool()
    expected = cam(Classifier(residual, "relu", linear="fc"), images, alone).maps
    found = method(Classifier(residual, "relu", linear=linear), images, alone, **options).maps
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", GRAD)
def test_the_gradient_path_is_the_closed_form(residual, images, labels, name):
    closed = GRAD[name](Classifier(residual, "relu", linear="fc"), images, labels)
    path = GRAD[name](Classifier(residual, "relu"), images, labels)
    torch.testing.assert_close(path.maps, closed.maps)
    assert torch.equal(path.images, closed.images) and torch.equal(path.classes, closed.classes)
    torch.testing.assert_close(path.logits, closed.logits)


def test_the_gradient_path_gives_the_gradients_of_a_head_that_is_not_linear(residual, images):
    """The sixteen positions have other gradients: only so does clipping before summing show."""
    classifier = Classifier(residual, "stem")
    x = residual.stem(images).detach().requires_grad_()
    z = residual.relu(residual.last(residual.pool(x) + residual.branch(residual.pool(x))))
    s = residual.fc(z.mean((2, 3)))
    chosen = torch.zeros(3, 4, dtype=torch.bool)
    chosen[1, [0, 1, 3]] = True

    def g(target):
        return torch.autograd.grad(target, x, retain_graph=True)[0][1]

    own, others = g(s[1, 3]), g((s[1, 0] + s[1, 1]) / 2)
    expected = {
        "grad-cam": own.mean((1, 2)),
        "minmax-grad-cam": (own - others).sum((1, 2)),
        "d-minmax-grad-cam": (
            own.relu() - others.relu() + g((s[1, 0] + s[1, 1] + s[1, 3]) / 3).clamp(max=0)
        ).sum((1, 2)),
        "grad-cam++": torch.where(
            own > 0, own.square() / (2 * own**2 + x[1].sum((1, 2))[:, None, None] * own**3), 0
        )
        .mul(own.relu())
        .sum((1, 2)),
    }
    for name, weights in expected.items():
        found = GRAD[name](classifier, images, chosen)
        assert found.classes.tolist() == [0, 1, 3]
        by_hand = torch.einsum("k,khw->hw", weights, x[1])
        torch.testing.assert_close(found.maps[2], by_hand.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_without_weights_the_grad_variant_is_named(residual, images, name):
    with pytest.raises(UserError, match=f"use {name.replace('cam', 'grad-cam')}"):
        CLOSED[name](Classifier(residual, "relu"), images)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"lrp"}))
def test_a_batch_gives_what_its_images_give_alone(residual, images, labels, name):
    classifier = Classifier(residual, "relu", linear="fc")
    together = METHODS[name](classifier, images, labels)
    for i in range(len(images)):
        alone = METHODS[name](classifier, images[i : i + 1], labels[i : i + 1])
        mine = together.images == i
        assert alone.classes.tolist() == together.classes[mine].tolist()
        torch.testing.assert_close(together.maps[mine], alone.maps, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"lrp"}))
def test_without_a_selected_class_there_is_no_map(residual, images, name):
    found = METHODS[name](Classifier(residual, "relu", linear="fc"), images, 1.0)
    assert found.maps.shape[0] == 0 and found.logits.shape == (3, 4)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"lrp"}))
def test_nothing_is_left_of_a_call(residual, images, labels, name):
    before = {key: value.clone() for key, value in residual.state_dict().items()}
    found = METHODS[name](Classifier(residual, "relu", linear="fc"), images, labels)
    assert not any(isinstance(t, torch.Tensor) and t.requires_grad for t in found)
    assert all(p.grad is None and p.requires_grad for p in residual.parameters())
    assert all(torch.equal(value, before[key]) for key, value in residual.state_dict().items())
    assert not any(module._forward_hooks for module in residual.modules())
    assert not any(module._forward_pre_hooks for module in residual.modules())


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"lrp"}))
def test_inference_mode_around_a_call_changes_nothing(residual, images, labels, name):
    classifier = Classifier(residual, "relu", linear=None if "grad" in name else "fc")
    expected = METHODS[name](classifier, images, labels).maps
    with torch.inference_mode():
        torch.testing.assert_close(METHODS[name](classifier, images, labels).maps, expected)


@pytest.mark.parametrize("kind", ["resnet", "se", "group-norm"])
@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"full-grad", "lrp"}))
def test_networks_of_timm(tiny, kind, name):
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0]]).bool()
    found = METHODS[name](Classifier(tiny(kind), "layer4", linear="fc"), x, labels)
    size = 64 if name == "gradients" else 2
    assert found.maps.shape == (4, size, size)
    assert found.maps.isfinite().all() and found.maps.abs().amax((1, 2)).min() > 0


def cam_network(shake, head=None, name="test_resnet", stride=32):
    return shake(CamNetwork(Backbone(name=name, output_stride=stride), 4, head))


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"full-grad", "lrp"}))
def test_transformers_of_this_workflow(shake, name):
    network = cam_network(shake, name="test_vit", stride=16)
    x = torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0]]).bool()
    found = METHODS[name](Classifier.of_cam_network(network), x, labels)
    assert found.maps.shape == ((4, 40, 48) if name == "gradients" else (4, 3, 3))
    assert found.maps.isfinite().all() and found.maps.abs().amax((1, 2)).min() > 0


def test_cam_of_this_workflow_are_the_class_maps(shake, labels):
    network = cam_network(shake, Head(kernel=KurKernel(alpha=4)))
    x = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    found = cam(Classifier.of_cam_network(network), x, labels)
    with torch.no_grad():
        expected = network(x)
    torch.testing.assert_close(found.maps, expected.maps[labels], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.logits, expected.logits)


def test_thresholded_pooling_has_the_weights_but_takes_the_gradient_path(shake, labels):
    network = cam_network(shake, Head(pooling=TapPooling(threshold=0.5)))
    classifier = Classifier.of_cam_network(network)
    x = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = network(x).maps
    torch.testing.assert_close(cam(classifier, x, labels).maps, maps[labels])
    grad = grad_cam(classifier, x, labels)
    features = network.features(x).detach().requires_grad_()
    logits = network.head(features).logits
    pairs = zip(*labels.nonzero(as_tuple=True), grad.maps, strict=True)
    for image, c, m in pairs:
        (g,) = torch.autograd.grad(logits[image, c], features, retain_graph=True)
        by_hand = torch.einsum("k,khw->hw", g[image].mean((1, 2)), features[image])
        torch.testing.assert_close(m, by_hand.detach(), rtol=1e-4, atol=1e-5)
    # A feature's gradients sum to W whichever positions its average is over ...
    torch.testing.assert_close(9 * grad.maps, maps[labels], rtol=1e-4, atol=1e-4)
    # ... but they lie at these only, which Grad-CAM++ does not just sum.
    weighed = grad_cam_plus_plus(classifier, x, labels).maps
    closed = grad_cam_plus_plus(Classifier.of_cam_network(_averaging(network)), x, labels).maps
    assert not torch.allclose(psi(weighed), psi(closed), atol=0.01)


def _averaging(network):
    """The same weights behind an average over all positions."""
    other = copy.deepcopy(network)
    other.head.recipe = Head()
    return other


def test_another_layer_of_this_workflow_has_no_class_weights(shake, labels):
    network = cam_network(shake)
    classifier = Classifier(network, "backbone.layer3")
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match="use grad-cam"):
        cam(classifier, x, labels)
    assert grad_cam(classifier, x, labels).maps.shape == (6, 4, 4)


def test_sums_below_0_have_no_pole_in_grad_cam_plus_plus(worked, worked_images):
    x = worked_images.clone()
    x[0, 0] = torch.tensor([[-1.0, -1], [-1, -1]])  # S g = −4 · 2/4 = −2
    found = grad_cam_plus_plus(worked, x, [0])
    assert found.maps.isfinite().all()
