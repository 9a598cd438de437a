from functools import partial

import pytest
import torch
from torch.nn import functional as F

from wsss.attribution.lrp import rules as lrp_rules
from wsss.attribution.lrp.rules import (
    addend,
    alpha_beta,
    convolution,
    epsilon,
    gamma,
    linear,
    norm,
    quotient,
    rescale_layer,
    scaling,
    z_box,
    z_plus,
)


def row(*numbers):
    return torch.tensor([numbers], dtype=torch.float64)


# Contributions to the outputs of (2, 1): 2, −2 and the bias 1; 6, 1 and the bias −1.
LAYER = linear(row(1, -2, 3, 1).view(2, 2), row(1, -1)[0])


def shared(rule, x, r, layer=LAYER):
    z = layer.times(x, layer.weight)
    return rule(layer, x, z if layer.bias is None else z + layer.bias)(r)


def test_lrp_0_shares_by_contribution():
    found = shared(partial(epsilon, epsilon=0.0), row(2, 1), row(2, 12))
    torch.testing.assert_close(found, row(2 / 1 * 2 + 6 / 6 * 12, -2 / 1 * 2 + 1 / 6 * 12))


def test_epsilon_has_the_sign_of_the_output_and_plus_for_0():
    found = shared(partial(epsilon, epsilon=1.0), row(2, 1), row(2, 12))
    torch.testing.assert_close(found, row(2 / 2 * 2 + 6 / 7 * 12, -2 / 2 * 2 + 1 / 7 * 12))
    found = quotient(row(6, 6, 6), row(-2, 0, 2), 1.0)
    torch.testing.assert_close(found, row(-2, 6, 2))


def test_nothing_is_divided_by_0():
    torch.testing.assert_close(quotient(row(6, 0, 6), row(0, 0, 3)), row(0, 0, 2))


def test_quotients_of_half_precision_are_rounded_once():
    r, z = torch.rand(1000).bfloat16(), torch.rand(1000).bfloat16()
    found = quotient(r, z, 1e-6)
    expected = r.double() / (z.double() + 1e-6)
    assert found.dtype == torch.bfloat16
    assert ((found.double() - expected).abs() <= 2**-8 * expected).all()


def test_z_plus_shares_by_what_is_positive():
    found = shared(z_plus, row(2, 1), row(2, 12))
    torch.testing.assert_close(found, row(2 / 3 * 2 + 6 / 7 * 12, 1 / 7 * 12))


def test_z_plus_of_a_negative_input_takes_negative_weights():
    # Contributions of (2, −1): 2, 2 and 1; 6, −1 and −1.
    found = shared(z_plus, row(2, -1), row(2, 12))
    torch.testing.assert_close(found, row(2 / 5 * 2 + 6 / 6 * 12, 2 / 5 * 2))


def test_alpha_beta_shares_the_negative_too():
    found = shared(partial(alpha_beta, alpha=2.0, beta=1.0), row(2, 1), row(2, 12))
    first = row(2 * 2 / 3 * 2, -1 * 2)
    second = row(2 * 6 / 7 * 12, 2 * 1 / 7 * 12)  # the bias alone is negative, and keeps it
    torch.testing.assert_close(found, first + second)


def test_gamma_favours_what_is_positive():
    found = shared(partial(gamma, gamma=0.5), row(2, 1), row(2, 12))
    first = row(3 / 2.5 * 2, -2 / 2.5 * 2)
    second = row(9 / 9.5 * 12, 1.5 / 9.5 * 12)
    torch.testing.assert_close(found, first + second)


def test_gamma_favours_what_is_negative_where_the_output_is():
    # Contributions of (1, 2): 1, −4 and 1, together −2; the other output has no relevance.
    found = shared(partial(gamma, gamma=0.5), row(1, 2), row(-4, 0))
    torch.testing.assert_close(found, row(1 / -4 * -4, -6 / -4 * -4))


def test_gamma_lies_between_lrp_0_and_z_plus():
    x, r = row(2, 1), row(2, 12)
    none = shared(partial(gamma, gamma=0.0), x, r)
    torch.testing.assert_close(none, shared(partial(epsilon, epsilon=0.0), x, r))
    much = shared(partial(gamma, gamma=1e9), x, r)
    torch.testing.assert_close(much, shared(z_plus, x, r))


def test_z_box_measures_from_the_bounds():
    low, high = (row(*bound).view(1, 2, 1, 1) for bound in ((-1, 0), (1, 2)))
    layer = convolution(row(1, -2).view(1, 2, 1, 1), row(7)[0])
    rule = partial(z_box, low=low, high=high)
    # 0.5 is 1.5 above its low; 1.5 is 0.5 below its high, which counts twice; no bias.
    found = shared(rule, row(0.5, 1.5).view(1, 2, 1, 1), row(5).view(1, 1, 1, 1), layer)
    torch.testing.assert_close(found.flatten(1), row(3, 2))
    found = shared(rule, row(-1, 1.5).view(1, 2, 1, 1), row(5).view(1, 1, 1, 1), layer)
    torch.testing.assert_close(found.flatten(1), row(0, 5))


