"""SmoothGrad and test-time augmentation."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import Maps, resize
from wsss.attribution.methods.cam import cam
from wsss.attribution.methods.gradients import gradients
from wsss.attribution.methods.minmax_cam import minmax_cam
from wsss.attribution.smooth import smooth
from wsss.attribution.tta import tta


@pytest.fixture
def classifier(residual):
    return Classifier(residual, "relu", linear="fc")


@pytest.fixture
def undecided(residual, images):
    """A classifier whose logits are about 0, so that noise and scales change what it detects."""
    with torch.no_grad():
        residual.fc.bias -= residual(images).mean(0)
    classifier = Classifier(residual, "relu", linear="fc")
    noisy = images + 3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(images, scale_factor=2, mode="bilinear")
    with torch.no_grad():
        before = classifier.logits(images) > 0
        assert not torch.equal(classifier.logits(noisy) > 0, before)
        assert not torch.equal(classifier.logits(large) > 0, before)
    return classifier


def same(a, b):
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", [gradients, cam])
def test_without_repetitions_smoothing_changes_nothing(classifier, images, labels, method):
    same(smooth(method, 1)(classifier, images, labels), method(classifier, images, labels))


def test_smoothing_by_hand(classifier, images, labels):
    """The first of the three is the image itself; noise has the standard deviation sigma."""
    seen = []

    def watched(classifier, x, selection):
        seen.append(x)
        return gradients(classifier, x, selection)

    found = smooth(watched, 3, 0.2)(classifier, images, labels)
    assert torch.equal(seen[0], images) and len(seen) == 3
    for noisy in seen[1:]:
        assert (noisy - images).std().item() == pytest.approx(0.2, rel=0.15)
    mean = sum(gradients(classifier, x, labels).maps for x in seen) / 3
    torch.testing.assert_close(found.maps, mean)
    torch.testing.assert_close(found.logits, gradients(classifier, images, labels).logits)


def test_noise_is_gaussian_of_sigma_and_new_each_time(classifier):
    images = torch.zeros(2, 3, 64, 64)
    seen = []

    def watched(classifier, x, selection):
        seen.append(x)
        return gradients(classifier, x, selection)

    smooth(watched, 3, 0.2)(classifier, images, [0])
    assert seen[1].std().item() == pytest.approx(0.2, rel=0.03)
    assert abs(seen[1].mean().item()) < 0.01
    assert (seen[1] - seen[2]).std().item() == pytest.approx(0.2 * 2**0.5, rel=0.03)


def test_same_seed_same_maps_whatever_else_is_random_and_in_the_batch(classifier, images, labels):
    torch.manual_seed(1)
    one = smooth(gradients, 4, seed=3)(classifier, images, labels)
    torch.manual_seed(2)
    same(smooth(gradients, 4, seed=3)(classifier, images, labels), one)
    alone = smooth(gradients, 4, seed=3)(classifier, images[2:], labels[2:])
    torch.testing.assert_close(alone.maps, one.maps[one.images == 2], rtol=1e-4, atol=1e-6)
    other = smooth(gradients, 4, seed=4)(classifier, images, labels)
    assert not torch.allclose(other.maps, one.maps, rtol=0.01)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("method", [gradients, cam])
def test_one_scale_and_no_flip_change_nothing(classifier, images, labels, method, flip):
    size = (16, 20)
    base = method(classifier, images, labels)
    base = base._replace(maps=resize(base.maps, size))
    if flip:
        turned = method(classifier, images.flip(-1), labels).maps.flip(-1)
        base = base._replace(maps=(base.maps + resize(turned, size)) / 2)
    same(tta(method, [1], flip=flip)(classifier, images, labels), base)


def test_views_are_averaged_raw_each_once(classifier, images, labels):
    found = tta(cam, (0.5, 1.0, 1.6), flip=True)(classifier, images, labels)
    total = 0
    for size in [(8, 10), (16, 20), (25, 32)]:
        view = F.interpolate(images, size, mode="bilinear", align_corners=False)
        for turn in (lambda x: x, lambda x: x.flip(-1)):
            total = total + resize(turn(cam(classifier, turn(view), labels).maps), (16, 20))
    torch.testing.assert_close(found.maps, total / 6, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.logits, cam(classifier, images, labels).logits)


def watching(method, decisions):
    def watched(classifier, images, selection, **options):
        found = method(classifier, images, selection, **options)
        decisions.append((found.images.tolist(), found.classes.tolist()))
        return found

    return watched


METAS = [partial(smooth, repetitions=4, sigma=3.0), tta, lambda m: tta(smooth(m, 3, 3.0))]


@pytest.mark.parametrize("meta", METAS)
def test_classes_are_selected_once_on_the_images_as_they_are(undecided, images, meta):
    with torch.no_grad():
        expected = (undecided.logits(images) > 0).nonzero().T.tolist()
    decisions = []
    found = meta(watching(cam, decisions))(undecided, images)
    assert len(decisions) > 3 and all(list(d) == expected for d in decisions)
    assert [found.images.tolist(), found.classes.tolist()] == expected


@pytest.mark.parametrize("contrast", [None, 0.5, 0.45])
@pytest.mark.parametrize("meta", METAS)
def test_so_is_what_they_are_set_against(undecided, images, meta, contrast):
    options = {} if contrast is None else {"contrast": contrast}
    with torch.no_grad():
        detected = undecided.logits(images).sigmoid() > (contrast or 0.5)
    expected = meta(minmax_cam)(undecided, images, [1, 2], contrast=detected)
    found = meta(minmax_cam)(undecided, images, [1, 2], **options)
    torch.testing.assert_close(found.maps, expected.maps)


def test_metas_can_be_nested(classifier, images, labels):
    found = tta(smooth(gradients, 2), [1.0, 2.0])(classifier, images, labels)
    assert isinstance(found, Maps) and found.maps.shape == (6, 16, 20)
