import cv2
import numpy as np
import pytest

from wsss.explain.localization.boxes import (
    box_mask,
    boxes_of_each,
    find_boxes,
    iou,
    resize_boxes,
    score_map,
    share_of_reference,
    to_levels,
)

ALL = np.arange(0, 1, 0.001)


def smooth(seed, size=(60, 80), low=(6, 8)):
    return score_map(np.random.default_rng(seed).random(low) ** 2, size)


def one_by_one(scores, thresholds, percentile=None):
    """The definition: a binary image for every threshold; the largest's box, and all, sorted."""
    u8 = np.floor(scores * scores.dtype.type(255)).astype(np.uint8)
    top = float(u8.max()) if percentile is None else np.percentile(u8, percentile)
    height, width = scores.shape
    largest, every = [], []
    for threshold in thresholds:
        _, binary = cv2.threshold(u8, int(threshold * top), 255, cv2.THRESH_BINARY)
        contours = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        boxes = [(0, 0, 0, 0)]
        if contours:
            contours = sorted(contours, key=cv2.contourArea, reverse=True)
            sides = [cv2.boundingRect(c) for c in contours]
            boxes = [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in sides]
        largest.append(boxes[0])
        every.append(sorted(boxes))
    return largest, every


def test_a_rectangle_is_boxed_one_pixel_wide_inside_the_image():
    scores = np.zeros((10, 12))
    scores[2:5, 3:7] = 1
    assert find_boxes(scores, np.array([0.5])).at(0).tolist() == [[3, 2, 7, 5]]
    scores[2:, 3:] = 1
    assert find_boxes(scores, np.array([0.5])).at(0).tolist() == [[3, 2, 11, 9]]


@pytest.mark.parametrize("seed", range(4))
def test_all_thresholds_at_once_are_each_threshold_alone(seed):
    scores = smooth(seed)
    found = find_boxes(scores, ALL)
    largest, every = one_by_one(scores, ALL)
    assert found.of_largest().tolist() == [list(box) for box in largest]
    assert [sorted(map(tuple, found.at(i).tolist())) for i in range(len(ALL))] == every
    assert len(found.starts) <= 256 and len({len(boxes) for boxes in every}) > 3


def test_percentile_100_is_the_share_of_the_maximum_and_90_that_of_the_90th_percentile():
    scores = smooth(7)
    mas, _ = one_by_one(scores, ALL)
    assert find_boxes(scores, ALL, percentile=100.0).of_largest().tolist() == [*map(list, mas)]
    pas, _ = one_by_one(scores, ALL, 90)
    assert find_boxes(scores, ALL, percentile=90.0).of_largest().tolist() == [*map(list, pas)]
    assert mas != pas


def test_a_percentile_finds_more_than_the_peak():
    scores = np.zeros((20, 20))
    scores[5:15, 5:15] = 0.4
    scores[8, 8:11] = 1  # less than a tenth of the pixels
    half = np.array([0.5])
    assert find_boxes(scores, half).of_largest().tolist() == [[8, 8, 11, 9]]
    assert find_boxes(scores, half, percentile=90.0).of_largest().tolist() == [[5, 5, 15, 15]]


def test_several_percentiles_at_once_are_each_alone():
    scores, listed = smooth(5), (60, 90.0, 100)
    together = boxes_of_each(scores, ALL, listed)
    for percentile, found in zip(listed, together, strict=True):
        alone = find_boxes(scores, ALL, percentile=percentile)
        np.testing.assert_array_equal(found.of_largest(), alone.of_largest())
        for i in range(0, len(ALL), 50):
            assert found.at(i).tolist() == alone.at(i).tolist()
    assert together[0].of_largest().tolist() != together[2].of_largest().tolist()
    assert len(together[0].starts) <= 256


def test_shares_are_of_the_percentile_and_at_most_1():
    scores = np.array([[0.0, 0.2, 0.4, 0.6, 1.0]], np.float32)
    np.testing.assert_allclose(share_of_reference(scores, 50), [[0, 0.5, 1, 1, 1]], rtol=1e-6)
    assert share_of_reference(scores, 50).dtype == np.float32
    np.testing.assert_array_equal(share_of_reference(scores, 100), scores)
    np.testing.assert_array_equal(share_of_reference(scores, 0), [[0, 1, 1, 1, 1]])
    assert not share_of_reference(np.zeros((3, 3)), 90.0).any()


