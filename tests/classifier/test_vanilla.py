import math
from types import SimpleNamespace

import pytest
import torch

from wsss.classifier.losses import smooth_labels, soft_margin
from wsss.classifier.recipe import ClassifierRecipe
from wsss.classifier.vanilla import Vanilla
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone


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


@pytest.fixture(scope="module")
def learner():
    torch.manual_seed(0)
    recipe = ClassifierRecipe(backbone=Backbone(name="resnet10t"), label_smoothing=0.2)
    return Vanilla(CamNetwork(recipe.backbone, 3), recipe)


def test_the_loss_is_soft_margin_of_pooled_maps_against_smoothed_labels(learner):
    learner.eval()
    images, labels = torch.rand(2, 3, 32, 48), torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    loss, logs = learner.loss((images, labels))
    with torch.inference_mode():
        pooled = learner.network(images).mean((2, 3))
    torch.testing.assert_close(loss, soft_margin(pooled, labels * 0.8 + 0.1))
    assert loss.requires_grad
    assert set(logs) == {"mAP", "F1", "precision", "recall"}


def test_training_metrics_by_hand(learner):
    learner.training_metrics.reset()
    logits = torch.tensor([[3.0, -3.0, 3.0], [3.0, -3.0, -3.0]])
    labels = torch.tensor([[1, 1, 0], [1, 0, 0]])
    learner.training_metrics.update(logits, labels)
    found = {k: float(v) for k, v in learner.training_metrics.compute().items()}
    # Class by class: right twice; one positive missed; one false positive and no positive.
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == pytest.approx(1 / 3)
    assert found["F1"] == pytest.approx(1 / 3)


def test_parameter_groups_and_schedule(learner):
    learner.trainer = SimpleNamespace(estimated_stepping_batches=10)
    setup = learner.configure_optimizers()
    groups = setup["optimizer"].param_groups
    assert {(round(g["initial_lr"], 6), g["weight_decay"]) for g in groups} == {
        (0.1, 1e-4),  # pretrained weights
        (0.2, 0.0),  # the rest of the backbone
        (1.0, 1e-4),  # the head
    }
    head = next(g for g in groups if g["initial_lr"] == pytest.approx(1.0))
    assert [p is learner.network.head.weight for p in head["params"]] == [True]
    scheduler = setup["lr_scheduler"]["scheduler"]
    for _ in range(5):
        setup["optimizer"].step()
        scheduler.step()
    assert head["lr"] == pytest.approx(0.5**0.9)


def test_frozen_batch_norm_is_left_out_of_the_optimizer():
    recipe = ClassifierRecipe(backbone=Backbone(name="resnet10t", batch_norm="frozen"))
    learner = Vanilla(CamNetwork(recipe.backbone, 3), recipe)
    learner.trainer = SimpleNamespace(estimated_stepping_batches=10)
    groups = learner.configure_optimizers()["optimizer"].param_groups
    trained = {id(p) for g in groups for p in g["params"]}
    names = {n for n, p in learner.network.named_parameters() if id(p) in trained}
    assert names and not any("bn" in name for name in names)
