from types import SimpleNamespace

import pytest
import torch

from wsss.classifier.learner import ClassifierLearner
from wsss.classifier.losses import Criterion, soft_margin
from wsss.classifier.objective import build_objective
from wsss.classifier.outcome import Outcome
from wsss.classifier.recipe import NotSoOrdinary, PNocRecipe, POcRecipe, VanillaRecipe
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone

TINY = Backbone(name="resnet10t")


def make(recipe):
    torch.manual_seed(0)
    network = CamNetwork(recipe.backbone, 3)
    judge = CamNetwork(recipe.backbone, 3) if hasattr(recipe, "ordinary") else None
    objective = build_objective(recipe, Criterion(recipe.label_smoothing), judge)
    learner = ClassifierLearner(network, objective, recipe)
    learner.trainer = SimpleNamespace(estimated_stepping_batches=10)
    return learner


@pytest.fixture(scope="module")
def learner():
    return make(VanillaRecipe(backbone=TINY, label_smoothing=0.2))


def test_the_loss_is_soft_margin_of_pooled_maps_against_smoothed_labels(learner):
    learner.eval()
    images, labels = torch.rand(2, 3, 32, 48), torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    loss, logs = learner.loss((images, labels))
    with torch.inference_mode():
        pooled = learner.network(images).logits
    torch.testing.assert_close(loss, soft_margin(pooled, labels * 0.8 + 0.1))
    assert loss.requires_grad
    assert set(logs) == {"mAP", "F1", "precision", "recall"}


def test_the_objective_hears_how_much_of_the_training_is_done(monkeypatch):
    learner = make(VanillaRecipe(backbone=TINY))
    heard = []

    def listen(network, images, labels, done):
        heard.append(done)
        return Outcome(torch.zeros((), requires_grad=True), torch.zeros(1, 3), {})

    monkeypatch.setattr(learner.objective, "forward", listen)
    for learner.done in (0.0, 0.4):
        learner.loss((torch.rand(1, 3, 32, 32), torch.ones(1, 3)))
    assert heard == [0.0, 0.4]


def test_training_metrics_by_hand(learner):
    learner.training_metrics.reset()
    logits = torch.tensor([[3.0, -3.0, 3.0], [3.0, -3.0, -3.0]])
    labels = torch.tensor([[1, 1, 0], [1, 0, 0]])
    learner.training_metrics.update(logits, labels)
    found = {k: float(v) for k, v in learner.training_metrics.compute().items()}
    # Class by class: right twice; one positive missed; no positive, which counts nowhere.
    assert found == {"precision": 0.5, "recall": 0.5, "F1": 0.5, "mAP": 0.75}
    learner.training_metrics.reset()
    learner.training_metrics.update(logits, torch.zeros_like(labels))
    assert {float(value) for value in learner.training_metrics.compute().values()} == {0}


def test_logits_between_0_and_1_are_logits(learner):
    """torchmetrics takes such a batch for probabilities; a small head starts with them."""
    learner.training_metrics.reset()
    learner.objective.forward = lambda *_: Outcome(
        torch.zeros((), requires_grad=True), torch.tensor([[0.3, 0.2, 0.1]]), {}
    )
    learner.loss((torch.rand(1, 3, 32, 32), torch.ones(1, 3)))
    del learner.objective.forward
    assert float(learner.training_metrics.compute()["recall"]) == 1.0


def test_parameter_groups_and_schedule(learner):
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
    learner = make(VanillaRecipe(backbone=Backbone(name="resnet10t", batch_norm="frozen")))
    groups = learner.configure_optimizers()["optimizer"].param_groups
    trained = {id(p) for g in groups for p in g["params"]}
    names = {n for n, p in learner.network.named_parameters() if id(p) in trained}
    assert names and not any("bn" in name for name in names)


def test_the_second_player_has_groups_of_its_own_and_its_own_learning_rate():
    recipe = PNocRecipe(backbone=TINY, ordinary="oc", noc=NotSoOrdinary(lr_multiplier=0.5))
    learner = make(recipe)
    groups = learner.configure_optimizers()["optimizer"].param_groups
    second = {id(p) for p in learner.objective.noc.parameters()}
    rates = {g["initial_lr"] for g in groups if id(g["params"][0]) in second}
    assert rates == {0.05, 0.5}  # no group of biases: its BatchNorm is frozen
    every = [id(p) for g in groups for p in g["params"]]
    assert len(every) == len(set(every))


def test_a_fixed_ordinary_classifier_is_not_optimised():
    learner = make(POcRecipe(backbone=TINY, ordinary="oc"))
    groups = learner.configure_optimizers()["optimizer"].param_groups
    every = {id(p) for g in groups for p in g["params"]}
    assert every == {id(p) for p in learner.network.parameters()}
