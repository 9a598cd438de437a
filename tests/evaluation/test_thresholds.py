import numpy as np
import pytest
import torch

from wsss.core.errors import UserError
from wsss.core.maps import label_indices, labels_to_ids, upsample
from wsss.evaluation import confusion_matrix, metrics, threshold_curve

CLASSES = 6


def random_images(count, *, coarse, dtype=np.float32, shape=None, seed=0):
    """Maps with many ties between classes and with thresholds (values on a grid of 1/100)."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        k = i % 4
        size = (11 + i, 17)
        classes = rng.choice(np.arange(1, CLASSES), k, replace=False)
        maps = rng.random((k, *(shape or size)))
        if coarse:
            maps = maps.round(2)
        truth = rng.integers(0, CLASSES, size).astype(np.uint8)
        truth[rng.random(size) < 0.1] = 255
        yield maps.astype(dtype), classes, truth


def brute_force(images, thresholds):
    confusion = np.zeros((len(thresholds), CLASSES, CLASSES), np.int64)
    for maps, classes, truth in images:
        maps = upsample(maps, truth.shape) if maps.shape[1:] != truth.shape else maps
        for i, threshold in enumerate(thresholds):
            prediction = labels_to_ids(label_indices(maps, threshold), classes)
            confusion[i] += confusion_matrix(prediction, truth, CLASSES)
    return confusion


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("coarse", [True, False])
def test_one_pass_equals_one_pass_a_threshold(coarse, dtype):
    thresholds = [round(0.01 * i, 2) for i in range(101)]
    images = list(random_images(8, coarse=coarse, dtype=dtype))
    curve = threshold_curve(images, thresholds, CLASSES)
    assert curve.confusion.dtype == np.int64
    np.testing.assert_array_equal(curve.confusion, brute_force(images, thresholds))


def test_uneven_thresholds_and_small_maps():
    thresholds = [0.0, 0.1, 0.10001, 0.5, 0.93]
    images = list(random_images(8, coarse=False, dtype=np.float16, shape=(5, 6)))
    curve = threshold_curve(images, thresholds, CLASSES)
    np.testing.assert_array_equal(curve.confusion, brute_force(images, thresholds))


def test_ties_go_to_the_background_and_to_the_first_map():
    maps = np.array([[[0.5, 0.25]], [[0.5, 0.75]]], np.float32)
    truth = np.array([[1, 2]], np.uint8)
    curve = threshold_curve([(maps, np.array([2, 1]), truth)], [0.25, 0.5, 0.75], 3)
    assert curve.confusion[0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert curve.confusion[1].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert curve.confusion[2].tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]


def test_best_is_the_lowest_of_the_best_thresholds():
    maps = np.array([[[0.9, 0.2, 0.1]]], np.float32)
    truth = np.array([[1, 0, 255]], np.uint8)
    curve = threshold_curve([(maps, np.array([1]), truth)], [0.1, 0.3, 0.5, 0.95], 2)
    threshold, figures = curve.best()
    assert (threshold, figures.miou) == (0.3, 1.0)
    assert curve.at(0.1).miou == metrics(np.array([[0, 1], [0, 1]])).miou == 0.25
    with pytest.raises(ValueError, match="none of the curve's thresholds"):
        curve.at(0.2)


def test_an_image_without_maps_is_background():
    image = (np.zeros((0, 2, 2), np.float16), np.zeros(0, np.int64), np.ones((3, 3), np.uint8))
    curve = threshold_curve([image], [0.1, 0.9], 3)
    assert (curve.confusion[:, 1, 0] == 9).all() and curve.confusion.sum() == 18


@pytest.mark.parametrize("thresholds", [[], [0.2, 0.1], [0.1, 0.1], [-0.1], [1.1], [float("nan")]])
def test_bad_thresholds(thresholds):
    with pytest.raises(UserError, match="thresholds"):
        threshold_curve([], thresholds, 3)


@pytest.mark.parametrize(
    ("classes", "value", "truth", "message"),
    [
        ([0, 1], 0.5, 0, "distinct and at least 1"),
        ([2, 2], 0.5, 0, "distinct and at least 1"),
        ([1, 3], 0.5, 0, "the maps file holds class 3"),
        ([1, 2], float("nan"), 0, "NaN"),
        ([1, 2], 0.5, 3, "the ground truth holds class 3"),
        ([1], 0.5, 0, "2 maps of 1 classes"),
    ],
)
def test_bad_images(classes, value, truth, message):
    maps = np.full((2, 4, 4), value, np.float32)
    with pytest.raises(UserError, match=message):
        threshold_curve([(maps, np.array(classes), np.full((4, 4), truth, np.uint8))], [0.5], 3)


def test_lists_and_tensors_count_like_arrays():
    maps, classes, truth = list(random_images(4, coarse=True))[2]
    expected = threshold_curve([(maps, classes, truth)], [0.2, 0.5], CLASSES).confusion
    for given in [
        (maps, classes.tolist(), truth),
        (maps, tuple(classes.tolist()), truth.astype(np.int64)),
        (torch.from_numpy(maps), torch.from_numpy(classes), torch.from_numpy(truth)),
        (maps.tolist(), classes.tolist(), truth.tolist()),
    ]:
        curve = threshold_curve([given], [0.2, 0.5], CLASSES)
        np.testing.assert_array_equal(curve.confusion, expected)
    curve = threshold_curve([(np.zeros((0, 2, 2), np.float32), [], [[0, 1]])], [0.5], 2)
    assert curve.confusion[0].tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("index", "given", "message"),
    [
        (0, np.zeros((1, 2, 2), np.int64), r"the maps are int64 of shape \(1, 2, 2\); give floats"),
        (
            0,
            np.zeros((2, 2), np.float32),
            r"the maps are float32 of shape \(2, 2\); give floats of 3",
        ),
        (0, torch.zeros(1, 2, 2, requires_grad=True), "the maps are not an array on the CPU"),
        (1, [1.0], r"the classes are float64 of shape \(1,\); give integers of 1 dimension$"),
        (1, 1, r"the classes are int64 of shape \(\); give integers"),
        (2, np.array([[0, 302]]), "the ground truth holds 302; give class ids"),
        (2, np.array([[0, -1]]), "the ground truth holds -1; give class ids"),
        (2, torch.tensor([[0, -1]]), "the ground truth holds -1; give class ids"),
        (2, np.zeros((1, 2), np.float32), "the ground truth are float32"),
        (2, np.zeros((1, 2), bool), "the ground truth are bool"),
        (2, [[0, 1], [0]], "the ground truth are not an array"),
        (2, np.zeros((1, 1, 2), np.uint8), r"the ground truth are uint8 of shape \(1, 1, 2\)"),
    ],
)
def test_wrong_arrays_are_one_line(index, given, message):
    image = [np.zeros((1, 2, 2), np.float32), [1], np.zeros((2, 2), np.uint8)]
    image[index] = given
    with pytest.raises(UserError, match=message) as caught:
        threshold_curve([tuple(image)], [0.5], 3)
    assert "\n" not in str(caught.value)