def test_norm_shares_by_size():
    x = row(1, 3, 0, 4)
    found = norm(lambda x: x.mean(1), x)(row(8)[0])
    torch.testing.assert_close(found, x)
    assert not norm(lambda x: x.mean(1), row(0, 0))(row(8)[0]).any()


def test_norm_conserves_where_windows_overlap_the_edge():
    x = torch.rand(2, 3, 7, 7, dtype=torch.float64)

    def pool(x):
        return F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)

    r = torch.randn_like(pool(x))
    torch.testing.assert_close(norm(pool, x)(r).sum((2, 3)), r.sum((2, 3)))


def test_summands_share_by_size_and_may_cancel():
    x, y, r = row(3, 5, -5), row(1, -4, 5), row(8, 2, 7)
    torch.testing.assert_close(addend(x, x + y)(r), row(6, 10, 0))
    torch.testing.assert_close(addend(y, x + y)(r), row(2, -8, 0))


def test_a_summand_that_is_repeated_gets_all_of_its_shares():
    x, y = row(1), row(1, 3, 4)
    torch.testing.assert_close(addend(x, x + y)(row(2, 4, 5)), row(1 + 1 + 1))


RULES = {
    "epsilon": partial(epsilon, epsilon=0.1),
    "gamma": gamma,
    "z-plus": z_plus,
    "alpha-beta": alpha_beta,
}
GEOMETRIES = {
    "plain": (1, 0, 1, 1),
    "strided": (2, 1, 1, 1),
    "dilated": ((1, 2), (2, 1), 2, 1),
    "depthwise": (1, 1, 1, 4),
}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("rule", RULES)
def test_a_convolution_is_the_matrix_that_it_stands_for(rule, geometry, signed):
    torch.manual_seed(0)
    stride, padding, dilation, groups = GEOMETRIES[geometry]
    weight = torch.randn(8, 4 // groups, 3, 3, dtype=torch.float64)
    bias = torch.randn(8, dtype=torch.float64)
    layer = convolution(weight, bias, stride, padding, dilation, groups)
    x = torch.randn(2, 4, 8, 9, dtype=torch.float64)
    x = x if signed else x.relu()
    z = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    r = torch.randn_like(z)
    units = torch.eye(x[0].numel(), dtype=torch.float64).view(-1, *x.shape[1:])
    matrix = F.conv2d(units, weight, None, stride, padding, dilation, groups).flatten(1).T
    dense = linear(matrix, bias[:, None, None].expand_as(z[0]).flatten())
    expected = RULES[rule](dense, x.flatten(1), z.flatten(1))(r.flatten(1))
    found = RULES[rule](layer, x, z)(r)
    torch.testing.assert_close(found.flatten(1), expected)


@pytest.mark.parametrize("rule", RULES)
def test_a_scaling_is_a_diagonal_matrix(rule):
    torch.manual_seed(0)
    x, factor, shift = torch.randn(3, 5, dtype=torch.float64).unbind()
    z, r = x * factor + shift, torch.randn(1, 5, dtype=torch.float64)
    dense = linear(factor.diag(), shift)
    expected = RULES[rule](dense, x[None], z[None])(r)
    torch.testing.assert_close(RULES[rule](scaling(factor, shift), x[None], z[None])(r), expected)


@pytest.mark.parametrize("biased", [False, True])
def test_a_rescaled_layer_is_the_two_in_one(biased):
    torch.manual_seed(0)
    factor, shift, bias = torch.randn(3, 8, dtype=torch.float64)
    bias = bias if biased else None
    weight, x = torch.randn(8, 4, 3, 3).double(), torch.randn(2, 4, 6, 6).double()
    both = rescale_layer(convolution(weight, bias), factor, shift)
    z = F.conv2d(x, weight, bias) * factor[:, None, None] + shift[:, None, None]
    torch.testing.assert_close(both.times(x, both.weight) + both.bias, z)
    weight, x = torch.randn(8, 4).double(), torch.randn(2, 4).double()
    both = rescale_layer(linear(weight, bias), factor, shift)
    z = F.linear(x, weight, bias) * factor + shift
    torch.testing.assert_close(both.times(x, both.weight) + both.bias, z)


def test_rules_are_prepared_once(monkeypatch):
    calls = []
    monkeypatch.setattr(F, "linear", lambda x, w: calls.append(1) or x @ w.T)
    layer = lrp_rules.linear(LAYER.weight)
    back = z_plus(layer, row(2, 1), row(0, 7))
    for _ in range(3):
        back(row(1, 1))
    assert len(calls) == 1
