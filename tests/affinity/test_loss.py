import pytest
import torch

from wsss.affinity.loss import affinity_loss
from wsss.affinity.paths import directions, path


def by_pairs(boundary, labels, radius):
    """The definition, pair by pair."""
    batch, h, w = boundary.shape
    terms = {"bg": [], "fg": [], "neg": []}
    for n in range(batch):
        for y in range(h - (radius - 1)):
            for x in range(radius - 1, w - (radius - 1)):
                for dy, dx in directions(radius):
                    one, other = int(labels[n, y, x]), int(labels[n, y + dy, x + dx])
                    if 255 in (one, other):
                        continue
                    on_path = [boundary[n, y + py, x + px] for py, px in path((dy, dx))]
                    a = 1 - torch.stack(on_path).max()
                    if one != other:
                        terms["neg"].append(-torch.log(1 + 1e-5 - a))
                    else:
                        terms["fg" if one else "bg"].append(-torch.log(a + 1e-5))
    mean = {k: sum(v, torch.zeros(())) / (len(v) + 1e-5) for k, v in terms.items()}
    return ((mean["bg"] + mean["fg"]) / 2 + mean["neg"]) / 2, mean


@pytest.mark.parametrize(("size", "radius"), [((6, 7), 3), ((5, 9), 4), ((2, 3), 2)])
def test_value_and_gradient_equal_the_definition(size, radius):
    generator = torch.Generator().manual_seed(radius)
    boundary = torch.rand(2, *size, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 1, 2, 255], dtype=torch.uint8)
    labels = labels[torch.randint(4, (2, *size), generator=generator)]
    want, parts = by_pairs(boundary, labels, radius)
    want.backward()
    expected, boundary.grad = boundary.grad, None
    loss, logs = affinity_loss(boundary, labels, radius)
    (3 * loss).backward()
    torch.testing.assert_close(loss, want)
    torch.testing.assert_close(boundary.grad, 3 * expected)
    assert loss.requires_grad and not any(v.requires_grad for v in logs.values())
    torch.testing.assert_close(logs, {k: v.detach() for k, v in parts.items()}, check_dtype=False)


def test_uncertain_labels_cost_nothing():
    boundary = torch.full((1, 8, 8), 0.5, requires_grad=True)
    loss, _ = affinity_loss(boundary, torch.full((1, 8, 8), 255, dtype=torch.uint8), 3)
    loss.backward()
    assert loss == 0 and (boundary.grad == 0).all()


def test_the_right_boundary_costs_less():
    labels = torch.zeros(1, 9, 12, dtype=torch.uint8)
    labels[:, :, 6:] = 2
    wall = torch.zeros(1, 9, 12)
    wall[:, :, 5:7] = 1
    right, parts = affinity_loss(wall, labels, 4)
    assert parts["neg"] < 1e-4
    for wrong in (torch.zeros(1, 9, 12), torch.ones(1, 9, 12), wall.roll(3, 2)):
        assert affinity_loss(wrong, labels, 4)[0] > right


def test_pairs_without_a_boundary_have_affinity_1():
    labels = torch.ones(1, 9, 12, dtype=torch.uint8)
    loss, parts = affinity_loss(torch.zeros(1, 9, 12), labels, 4)
    assert parts["fg"].abs() < 2e-5 and loss.abs() < 1e-5
