import math

import numpy as np
import pytest

from wsss.explain.localization.box_accuracy import DELTAS, HALF, BoxAccuracy
from wsss.explain.localization.boxes import find_boxes, iou, score_map

TRUTH = np.array([[10, 10, 19, 19]])


def nested(high, low=None):
    """1 inside the first rectangle, ½ inside the second: (x0, y0, x1, y1), the ends outside."""
    scores = np.zeros((40, 40))
    for value, rectangle in ((0.5, low), (1.0, high)):
        if rectangle:
            x0, y0, x1, y1 = rectangle
            scores[y0:y1, x0:x1] = value
    return scores


def accuracy(*pairs, **options):
    measure = BoxAccuracy(**options)
    for scores, truth in pairs:
        measure.update(scores, truth)
    return measure.result()


def test_a_perfect_box_is_100_and_a_wrong_one_0():
    right, wrong = nested((10, 10, 19, 19)), nested((25, 25, 34, 34))
    assert accuracy((right, TRUTH)).max_box_acc == accuracy((right, TRUTH)).max_box_acc_v2 == 100
    assert accuracy((wrong, TRUTH)).max_box_acc == accuracy((wrong, TRUTH)).max_box_acc_v2 == 0
    both = accuracy((right, TRUTH), (wrong, TRUTH))
    assert (both.max_box_acc, both.max_box_acc_v2, both.pairs) == (50, 50, 2)


def test_an_iou_of_delta_is_a_hit():
    found = accuracy(
        (nested((10, 10, 19, 14)), TRUTH)
    )  # the box (10, 10, 19, 14): 50 of 100 pixels
    assert found.largest.max(1).tolist() == found.any.max(1).tolist() == [100, 100, 0]


def test_each_delta_picks_its_own_threshold():
    wide = (10, 10, 25, 25)  # its box has an IoU of 100/256
    pairs = [(nested((10, 10, 11, 11), wide), TRUTH), (nested((10, 10, 19, 19), wide), TRUTH)]
    found = accuracy(*pairs, step=0.1)
    # δ = 0.3: both at a low threshold. δ = 0.5 and 0.7: one, at a high threshold.
    assert found.max_box_acc_v2 == pytest.approx((100 + 50 + 50) / 3)
    assert found.thresholds_v2.tolist() == pytest.approx([0, 0.5, 0.5])
    assert found.max_box_acc == 50 and found.threshold == pytest.approx(0.5)


def test_the_first_looks_at_the_largest_box_the_second_at_all():
    scores = nested((10, 10, 19, 19), (20, 20, 39, 39))
    scores[scores > 0] = 1
    found = accuracy((scores, TRUTH))
    assert found.max_box_acc == 0 and found.max_box_acc_v2 == 100


def test_any_box_of_the_class_will_do():
    two = np.concatenate([TRUTH, [[25, 25, 34, 34]]])
    assert accuracy((nested((25, 25, 34, 34)), two)).max_box_acc == 100


def test_curves_against_the_definition_and_all_boxes_never_below_the_largest():
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(25):
        corner = rng.integers(0, 30, 2)
        truth = np.concatenate([corner, corner + rng.integers(15, 30, 2)])[None]
        scores = np.zeros((60, 60))
        x0, y0, x1, y1 = truth[0]
        scores[y0 : y1 + 1, x0 : x1 + 1] = 1
        scores[54:, 20:60] = 1  # may be larger
        pairs.append((score_map(scores + rng.random((60, 60)) * 0.9, (64, 64)), truth))
    found = accuracy(*pairs, step=0.05, percentile=95.0)
    taus = np.arange(0, 1, 0.05)
    largest, best = np.zeros((3, len(taus))), np.zeros((3, len(taus)))
    for scores, truth in pairs:
        boxes = find_boxes(scores, taus, percentile=95.0)
        for t in range(len(taus)):
            for d, delta in enumerate(DELTAS):
                largest[d, t] += iou(boxes.of_largest()[t][None], truth).max() >= delta
                best[d, t] += iou(boxes.at(t), truth).max() >= delta
    np.testing.assert_allclose(found.largest, 100 * largest / 25)
    np.testing.assert_allclose(found.any, 100 * best / 25)
    assert (found.any >= found.largest).all() and (found.any > found.largest).any()
    assert found.max_box_acc == found.largest[HALF].max() <= found.any[HALF].max()
    assert found.max_box_acc_v2 == pytest.approx(found.any.max(1).mean())
    assert 0 < found.max_box_acc < 100


def test_pairs_without_boxes_do_not_count_and_constant_maps_miss():
    found = accuracy((nested((10, 10, 19, 19)), TRUTH[:0]), (np.zeros((40, 40)), TRUTH))
    assert found.pairs == 1 and found.max_box_acc == 0


def test_nothing_added_is_nan():
    found = BoxAccuracy().result()
    assert found.pairs == 0 and math.isnan(found.max_box_acc) and math.isnan(found.max_box_acc_v2)
    assert math.isnan(found.threshold) and np.isnan(found.thresholds_v2).all()
