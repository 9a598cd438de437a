import math

import pytest
import torch

from wsss.saliency.losses import (
    MeanFeatures,
    contrast,
    disentangle,
    hint_loss,
    sim_max,
    sim_min,
    similarity,
)


def unit(*degrees):
    """Vectors of length 2 at these angles."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return 2 * torch.stack([angles.cos(), angles.sin()], 1)


def test_foreground_and_background_share_out_the_features():
    features = torch.tensor([[[[1.0, 3.0]], [[5.0, 0.0]]]])  # two channels, two places
    logits = torch.tensor([[[[math.log(1 / 3), 40.0]]]])  # σ = 0.25 and 1
    found = disentangle(features, logits)
    torch.testing.assert_close(found.foreground, torch.tensor([[(0.25 + 3) / 2, 1.25 / 2]]))
    torch.testing.assert_close(found.background, torch.tensor([[0.75 / 2, 3.75 / 2]]))


def test_cosines_do_not_depend_on_length_and_are_clamped():
    s = similarity(unit(0, 60, 90, 180), 3 * unit(0))
    torch.testing.assert_close(
        s[:, 0], torch.tensor([0.9995, 0.5, 5e-4, 5e-4], dtype=torch.float64)
    )


def test_sim_min_by_hand():
    loss = sim_min(unit(0, 90), unit(60, 90))
    cosines = [0.5, 5e-4, math.cos(math.radians(30)), 0.9995]
    assert loss.item() == pytest.approx(-sum(math.log(1 - c) for c in cosines) / 4)


def test_sim_min_goes_to_0_where_foreground_and_background_are_unlike():
    assert sim_min(unit(0, 0), unit(90, 90)).item() == pytest.approx(5e-4, rel=1e-3)


def test_sim_max_by_hand():
    # Row 0: itself, 10° and 40° away; row 1: 10° and 30°; row 2: 30° and 40°.
    loss = sim_max(unit(0, 10, 40), 0.25)
    log = {a: math.log(math.cos(math.radians(a))) for a in (10, 30, 40)}
    itself = 3 * math.exp(0.25) * math.log(0.9995)
    near = log[10] + log[10] + log[30]
    far = math.exp(-0.25) * (log[40] + log[30] + log[40])
    assert loss.item() == pytest.approx(-(itself + near + far) / 9)


def test_equal_images_take_ranks_one_by_one():
    loss = sim_max(unit(0, 0), 1.0)
    first, second = math.exp(1) * -math.log(0.9995), -math.log(0.9995)
    assert loss.item() == pytest.approx((2 * first + 2 * second) / 4)


def test_the_terms_pull_where_they_should():
    z = unit(0, 30).requires_grad_()
    sim_max(z, 0.25).backward()
    # A step against the gradient turns both towards each other.
    assert z.grad[0, 1] < 0 and z.grad[1, 1] > 0
    a, b = unit(0).requires_grad_(), unit(30).requires_grad_()
    sim_min(a, b).backward()
    assert a.grad[0, 1] > 0 and b.grad[0, 0] > 0


def test_gradients_of_sim_min_by_hand():
    b, f = unit(0, 180).requires_grad_(), unit(60, 90).requires_grad_()
    sim_min(b, f).backward()
    # −log(1 − s) has slope 1/(1 − s) = 2; ∂s/∂b = (f̂ − s b̂)/|b|; the mean is over four pairs,
    # of which all but the first are clamped.
    root = math.sqrt(3)
    expected = torch.tensor([[0, root / 8], [0, 0]], dtype=torch.float64)
    torch.testing.assert_close(b.grad, expected)
    expected = torch.tensor([[3 / 16, -root / 16], [0, 0]], dtype=torch.float64)
    torch.testing.assert_close(f.grad, expected)


def test_gradients_of_sim_max_by_hand():
    degrees = torch.tensor([0.0, 10.0, 40.0], dtype=torch.float64)
    z = unit(*degrees.tolist()).requires_grad_()
    sim_max(z, 0.25).backward()
    # −log cos(θ_i − θ_j) has slope tan(θ_i − θ_j); each pair counts in two rows, and as the second
    # nearest with exp(−0.25).
    tan, far = {a: math.tan(math.radians(a)) for a in (10, 30, 40)}, math.exp(-0.25)
    turned = torch.tensor(
        [
            -2 * tan[10] - 2 * far * tan[40],
            2 * tan[10] - (far + 1) * tan[30],
            (far + 1) * tan[30] + 2 * far * tan[40],
        ],
        dtype=torch.float64,
    )
    angles = degrees.deg2rad()
    across = torch.stack([-angles.sin(), angles.cos()], 1) / 2  # of vectors of length 2
    torch.testing.assert_close(z.grad, turned[:, None] / 9 * across)


def test_the_whole_contrast_has_the_gradient_of_its_values():
    torch.manual_seed(0)
    features = torch.rand(3, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    logits = (3 * torch.randn(3, 1, 2, 3, dtype=torch.float64)).requires_grad_()

    def terms(features, logits):
        return tuple(contrast(disentangle(features, logits), 0.25).values())

    assert torch.autograd.gradcheck(terms, (features, logits))
    for i in range(3):
        assert all(
            g.any() for g in torch.autograd.grad(terms(features, logits)[i], (features, logits))
        )


def test_contrast_is_the_three_terms():
    found = MeanFeatures(unit(0, 50), unit(80, 120))
    terms = contrast(found, 0.25)
    assert terms["foreground"] == sim_max(found.foreground, 0.25)
    assert terms["background"] == sim_max(found.background, 0.25)
    assert terms["apart"] == sim_min(found.background, found.foreground)


def test_hints_are_a_mean_over_the_hinted_places():
    logits = torch.tensor([[[[0.0, 2.0], [-1.0, 9.0]]]], requires_grad=True)
    hinted = torch.tensor([[[[True, True], [False, False]]]])

    def entropy(z, t):
        return -t * math.log(1 / (1 + math.exp(-z))) - (1 - t) * math.log(1 / (1 + math.exp(z)))

    loss = hint_loss(logits, hinted, 0.1)
    assert loss.item() == pytest.approx((entropy(0, 0.95) + entropy(2, 0.95)) / 2, rel=1e-5)
    loss.backward()
    slope = [1 / (1 + math.exp(-z)) - 0.95 for z in (0, 2)]
    expected = torch.tensor([[[[slope[0] / 2, slope[1] / 2], [0, 0]]]])
    torch.testing.assert_close(logits.grad, expected)


def test_without_a_hint_the_loss_is_0_and_no_gradient_is_nan():
    logits = torch.randn(2, 1, 3, 3, requires_grad=True)
    loss = hint_loss(logits, torch.zeros(2, 1, 3, 3, dtype=torch.bool), 0.1)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_constant_features_keep_every_term_finite():
    found = disentangle(torch.zeros(3, 4, 2, 2), torch.zeros(3, 1, 2, 2))
    assert all(math.isfinite(term) for term in contrast(found, 0.25).values())
