import math

import numpy as np
import pytest

from wsss.explain.localization.pixel_ap import PixelAP


def ap(*pairs, **options):
    measure = PixelAP(**options)
    for scores, truth in pairs:
        measure.update(np.atleast_2d(scores), np.atleast_2d(np.array(truth, np.uint8)))
    return measure.result()


def random_pair(seed=0, size=(80, 90), rate=0.3):
    rng = np.random.default_rng(seed)
    truth = (rng.random(size) < rate).astype(np.uint8)
    scores = (rng.random(size) * 0.8 + 0.2 * truth).astype(np.float32)
    truth[rng.random(size) < 0.1] = 255
    return scores, truth


def test_by_hand():
    found = ap((np.array([0.9, 0.8, 0.3]), [1, 0, 1]))
    assert found.px_ap == pytest.approx(100 * (1 * 0.5 + 2 / 3 * 0.5))
    # From the top: nothing, then the first pixel, the second, the third.
    assert found.recall[[0, 100, 200, 700]].tolist() == [0, 0.5, 0.5, 1]
    assert math.isnan(found.precision[0])
    assert found.precision[[100, 200, 700]].tolist() == pytest.approx([1, 0.5, 2 / 3])
    assert found.thresholds[[0, 100, -1]].tolist() == pytest.approx([1, 0.9, 0])


def test_a_perfect_map_is_100_and_ignored_pixels_are_not_looked_at():
    truth = np.array([[1, 1, 0], [0, 255, 255]], np.uint8)
    assert ap((np.array([[1, 0.7, 0.6], [0, 1, 0]]), truth)).px_ap == pytest.approx(100)
    assert ap((np.array([[1, 0.7, 0.7], [0, 1, 0]]), truth)).px_ap < 100


def test_random_and_constant_maps_have_the_rate_of_the_foreground():
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 300)) < 0.3).astype(np.uint8)
    rate = 100 * truth.mean()
    assert ap((rng.random((300, 300)), truth)).px_ap == pytest.approx(rate, abs=1)
    for value in (0.0, 0.5, 1.0):
        assert ap((np.full((300, 300), value), truth)).px_ap == pytest.approx(rate)


@pytest.mark.parametrize("step", [0.001, 0.01, 0.1, 0.03])
def test_against_precision_and_recall_at_each_threshold(step):
    scores, truth = random_pair()
    found = ap((scores, truth), step=step)
    thresholds = [1.0, *np.arange(0, 1, step)[::-1]]
    positive, total, before = (truth == 1).sum(), 0.0, 0.0
    for threshold in thresholds:
        above = scores.astype(np.float64) >= threshold
        true, false = (above & (truth == 1)).sum(), (above & (truth == 0)).sum()
        if true + false:
            total += true / (true + false) * (true / positive - before)
        before = true / positive
    assert found.px_ap == pytest.approx(100 * total)
    np.testing.assert_allclose(found.thresholds, thresholds)


@pytest.mark.parametrize("step", [0.001, 0.01])
def test_scores_on_edges_are_counted_as_numpy_does(step):
    edges = np.arange(0, 1, step)
    scores = np.concatenate([edges, np.nextafter(edges, 1), np.nextafter(edges[1:], 0), [1.0]])
    measure = PixelAP(step)
    measure.update(scores[None], np.ones((1, len(scores)), np.uint8))
    expected, _ = np.histogram(scores, [*edges, 1.0, 2.0])
    np.testing.assert_array_equal(measure.inside, expected)


def test_maps_are_pooled_not_averaged():
    a, b = random_pair(1), random_pair(2, (30, 20), 0.05)
    measure = ap(a, b)
    joined = (
        np.concatenate([a[0].ravel(), b[0].ravel()]),
        np.concatenate([*map(np.ravel, (a[1], b[1]))]),
    )
    assert measure.px_ap == ap(joined).px_ap != pytest.approx((ap(a).px_ap + ap(b).px_ap) / 2)


def test_without_an_object_it_is_nan():
    assert math.isnan(PixelAP().result().px_ap)
    assert math.isnan(ap((np.array([0.2, 0.3]), [0, 255])).px_ap)


def test_other_values_are_refused():
    with pytest.raises(ValueError, match="scores must be in"):
        ap((np.array([0.2, np.nan]), [0, 1]))
    with pytest.raises(ValueError, match="mask must be 0, 1 and 255"):
        ap((np.array([0.2, 0.3]), [0, 2]))
