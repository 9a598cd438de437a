import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from wsss.attribution.classifier import Classifier, frozen_parameters
from wsss.attribution.contrast import contrast_of
from wsss.attribution.maps import Maps, psi, rescale, resize, weighted_sum
from wsss.attribution.selection import contrast_classes, decide, rounds, select
from wsss.core.errors import UserError

LOGITS = torch.tensor([[3.0, -1.0, 0.2], [-2.0, -1.0, -3.0]])


def test_a_number_selects_what_is_detected_above_it():
    assert select(0.5, LOGITS).tolist() == [[True, False, True], [False, False, False]]
    assert select(0.6, LOGITS).tolist() == [[True, False, False], [False, False, False]]
    assert not select(1.0, LOGITS).any()
    assert torch.equal(select(np.float32(0.6), LOGITS), select(0.6, LOGITS))


def test_a_probability_of_exactly_the_threshold_is_none():
    assert not select(0.5, torch.zeros(1, 2)).any()


def test_indices_select_a_class_of_every_image():
    assert select([2, 0], LOGITS).tolist() == [[True, False, True]] * 2


def test_a_boolean_tensor_is_taken_as_it_is():
    given = torch.tensor([[False, True, False], [True, False, False]])
    assert torch.equal(select(given, LOGITS), given)
    assert torch.equal(select(given.numpy(), LOGITS), given)
    assert torch.equal(contrast_classes(given.numpy(), None, LOGITS), given)


@pytest.mark.parametrize("wrong", [0, 3, 1, -0.5, 1.5, True, [True, False, True], [0, True]])
def test_neither_a_class_nor_booleans_are_taken_for_another_thing(wrong):
    with pytest.raises(ValueError, match=r"one class's index in a list|give booleans as a"):
        select(wrong, LOGITS)


@pytest.mark.parametrize("wrong", [[3], [-1], torch.ones(3, 2, dtype=torch.bool)])
def test_a_selection_that_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"no class|give bool"):
        select(wrong, LOGITS)


def test_numbers_are_no_boolean_tensor():
    with pytest.raises((ValueError, TypeCheckError)):
        select(torch.ones(2, 3), LOGITS)


def test_the_contrast_set_follows_the_selection_unless_that_is_a_list():
    given = torch.tensor([[False, True, False], [True, False, False]])
    assert torch.equal(contrast_classes(0.6, None, LOGITS), select(0.6, LOGITS))
    assert torch.equal(contrast_classes(given, None, LOGITS), given)
    assert torch.equal(contrast_classes([1], None, LOGITS), select(0.5, LOGITS))
    assert torch.equal(contrast_classes(given, 0.6, LOGITS), select(0.6, LOGITS))


def test_what_was_decided_stays_whatever_other_logits_say():
    decided = decide([1], LOGITS)
    assert torch.equal(select(decided, -LOGITS), select([1], LOGITS))
    assert torch.equal(contrast_classes(decided, None, -LOGITS), select(0.5, LOGITS))
    assert torch.equal(contrast_classes(decided, [0], -LOGITS), select([0], LOGITS))


def test_a_round_has_no_image_twice_and_rounds_have_every_pair_once():
    selected = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    pairs = selected.nonzero()
    groups = list(rounds(selected))
    assert len(groups) == selected.sum(1).max()
    assert torch.cat(groups).sort().values.tolist() == list(range(len(pairs)))
    for group in groups:
        assert len(set(pairs[group, 0].tolist())) == len(group)
    assert list(rounds(torch.zeros(2, 3, dtype=torch.bool))) == []


def test_contrast_by_hand():
    chosen = torch.tensor([[True, True, False], [False, True, False]])
    against = contrast_of(chosen, torch.tensor([[1, 0, 1], [0, 1, 0]]).bool(), torch.float64)
    assert against.own.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert against.all.tolist() == [[1, 0, 1], [1, 0, 1], [0, 1, 0]]
    # The second pair's class is not in D: all of D is set against it, the divisor stays n − 1.
    assert against.others.tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0]]
    assert against.n_others.tolist() == [[1], [1], [1]]
    assert against.n.tolist() == [[2], [2], [1]]


def test_psi_cuts_negatives_and_scales_each_map():
    maps = torch.tensor([[[-3.0, 1.0], [3.0, 2.0]], [[2.0, 2.0], [2.0, 2.0]], [[2.0, 4.0]] * 2])
    scaled = psi(maps)
    torch.testing.assert_close(scaled[0], torch.tensor([[0, 1 / 3], [1, 2 / 3]]))
    assert not scaled[1].any()
    assert scaled[2].tolist() == [[0, 1], [0, 1]]
    assert psi(-maps.abs()).abs().max() == 0
    torch.testing.assert_close(rescale(maps)[0], torch.tensor([[0, 4 / 6], [1, 5 / 6]]))


