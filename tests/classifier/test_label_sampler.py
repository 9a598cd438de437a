import pytest
import torch

from wsss.classifier.label_sampler import LabelSampler


def draws(sampler, labels, times):
    torch.manual_seed(0)
    return torch.stack([sampler(labels)[0] for _ in range(times)])


@pytest.mark.parametrize("strategy", ["random", "balanced", "least-chosen", "focal"])
def test_only_present_classes_are_drawn(strategy):
    labels = torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]])
    found = draws(LabelSampler(strategy, 4), labels, 50)
    assert set(found[:, 0].tolist()) == {0, 3} and set(found[:, 1].tolist()) == {1}


def test_an_image_without_labels_is_told_and_not_counted():
    sampler = LabelSampler("balanced", 4)
    _, present = sampler(torch.tensor([[0.0, 0, 0, 0], [0, 0, 1, 0]]))
    assert present.tolist() == [False, True]
    assert sampler.drawn.tolist() == [0, 0, 1, 0]


def test_random_is_uniform():
    found = draws(LabelSampler("random", 4), torch.tensor([[1.0, 1, 0, 0]]).expand(100, 4), 20)
    assert 0.46 < found.float().mean() < 0.54


def test_balanced_prefers_what_was_drawn_less():
    torch.manual_seed(0)
    counts = []
    for _ in range(300):
        sampler = LabelSampler("balanced", 4)
        sampler.drawn += torch.tensor([9.0, 1, 0, 0])
        counts.append(int(sampler(torch.tensor([[1.0, 1, 0, 0]]))[0]))
    assert 1 - sum(counts) / 300 == pytest.approx(1 / 6, abs=0.05)  # (1/10) / (1/10 + 1/2)


@pytest.mark.parametrize("strategy", ["balanced", "least-chosen"])
def test_classes_are_counted_image_by_image(strategy):
    torch.manual_seed(0)
    sampler = LabelSampler(strategy, 2)
    found = sampler(torch.ones(40, 2))[0]
    assert sampler.drawn.sum() == 40
    if strategy == "least-chosen":
        assert found.sum() == 20
    else:
        assert 15 <= found.sum() <= 25


def test_least_chosen_takes_turns():
    sampler = LabelSampler("least-chosen", 4)
    found = draws(sampler, torch.tensor([[1.0, 1, 1, 0]]), 9)[:, 0].tolist()
    assert all(sorted(found[i : i + 3]) == [0, 1, 2] for i in (0, 3, 6))


def test_focal_factor_by_hand():
    sampler = LabelSampler("focal", 3)
    labels = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    left = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # r is 0, then 1
    logits = torch.tensor([[0.0, 50.0, 50.0], [0.0, -50.0, 50.0]])
    sampler.learn(logits, left, labels)
    # Class 0: half wrong both times, two images show it. Class 1: wrong once, one image shows it.
    assert sampler.focal.tolist() == pytest.approx([0.9 + 0.1 * 0.25, 0.9 + 0.1, 1.0])


def test_focal_draws_in_proportion():
    torch.manual_seed(0)
    sampler = LabelSampler("focal", 2)
    sampler.focal = torch.tensor([3.0, 1.0])
    found = sampler(torch.ones(2000, 2))[0]
    assert found.float().mean() == pytest.approx(0.25, abs=0.03)


def test_its_counts_travel_in_checkpoints():
    sampler = LabelSampler("balanced", 4)
    sampler(torch.tensor([[0.0, 0, 1, 0]]))
    other = LabelSampler("balanced", 4)
    other.load_state_dict(sampler.state_dict())
    assert other.drawn.tolist() == [0, 0, 1, 0]
