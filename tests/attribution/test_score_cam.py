import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import rescale
from wsss.attribution.methods.score_cam import score_cam
from wsss.nn import folding


def masks_of(activations, size, align_corners=False):
    up = F.interpolate(activations, size, mode="bilinear", align_corners=align_corners)
    return rescale(up)


WEIGHTS = {"sigmoid": torch.sigmoid, "logit": lambda s: s, "softmax": lambda s: s.softmax(0)}


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_map_by_definition(residual, images, labels, weight, align_corners):
    classifier = Classifier(residual, "relu")
    found = score_cam(
        classifier, images, labels, channels=None, weight=weight, align_corners=align_corners
    )
    with torch.no_grad():
        a = classifier.see(images).activations
        masks = masks_of(a, (16, 20), align_corners)
        for i, c, m in zip(*labels.nonzero(as_tuple=True), found.maps, strict=True):
            varies = a[i].amax((1, 2)) > a[i].amin((1, 2))
            score = residual(images[i] * masks[i][varies][:, None])[:, c]
            by_hand = torch.einsum("k,khw->hw", WEIGHTS[weight](score), a[i][varies])
            torch.testing.assert_close(m, by_hand, rtol=1e-4, atol=1e-5)


def test_the_budget_takes_the_channels_of_most_deviation(residual, images):
    classifier = Classifier(residual, "relu")
    found = score_cam(classifier, images[:1], [1], channels=3)
    with torch.no_grad():
        a = classifier.see(images[:1]).activations[0]
        best = a.flatten(1).std(1).topk(3).indices
        masks = masks_of(a[None], (16, 20))[0, best]
        omega = residual(images[:1] * masks[:, None])[:, 1].sigmoid()
    by_hand = torch.einsum("k,khw->hw", omega, a[best])
    torch.testing.assert_close(found.maps[0], by_hand, rtol=1e-4, atol=1e-5)


def count_images(network):
    seen = []
    network.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    return seen


def test_classes_share_the_masked_passes_and_images_without_a_class_have_none(residual, images):
    classifier = Classifier(residual, "relu")
    with torch.no_grad():
        a = classifier.see(images).activations
    varies = int((a[0].amax((1, 2)) > a[0].amin((1, 2))).sum())
    seen = count_images(residual)
    labels = torch.zeros(3, 4, dtype=torch.bool)
    labels[0] = True
    found = score_cam(classifier, images, labels, chunk=5)
    assert len(found.maps) == 4
    assert seen[0] == 3 and sum(seen[1:]) == varies and max(seen[1:]) == 5


def test_constant_channels_mask_nothing(residual, images):
    """If a channel that is 100 everywhere had the weight of the image under it, it would show."""

    def one_channel_constant(module, args, output):
        output[:, 0] = 100.0
        return output

    residual.relu.register_forward_hook(one_channel_constant)
    classifier = Classifier(residual, "relu")
    with torch.no_grad():
        activations = classifier.see(images).activations
        assert residual(torch.zeros_like(images)).sigmoid()[:, 0].min() > 0.1
    assert (activations[:, 0] == 100).all()
    found = score_cam(classifier, images, [0], weight="sigmoid")
    rest = activations[:, 1:].sum(1)  # weights are at most 1
    assert (found.maps <= rest + 1e-3).all()


def test_an_image_whose_channels_are_all_constant_has_a_map_of_0(residual, images):
    residual.relu.register_forward_hook(lambda module, args, output: output * 0 + 1)
    found = score_cam(Classifier(residual, "relu"), images, [0])
    assert found.maps.shape == (3, 8 // 2, 10 // 2) and not found.maps.any()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_chunk_changes_nothing(residual, images, labels, chunk):
    classifier = Classifier(residual, "relu")
    expected = score_cam(classifier, images, labels).maps
    found = score_cam(classifier, images, labels, chunk=chunk).maps
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Branching(nn.Module):
    """Does to tensors what it does not to torch.fx's proxies: a trace shows another network."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        x = self.convolution(x)
        if isinstance(x, torch.Tensor):
            x = x.relu()
        return self.fc(self.norm(x).mean((2, 3)))


def test_batch_norm_is_folded_only_where_logits_stay(images, shake, monkeypatch):
    classifier = Classifier(shake(Branching()), "norm")
    assert len(folding._pairs(classifier.network)) == 1
    found = score_cam(classifier, images, [0, 1])
    monkeypatch.setattr(folding, "_pairs", lambda _: [])
    expected = score_cam(classifier, images, [0, 1])
    torch.testing.assert_close(found.maps, expected.maps, rtol=0, atol=0)
