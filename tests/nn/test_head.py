"""Golden values: three features on a 2×2 grid, three classes, worked out by hand."""

import pytest
import torch

from wsss.nn.head import CamHead, kur, thresholded_average
from wsss.nn.head_recipe import Head, KurKernel, TapPooling

A = torch.tensor([[[4.0, 0], [2, 1]], [[0, 3], [1, 0]], [[1, 1], [0, 2]]])[None]
W = torch.tensor([[2, -1, 0.5], [1, 3, -2], [-1, -2, 1]])
B = torch.tensor([0.0, -1, -3])


def head(**recipe):
    made = CamHead(3, 3, Head(**recipe))
    made.weight.data = W[:, :, None, None].clone()
    return made


def test_plain_maps_and_their_mean():
    found = head()(A)
    expected = torch.tensor([[8.5, -2.5, 3, 3], [2, 7, 5, -3], [-3, -5, -4, 1]])
    torch.testing.assert_close(found.maps[0].flatten(1), expected)
    torch.testing.assert_close(found.logits[0] + B, torch.tensor([3, 1.75, -5.75]))


def test_kernel_usage_regularization():
    expected = torch.tensor(
        [
            [1.410769, -0.017868, 0.183096],
            [0.259496, 2.926676, -0.060118],
            [-0.035119, -0.013147, 0.603749],
        ]
    )
    torch.testing.assert_close(kur(W, 1), expected, atol=1e-6, rtol=0)
    made = head(kernel=KurKernel())
    torch.testing.assert_close(
        made(A).logits[0] + B, torch.tensor([2.634074, 2.320677, -2.470856]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(made.effective_weight()[:, :, 0, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(made(A).maps.mean((2, 3)), made(A).logits)
    three = head(kernel=KurKernel(alpha=3.0))(A).logits[0] + B
    torch.testing.assert_close(
        three, torch.tensor([7.902222, 8.962032, -1.412568]), atol=1e-5, rtol=0
    )


def test_thresholded_average():
    torch.testing.assert_close(thresholded_average(A, 0.5), torch.tensor([[4.0, 3, 2]]))
    torch.testing.assert_close(thresholded_average(A, 0.1), torch.tensor([[7 / 3, 2.0, 4 / 3]]))
    assert thresholded_average(torch.zeros(1, 2, 3, 3), 0.1).tolist() == [[0, 0]]


def test_tap_pools_the_features_and_leaves_the_maps_alone():
    found = head(pooling=TapPooling(threshold=0.5))(A)
    torch.testing.assert_close(found.maps, head()(A).maps)
    torch.testing.assert_close(found.logits[0], W @ torch.tensor([4.0, 3, 2]))


def test_the_set_of_positions_is_a_constant_for_the_gradient():
    features = A.clone().requires_grad_()
    thresholded_average(features, 0.5)[0, 0].backward()
    assert features.grad[0, 0].flatten().tolist() == [1, 0, 0, 0]  # 2 = θ·max is not above it


@pytest.mark.parametrize("kernel", [{}, {"kernel": KurKernel(alpha=2.0)}])
def test_gradients_reach_the_weights(kernel):
    made = head(**kernel)
    made(A).logits.sum().backward()
    assert made.weight.grad.abs().sum() > 0