@pytest.mark.parametrize("percentile", [70, 95.0])
def test_shares_exceed_a_threshold_where_boxes_are(percentile):
    scores, threshold = smooth(3), np.array([0.5])
    above = np.argwhere(
        share_of_reference(scores, percentile) > 0.51
    )  # half of it, but for rounding
    x0, y0, x1, y1 = find_boxes(scores, threshold, percentile=percentile).at(0).T
    for y, x in above:
        assert ((x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)).any()


def test_the_largest_contour_is_that_of_the_largest_polygon():
    scores = np.zeros((20, 20))
    scores[2, 1:12] = 1  # 11 pixels, but a polygon of no area
    scores[10:12, 10:12] = 1
    found = find_boxes(scores, np.array([0.5]))
    assert found.of_largest().tolist() == [[10, 10, 12, 12]]
    assert sorted(found.at(0).tolist()) == [[1, 2, 12, 3], [10, 10, 12, 12]]


def test_holes_are_boxed_as_well():
    scores = np.zeros((20, 20))
    scores[3:15, 3:15] = 1
    scores[6:12, 6:12] = 0
    boxes = find_boxes(scores, np.array([0.5]))
    assert boxes.of_largest().tolist() == [[3, 3, 15, 15]] and len(boxes.at(0)) == 2


def test_where_nothing_is_above_there_is_an_empty_box():
    ends = np.array([0.0, 0.5, 1.0])
    assert find_boxes(np.zeros((8, 9)), ends).of_largest().tolist() == [[0, 0, 0, 0]] * 3
    of_ones = find_boxes(np.ones((8, 9)), ends).of_largest().tolist()
    assert of_ones == [[0, 0, 8, 7], [0, 0, 8, 7], [0, 0, 0, 0]]


def test_iou_counts_pixels_and_clamps():
    a = np.array([[10, 10, 19, 19], [0, 0, 1, 1]])
    b = np.array([[15, 15, 24, 24], [10, 10, 19, 19], [40, 40, 41, 41]])
    np.testing.assert_allclose(iou(a, b), [[25 / 175, 1, 0], [0, 0, 0]])
    assert iou(a, b[:0]).shape == (2, 0)


def test_iou_against_masks():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 15, (12, 2))
    boxes = np.concatenate([corners, corners + rng.integers(0, 15, (12, 2))], 1)
    masks = [box_mask(box[None], (30, 30)) for box in boxes]
    expected = [[(m & n).sum() / (m | n).sum() for n in masks] for m in masks]
    np.testing.assert_allclose(iou(boxes, boxes), expected)


def test_a_score_map_spans_0_to_1_at_its_new_size():
    scores = score_map(np.array([[-3.0, 1.0], [2.0, 5.0]]), (6, 8))
    assert scores.shape == (6, 8) and scores.min() == 0 and scores.max() == 1
    assert scores[0, 0] < scores[0, -1] < scores[-1, -1]
    assert not score_map(np.full((3, 3), 7.0), (6, 8)).any()
    peak = np.zeros((7, 7))
    peak[3, 3] = 1
    around = score_map(peak, (28, 28))
    assert around.min() == 0 < around[0, 0]  # bicubic: it dips beside a peak, below what is far
    with pytest.raises(ValueError, match="NaN"):
        score_map(np.array([[np.nan, 1.0]]), (6, 8))


def test_levels_are_rounded_down():
    assert to_levels(np.array([[0, 0.0039, 0.00393, 0.999, 1]])).tolist() == [[0, 0, 1, 254, 255]]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_scores_outside_0_and_1_are_refused(wrong):
    with pytest.raises(ValueError, match="scores must be in"):
        find_boxes(np.array([[0.5, wrong]]), ALL)


def test_boxes_of_another_size_are_rounded_down():
    boxes = np.array([[10, 20, 30, 41], [0, 0, 99, 199]])
    assert resize_boxes(boxes, (200, 100), (224, 224)).tolist() == [
        [22, 22, 67, 45],
        [0, 0, 221, 222],
    ]


def test_filled_boxes_hold_both_corners():
    mask = box_mask(np.array([[1, 0, 2, 1], [3, 3, 3, 3]]), (4, 5))
    assert mask.sum() == 5 and mask[0:2, 1:3].all() and mask[3, 3]
