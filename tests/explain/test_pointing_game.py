import math

import numpy as np
import pytest

from wsss.explain.localization.pointing_game import PointingGame


def peak(y, x, size=(50, 60)):
    scores = np.zeros(size)
    scores[y, x] = 1
    return scores


def pixel(y, x, size=(50, 60)):
    return peak(y, x, size) > 0


def hits(scores, truth, tolerance):
    game = PointingGame(1, tolerance)
    game.update(scores, 0, truth)
    return int(game.hits[0])


@pytest.mark.parametrize(
    ("offset", "hit"),
    [((0, 15), 1), ((15, 0), 1), ((9, 12), 1), ((0, 16), 0), ((11, 11), 0), ((-9, -12), 1)],
)
def test_the_tolerance_is_a_euclidean_distance_that_still_hits(offset, hit):
    assert hits(peak(20, 25), pixel(20 + offset[0], 25 + offset[1]), 15) == hit


def test_without_tolerance_only_the_pixel_itself_hits():
    assert hits(peak(3, 4), pixel(3, 4), 0) == 1
    assert hits(peak(3, 4), pixel(3, 5), 0) == 0


@pytest.mark.parametrize("corner", [(0, 0), (0, 59), (49, 0), (49, 59)])
def test_at_the_border_nothing_wraps_round(corner):
    away = (49 - corner[0], 59 - corner[1])
    assert hits(peak(*corner), pixel(*corner), 15) == 1
    assert hits(peak(*corner), pixel(*away), 15) == 0


def test_windows_agree_with_distances_to_every_pixel():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        size = tuple(rng.integers(3, 30, 2).tolist())
        scores, truth, tolerance = rng.random(size), rng.random(size) < 0.01, int(rng.integers(8))
        if not truth.any():
            continue
        y, x = np.argwhere(scores == scores.max())[0]
        nearest = min(math.hypot(v - y, u - x) for v, u in np.argwhere(truth))
        found.append(hits(scores, truth, tolerance))
        assert found[-1] == (nearest <= tolerance)
    assert 10 < sum(found) < len(found) - 10


def test_accuracy_of_classes_their_mean_and_all_pairs():
    game = PointingGame(3, 0)
    for _ in range(3):
        game.update(peak(1, 1), 0, pixel(1, 1))
    game.update(peak(1, 1), 2, pixel(1, 1))
    game.update(peak(1, 1), 2, pixel(5, 5))
    found = game.result()
    np.testing.assert_array_equal(found.accuracy, [100, np.nan, 50])
    assert (found.mean, found.pooled, found.pairs) == (75, 80, 5)


def test_a_constant_map_misses_and_a_class_without_pixels_does_not_count():
    game = PointingGame(1)
    everywhere = np.ones((50, 60), bool)
    game.update(np.zeros((50, 60)), 0, everywhere)
    game.update(peak(1, 1), 0, ~everywhere)
    assert game.result().pairs == 1 and game.result().mean == 0


def test_nothing_added_is_nan():
    found = PointingGame(2).result()
    assert math.isnan(found.mean) and math.isnan(found.pooled) and np.isnan(found.accuracy).all()


def test_nan_is_refused():
    scores = peak(1, 1)
    scores[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        PointingGame(1).update(scores, 0, pixel(1, 1))
