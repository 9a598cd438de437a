import math

import numpy as np
import pytest

from wsss.explain.localization.peak_iou import PeakIou


def curves(*pairs):
    measure = PeakIou()
    for scores, truth in pairs:
        measure.update(np.array([scores]), np.array([truth], np.uint8))
    return measure.result()


A = [1.0, 0.6, 0.6, 0.0], [1, 1, 0, 0]
B = [0.2, 0.0, 0.0, 0.0, 0.0, 0.0], [1, 0, 0, 0, 0, 0]


def test_one_map_by_hand():
    found = curves(A)
    # ≥ 0: everything; ≥ 1 … 153 (0.6): three pixels; ≥ 154 … 255: one.
    assert found.pooled.iou[[0, 1, 153, 154, 255]].tolist() == pytest.approx(
        [50, 200 / 3, 200 / 3, 50, 50]
    )
    assert found.pooled.peak == pytest.approx(200 / 3)
    assert found.pooled.threshold == pytest.approx(1 / 255)
    np.testing.assert_allclose(found.mean.iou, found.pooled.iou)


def test_pooled_and_mean_differ_over_maps():
    found = curves(A, B)
    assert found.pairs == 2
    # Level 0: intersections 2 + 1, unions 4 + 6. Level 1: 2 + 1 and 3 + 1. Level 52: B has none.
    assert found.pooled.iou[[0, 1, 51, 52]].tolist() == pytest.approx([30, 75, 75, 50])
    assert found.mean.iou[[0, 1, 51, 52]].tolist() == pytest.approx(
        [(50 + 100 / 6) / 2, (200 / 3 + 100) / 2, (200 / 3 + 100) / 2, 100 / 3]
    )
    assert found.pooled.peak == 75 and found.mean.peak == pytest.approx(250 / 3)


def test_a_perfect_map_peaks_at_100_and_a_constant_one_at_the_foregrounds_share():
    perfect = curves(([1.0, 1.0, 0.0], [1, 1, 0])).mean
    assert perfect.peak == 100 and (perfect.iou[1:] == 100).all()
    for value in (0.0, 0.5, 1.0):
        assert curves(([value] * 4, [1, 0, 0, 0])).pooled.peak == 25


def test_against_masks_at_every_level():
    rng = np.random.default_rng(0)
    pairs = []
    for size in ((20, 30), (11, 7)):
        truth = rng.choice(np.array([0, 1, 255], np.uint8), size, p=[0.6, 0.3, 0.1])
        pairs.append(((rng.random(size) * 0.7 + 0.3 * (truth == 1)), truth))
    measure = PeakIou()
    both, union, ious = np.zeros(256), np.zeros(256), np.zeros(256)
    for scores, truth in pairs:
        measure.update(scores, truth)
        for level in range(256):
            shown = (np.floor(255 * scores) >= level) & (truth != 255)
            i, u = (shown & (truth == 1)).sum(), (shown | (truth == 1)).sum()
            both[level], union[level], ious[level] = (
                both[level] + i,
                union[level] + u,
                ious[level] + i / u,
            )
    found = measure.result()
    np.testing.assert_allclose(found.pooled.iou, 100 * both / union)
    np.testing.assert_allclose(found.mean.iou, 100 * ious / 2)
    assert found.mean.threshold == np.argmax(ious) / 255


def test_a_class_without_pixels_does_not_count_and_nothing_is_nan():
    found = curves(([0.3, 0.4], [0, 255]))
    assert found.pairs == 0
    for curve in (found.pooled, found.mean):
        assert math.isnan(curve.peak) and math.isnan(curve.threshold) and np.isnan(curve.iou).all()


def test_other_values_are_refused():
    with pytest.raises(ValueError, match="scores must be in"):
        curves(([0.2, 1.3], [0, 1]))
    with pytest.raises(ValueError, match="mask must be 0, 1 and 255"):
        curves(([0.2, 0.3], [0, 7]))