def test_psi_of_half_precision_is_float32():
    assert psi(torch.rand(1, 2, 2).half()).dtype == torch.float32
    assert psi(torch.rand(1, 2, 2).double()).dtype == torch.float64


def test_resizing_has_half_pixel_centres():
    assert resize(torch.tensor([[[0.0, 4.0]]]), (1, 4)).tolist() == [[[0, 1, 3, 4]]]


def test_dense_maps_are_0_where_no_class_was_selected():
    maps = torch.arange(8.0).view(2, 2, 2) + 1
    found = Maps(maps, torch.tensor([0, 1]), torch.tensor([2, 0]), torch.zeros(2, 3))
    dense = found.dense()
    assert torch.equal(dense[0, 2], maps[0]) and torch.equal(dense[1, 0], maps[1])
    assert dense.sum() == maps.sum()


def test_names_the_network_has_not_are_refused(residual):
    with pytest.raises(UserError, match=r"no module 'layer9'.*stem"):
        Classifier(residual, "layer9")
    with pytest.raises(UserError, match="'relu' is a ReLU"):
        Classifier(residual, "relu", linear="relu")


def test_a_linear_layer_that_does_not_take_the_means_is_refused(residual, images):
    with pytest.raises(UserError, match="leave linear out"):
        Classifier(residual, "last", linear="fc").see(images)


def test_layers_without_maps_are_refused(residual, images):
    with pytest.raises(UserError, match=r"no .B, K, h, w. maps"):
        Classifier(residual, "fc").see(images)
    residual.unused = nn.ReLU()
    with pytest.raises(UserError, match="does not run"):
        Classifier(residual, "unused").see(images)


@pytest.mark.parametrize("gradients", [False, True])
def test_activations_are_those_before_an_in_place_layer_behind(residual, images, gradients):
    seen = Classifier(residual, "last").see(images, head_gradients=gradients)
    assert seen.activations.min() < 0
    torch.testing.assert_close(seen.logits, residual(images))


def test_parameters_collect_no_gradients_and_want_them_again_afterwards(residual, images):
    residual.fc.bias.requires_grad_(False)
    with torch.inference_mode(), frozen_parameters(residual):
        x = images.clone().requires_grad_()
        residual(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in residual.parameters())
    assert residual.fc.weight.requires_grad and not residual.fc.bias.requires_grad


def test_weighted_sums_by_hand(worked_closed, worked_images):
    seen = worked_closed.see(worked_images)
    chosen = torch.tensor([[True, False, True]])
    found = weighted_sum(seen, chosen, torch.tensor([[1.0, 0.0, 2.0], [0.0, -1.0, 0.0]]))
    assert found.maps.flatten(1).tolist() == [[6, 2, 2, 5], [0, -3, -1, 0]]
    assert found.classes.tolist() == [0, 2] and found.images.tolist() == [0, 0]


def test_weighted_sums_of_half_precision_are_float32(residual, images):
    classifier = Classifier(residual, "relu")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        seen = classifier.see(images)
        half = seen._replace(activations=seen.activations.bfloat16())
        weights = torch.rand(3, 12, generator=torch.Generator().manual_seed(0))
        found = weighted_sum(half, torch.ones(3, 4).cumsum(1) == 1, weights)
    assert found.maps.dtype == torch.float32
    expected = torch.einsum("nk,nkhw->nhw", weights, half.activations.float())
    torch.testing.assert_close(found.maps, expected)


def test_a_map_with_nan_is_nan_and_constant_ones_are_zero():
    maps = torch.ones(3, 2, 2)
    maps[0, 0, 0] = float("nan")
    maps[1, 0, 0] = 3
    found = psi(maps)
    assert found[0].isnan().all() and found[1].tolist() == [[1, 0], [0, 0]]
    assert not found[2].any()


def test_batch_norm_without_running_statistics_is_refused_by_name():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(UserError, match="'1' has no running statistics"):
        Classifier(network, "0")


class Ends(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.maps, self.end = nn.Conv2d(3, 4, 3), end

    def forward(self, x):
        return self.end(self.maps(x).mean((2, 3)))


def test_what_a_network_gives_must_be_logits(images):
    with pytest.raises(UserError, match="the network gives dict, no logits"):
        Classifier(Ends(lambda x: {"out": x}), "maps").see(images)
    classifier = Classifier(Ends(torch.sigmoid), "maps")
    with pytest.warns(UserWarning, match="leave out the network's last sigmoid"):
        classifier.see(images)
