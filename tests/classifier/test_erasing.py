import pytest
import torch

from wsss.classifier.erasing import activation, erase_hard, erase_softly, without

MAPS = torch.tensor([[[[2.0, -4.0], [0.0, 1.0]]], [[[8.0, 0.0], [-1.0, 4.0]]]])
ZERO = torch.zeros(2, dtype=torch.int64)
YES = torch.tensor([True, True])
FIRST = "relu-upsample"


def test_by_the_batch_maximum_and_by_each_image():
    batch = activation(MAPS, ZERO, YES, (2, 2), normalise="batch", order=FIRST)
    expected = MAPS.relu() / (8 + 1e-5)
    torch.testing.assert_close(batch, expected)
    image = activation(MAPS, ZERO, YES, (2, 2), normalise="image", order=FIRST)
    top = torch.tensor([2.0, 8.0])[:, None, None, None]
    torch.testing.assert_close(image, MAPS.relu() / (top + 1e-5))


def test_relu_before_or_after_upsampling_differ_where_signs_meet():
    first = activation(MAPS, ZERO, YES, (4, 4), normalise="batch", order="relu-upsample")
    second = activation(MAPS, ZERO, YES, (4, 4), normalise="batch", order="upsample-relu")
    assert (first >= second - 1e-6).all() and (first > second + 0.01).any()
    # Row 0 of the first image, 2 −4, is 2 .5 −2.5 −4 upsampled; with ReLU first 2 1.5 .5 0.
    torch.testing.assert_close(
        second[0, 0, 0] * 8, torch.tensor([2.0, 0.5, 0, 0]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        first[0, 0, 0] * 8, torch.tensor([2.0, 1.5, 0.5, 0]), atol=1e-4, rtol=0
    )


def test_the_map_of_each_images_own_class():
    maps = torch.arange(12.0).reshape(2, 3, 1, 2)
    found = activation(maps, torch.tensor([2, 0]), YES, (1, 2), normalise="batch", order=FIRST)
    torch.testing.assert_close(found[:, 0, 0] * (7 + 1e-5), torch.tensor([[4.0, 5.0], [6.0, 7.0]]))


def test_the_soft_mask_is_differentiable_also_through_its_maximum():
    maps = torch.tensor([[[[1.0, 3.0]]]], requires_grad=True)
    activation(maps, ZERO[:1], YES[:1], (1, 2), normalise="batch", order=FIRST).sum().backward()
    # d/da of (a + b)/(b + ε) and d/db: 1/b, and −a/b² up to ε.
    torch.testing.assert_close(
        maps.grad.flatten(), torch.tensor([1 / 3, -1 / 9]), atol=1e-4, rtol=0
    )


def test_soft_erasing_by_hand():
    images = torch.full((1, 3, 1, 2), 10.0)
    found = erase_softly(images, torch.tensor([[[[0.25, 1.0]]]]))
    assert found[0, 0, 0].tolist() == [7.5, 0.0]


@pytest.mark.parametrize("normalise", ["batch", "image"])
def test_an_image_without_a_label_is_not_erased_and_has_no_say_in_the_maximum(normalise):
    maps = torch.tensor([1.0, 100.0])[:, None, None, None].expand(2, 1, 2, 2)
    some = torch.tensor([True, False])
    found = activation(maps, ZERO, some, (2, 2), normalise=normalise, order=FIRST)
    assert found[0].min() > 0.99 and (found[1] == 0).all()


def test_hard_erasing_keeps_the_threshold_itself_and_cuts_the_gradient():
    images = torch.ones(1, 3, 1, 3, requires_grad=True)
    mask = torch.tensor([[[[0.1, 0.2, 0.21]]]], requires_grad=True)
    found = erase_hard(images, mask, 0.2)
    assert found[0, 0, 0].tolist() == [1.0, 1.0, 0.0]
    found.sum().backward()
    assert mask.grad is None


def test_the_erased_label_is_taken_out():
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert without(labels, torch.tensor([0, 1])).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert labels[0, 0] == 1


@pytest.mark.parametrize("normalise", ["batch", "image"])
def test_a_map_without_any_evidence_erases_nothing(normalise):
    found = activation(-MAPS.abs(), ZERO, YES, (4, 4), normalise=normalise, order=FIRST)
    assert torch.equal(found, torch.zeros(2, 1, 4, 4))
