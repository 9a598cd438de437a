import pytest
import torch

from wsss.classifier.label_sampler import LabelSampler

LOGITS = torch.zeros(1, 4)


def draws(sampler, labels, times, logits=LOGITS):
    torch.manual_seed(0)
    return torch.stack([sampler(labels, logits.expand(len(labels), -1))[0] for _ in range(times)])


@pytest.mark.parametrize("strategy", ["random", "balanced", "least-chosen", "focal"])
def test_only_present_classes_are_drawn(strategy):
    labels = torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]])
    found = draws(LabelSampler(strategy, 4), labels, 50)
    assert set(found[:, 0].tolist()) == {0, 3} and set(found[:, 1].tolist()) == {1}


def test_an_image_without_labels_is_told_and_not_counted():
    sampler = LabelSampler("balanced", 4)
    _, present = sampler(torch.tensor([[0.0, 0, 0, 0], [0, 0, 1, 0]]), torch.zeros(2, 4))
    assert present.tolist() == [False, True]
    assert sampler.drawn.tolist() == [0, 0, 1, 0]


def test_random_is_uniform():
    found = draws(LabelSampler("random", 4), torch.tensor([[1.0, 1, 0, 0]]).expand(100, 4), 20)
    assert 0.46 < found.float().mean() < 0.54


def test_balanced_prefers_what_was_drawn_less():
    sampler = LabelSampler("balanced", 4)
    sampler.drawn += torch.tensor([9.0, 0, 0, 0])
    found = sampler(torch.tensor([[1.0, 1, 0, 0]]).expand(2000, 4), torch.zeros(2000, 4))[0]
    assert (found == 0).float().mean() == pytest.approx(1 / 11, abs=0.02)  # (1/10) / (1/10 + 1)


def test_least_chosen_takes_turns():
    sampler = LabelSampler("least-chosen", 4)
    found = draws(sampler, torch.tensor([[1.0, 1, 1, 0]]), 9)[:, 0].tolist()
    assert all(sorted(found[i : i + 3]) == [0, 1, 2] for i in (0, 3, 6))


def test_focal_factor_by_hand():
    sampler = LabelSampler("focal", 2)
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    logits = torch.tensor([[0.0, 0.0], [-50.0, 0.0]])  # 1 − p_t: ½ and 1
    sampler(labels, logits)
    assert sampler.focal.tolist() == pytest.approx([0.9 + 0.1 * (0.25 + 1) / 2, 1.0])


def test_its_counts_travel_in_checkpoints():
    sampler = LabelSampler("balanced", 4)
    sampler(torch.tensor([[0.0, 0, 1, 0]]), LOGITS)
    other = LabelSampler("balanced", 4)
    other.load_state_dict(sampler.state_dict())
    assert other.drawn.tolist() == [0, 0, 1, 0]
