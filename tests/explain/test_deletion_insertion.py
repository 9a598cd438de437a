import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from wsss.explain.metrics.deletion_insertion import area, deletion, insertion, rise_blur

ZERO = torch.tensor([0])


def of_region(region):
    """Class 0: the region's mean brightness; class 1: the rest's; in [0, 1]."""

    def probabilities(images):
        grey = images.mean(1).clamp(0, 1)
        return torch.stack([grey[:, region].mean(1), grey[:, ~region].mean(1)], 1)

    return probabilities


TOP = torch.tensor([[True, True], [False, False]])
MAP = torch.tensor([[[1.0, 0.5], [0.0, 0.2]]])


def test_curves_by_hand():
    white = torch.ones(1, 3, 2, 2)
    network, black = of_region(TOP), torch.zeros(1, 3, 2, 2)
    gone = deletion(network, white, MAP, ZERO, ZERO, steps=4)
    assert gone.tolist() == [[1, 0.5, 0, 0, 0]] and area(gone).tolist() == [0.25]
    come = insertion(network, white, MAP, ZERO, ZERO, steps=4, baseline=black)
    assert come.tolist() == [[0, 0.5, 1, 1, 1]] and area(come).tolist() == [0.75]
    other = deletion(network, white, MAP, ZERO, ZERO + 1, steps=4)
    assert other.tolist() == [[1, 1, 1, 0.5, 0]]
    halves = deletion(network, white, MAP, ZERO, ZERO, steps=2)
    assert halves.tolist() == [[1, 0, 0]] and area(halves).tolist() == [0.25]


def test_equal_pixels_go_in_reading_order():
    white, flat = torch.ones(1, 3, 2, 2), torch.zeros(1, 2, 2)
    assert deletion(of_region(TOP), white, flat, ZERO, ZERO, steps=4).tolist() == [
        [1, 0.5, 0, 0, 0]
    ]


def test_the_last_point_is_the_other_image_whatever_the_number_of_steps():
    torch.manual_seed(0)
    images, maps = torch.rand(1, 3, 7, 9), torch.rand(1, 7, 9)
    region = torch.rand(7, 9) > 0.5
    network, soft = of_region(region), rise_blur(images)
    for steps in (1, 5, 63, 100):
        gone = deletion(network, images, maps, ZERO, ZERO, steps=steps)
        come = insertion(network, images, maps, ZERO, ZERO, steps=steps)
        assert gone.shape == come.shape == (1, steps + 1)
        assert gone[0, 0] == pytest.approx(network(images)[0, 0].item()) and gone[0, -1] == 0
        assert come[0, 0] == pytest.approx(network(soft)[0, 0].item())
        assert come[0, -1] == pytest.approx(gone[0, 0])


def test_a_perfect_map_is_better_than_a_random_one_in_both():
    torch.manual_seed(0)
    region = torch.zeros(24, 24, dtype=torch.bool)
    region[5:14, 8:20] = True
    images = torch.rand(3, 3, 24, 24) * region  # an object on black
    network, pairs = of_region(region), torch.arange(3)
    perfect, chance = region.float().expand(3, 24, 24), torch.rand(3, 24, 24)
    zeros = torch.zeros_like(images)
    fall = [area(deletion(network, images, m, pairs, pairs * 0)) for m in (perfect, chance)]
    rise = [
        area(insertion(network, images, m, pairs, pairs * 0, baseline=zeros))
        for m in (perfect, chance)
    ]
    assert (fall[0] < 0.6 * fall[1]).all() and (rise[0] > 1.2 * rise[1]).all()


def test_several_pairs_at_once_are_the_pairs_one_by_one_in_any_chunks():
    torch.manual_seed(0)
    images, maps = torch.rand(2, 3, 8, 8), torch.rand(4, 8, 8)
    of, classes = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    sizes, network = [], of_region(torch.rand(8, 8) > 0.4)

    def counting(x):
        sizes.append(len(x))
        return network(x)

    together = deletion(counting, images, maps, of, classes, steps=6, chunk=5)
    assert sizes == [5] * 5 + [3]
    for i in range(4):
        alone = deletion(
            network, images, maps[i : i + 1], of[i : i + 1], classes[i : i + 1], steps=6
        )
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-6)


def test_no_pair_gives_no_curve():
    none = torch.zeros(0, dtype=torch.long)
    curves = insertion(of_region(TOP), torch.ones(1, 3, 8, 8), torch.zeros(0, 8, 8), none, none)
    assert curves.shape == (0, 101) and area(curves).shape == (0,)


def test_blurring_keeps_the_mean_and_takes_the_detail():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 64, 64)
    soft = rise_blur(images)
    inside = soft[:, :, 5:-5, 5:-5]
    assert inside.mean().item() == pytest.approx(images.mean().item(), abs=0.01)
    assert inside.std() < 0.2 * images.std()


def test_blurring_is_by_a_blurred_point_of_11_pixels_and_zeros_around():
    point = torch.zeros(1, 3, 21, 21)
    point[:, :, 10, 10] = 1
    small = np.zeros((11, 11))
    small[5, 5] = 1
    found = rise_blur(point)[0, 0]
    expected = np.pad(gaussian_filter(small, 5), 5)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_allclose(rise_blur(torch.ones(1, 3, 30, 30))[0, 1, 15, 15], 1, rtol=1e-6)
    assert rise_blur(torch.ones(1, 3, 30, 30))[0, 1, 0, 0] == pytest.approx(
        gaussian_filter(small, 5)[5:, 5:].sum()
    )


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="0 steps"):
        deletion(of_region(TOP), torch.ones(1, 3, 2, 2), MAP, ZERO, ZERO, steps=0)
