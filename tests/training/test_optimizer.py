import pytest
import torch
from torch import nn

from wsss.training.optimizer import build_optimizer, parameter_groups, poly
from wsss.training.recipe import Optimizer


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_four_groups():
    net = network()
    recipe = Optimizer(lr=0.1, weight_decay=0.01, head_multiplier=10.0, bias_multiplier=2.0)
    groups = parameter_groups(net, [net[2]], recipe)
    found = {
        tuple(id(p) for p in g["params"]): (pytest.approx(g["lr"]), g["weight_decay"])
        for g in groups
    }
    assert found == {
        (id(net[0].weight), id(net[1].weight)): (0.1, 0.01),
        (id(net[0].bias), id(net[1].bias)): (0.2, 0.0),
        (id(net[2].weight),): (1.0, 0.01),
        (id(net[2].bias),): (2.0, 0.0),
    }


def test_frozen_parameters_are_left_out():
    net = network()
    net[:2].requires_grad_(False)
    groups = parameter_groups(net, [net[2]], Optimizer())
    assert [len(g["params"]) for g in groups] == [1, 1]


@pytest.mark.parametrize("power", [0.9, 1.0])
def test_poly_schedule(power):
    net = network()
    recipe = Optimizer(lr=0.1, head_multiplier=10.0)
    optimizer = build_optimizer(parameter_groups(net, [net[2]], recipe), recipe)
    start = [g["lr"] for g in optimizer.param_groups]
    schedule = poly(optimizer, 4, power)
    for step in range(4):
        for group, lr in zip(optimizer.param_groups, start, strict=True):
            assert group["lr"] == pytest.approx(lr * (1 - step / 4) ** power)
        optimizer.step()
        schedule.step()
    for _ in range(2):
        assert 0 <= max(g["lr"] for g in optimizer.param_groups) < 1e-6
        optimizer.step()
        schedule.step()


def test_sgd_step_by_hand():
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    recipe = Optimizer(lr=0.1, weight_decay=0.5)
    optimizer = build_optimizer(parameter_groups(net, [], recipe), recipe)
    net(torch.tensor([[2.0]])).sum().backward()
    optimizer.step()
    assert net.weight.item() == pytest.approx(1 - 0.1 * (2 + 0.5))


def test_adamw():
    recipe = Optimizer(name="adamw", lr=0.01)
    optimizer = build_optimizer(parameter_groups(network(), [], recipe), recipe)
    assert type(optimizer) is torch.optim.AdamW
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.02, 0.01])
