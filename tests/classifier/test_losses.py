import math

import pytest
import torch

from wsss.classifier.losses import Criterion, smooth_labels, soft_margin


def test_smooth_labels_by_hand():
    labels = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(smooth_labels(labels, 0.1), torch.tensor([[0.95, 0.05]]))
    assert torch.equal(smooth_labels(labels, 0), labels)


def test_soft_margin_by_hand():
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0], [0.25, 1.0]])

    def log_sigmoid(z):
        return -math.log1p(math.exp(-z))

    terms = [
        log_sigmoid(0),
        log_sigmoid(-2),
        0.25 * log_sigmoid(-1) + 0.75 * log_sigmoid(1),
        log_sigmoid(0),
    ]
    assert soft_margin(logits, targets).item() == pytest.approx(-sum(terms) / 4, rel=1e-6)


def test_soft_margin_is_torchs_multilabel_soft_margin_loss():
    logits, targets = torch.randn(5, 7) * 4, torch.randint(0, 2, (5, 7)).float()
    expected = torch.nn.MultiLabelSoftMarginLoss()(logits, targets)
    torch.testing.assert_close(soft_margin(logits, targets), expected)


def test_soft_margin_computes_in_float32():
    logits = torch.tensor([[8.0, -8.0]], dtype=torch.bfloat16)
    loss = soft_margin(logits, torch.tensor([[1.0, 0.0]]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log1p(math.exp(-8)), rel=1e-3)


def test_class_weights_by_hand():
    logits, targets = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    found = soft_margin(logits, targets, torch.tensor([1.5, 0.5]))
    assert found.item() == pytest.approx((1.5 + 0.5) / 2 * math.log(2))
    assert Criterion(0.0)(logits, targets).item() == pytest.approx(math.log(2))
