import math
from types import SimpleNamespace

import torch

from wsss.nn.recipe import Backbone
from wsss.segmentation.learner import SegmentationLearner, cross_entropy
from wsss.segmentation.network import DeepLabV3Plus

from .conftest import tiny


def test_cross_entropy_by_hand():
    logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).expand(1, 2, 2, 2).contiguous()
    masks = torch.tensor([[[1, 1], [0, 255]]], dtype=torch.uint8)
    expected = -(2 * math.log(0.75) + math.log(0.25)) / 3
    torch.testing.assert_close(cross_entropy(logits, masks), torch.tensor(expected))


def test_label_smoothing_shares_epsilon_among_all_classes():
    logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1)
    masks = torch.ones(1, 1, 1, dtype=torch.uint8)
    expected = -(0.95 * math.log(0.75) + 0.05 * math.log(0.25))
    torch.testing.assert_close(cross_entropy(logits, masks, 0.1), torch.tensor(expected))


def test_cross_entropy_is_torchs_mean_at_full_resolution():
    torch.manual_seed(0)
    logits, masks = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 20, 24))
    masks[:, :7] = 255
    full = torch.nn.functional.interpolate(logits, (20, 24), mode="bilinear")
    expected = torch.nn.functional.cross_entropy(full, masks, ignore_index=255, label_smoothing=0.1)
    torch.testing.assert_close(cross_entropy(logits, masks.to(torch.uint8), 0.1), expected)


def test_a_batch_without_labels_has_loss_and_gradient_zero():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 16, 16), 255, dtype=torch.uint8), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_the_loss_is_computed_in_float32():
    logits = torch.randn(1, 3, 4, 4).bfloat16()
    assert cross_entropy(logits, torch.zeros(1, 8, 8, dtype=torch.uint8)).dtype == torch.float32


def test_decoder_and_head_learn_ten_times_as_fast_as_the_backbone(monkeypatch):
    steps = SimpleNamespace(estimated_stepping_batches=10)
    monkeypatch.setattr(SegmentationLearner, "trainer", steps)
    network = DeepLabV3Plus(Backbone(name="resnet10t"), 3)
    learner = SegmentationLearner(network, tiny())
    groups = learner.configure_optimizers()["optimizer"].param_groups
    rates = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    expected = {"backbone": 0.01, "decoder": 0.1, "head": 0.1}
    for name, parameter in network.named_parameters():
        rate = expected[name.split(".")[0]] * (1 if name.endswith("weight") else 2)
        assert math.isclose(rates[id(parameter)], rate), name
