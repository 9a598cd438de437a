import numpy as np
import pytest

from wsss.core.errors import UserError
from wsss.evaluation import confusion_matrix, metrics

TRUTH = np.array([[0, 0, 0, 1], [1, 1, 2, 255]], np.uint8)
PREDICTION = np.array([[0, 0, 1, 1], [1, 0, 2, 1]], np.uint8)


def test_confusion_matrix_by_hand():
    expected = [[2, 1, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert confusion_matrix(PREDICTION, TRUTH, 4).tolist() == expected


def test_confusion_matrix_takes_any_integer_type():
    expected = confusion_matrix(PREDICTION, TRUTH, 3)
    assert (
        confusion_matrix(PREDICTION.astype(np.int64), TRUTH.astype(np.int32), 3) == expected
    ).all()


def test_ignored_prediction_is_refused_or_background_or_skipped():
    prediction = np.array([[255, 0, 0, 1], [1, 255, 2, 255]], np.uint8)
    with pytest.raises(UserError, match=r"255 .ignored. where the ground truth has a class"):
        confusion_matrix(prediction, TRUTH, 3)
    counts = confusion_matrix(prediction, TRUTH, 3, predicted_ignore="background")
    assert counts.tolist() == [[3, 0, 0], [1, 2, 0], [0, 0, 1]]
    counts = confusion_matrix(prediction, TRUTH, 3, predicted_ignore="skip")
    assert counts.tolist() == [[2, 0, 0], [0, 2, 0], [0, 0, 1]]


def test_ignored_prediction_on_ignored_ground_truth_is_fine():
    prediction = np.where(TRUTH == 255, 255, TRUTH).astype(np.uint8)
    assert np.diag(confusion_matrix(prediction, TRUTH, 3)).tolist() == [3, 3, 1]


@pytest.mark.parametrize(
    ("prediction", "truth", "what"), [(7, 0, "prediction"), (0, 7, "ground truth")]
)
def test_values_that_are_no_class(prediction, truth, what):
    with pytest.raises(UserError, match=f"the {what} holds class 7, but there are 3 classes"):
        confusion_matrix(np.full((2, 2), prediction), np.full((2, 2), truth), 3)


def test_wrong_size():
    with pytest.raises(UserError, match="the prediction is 3×2, the ground truth 4×2"):
        confusion_matrix(PREDICTION[:, :3], TRUTH, 3)


def test_metrics_by_hand():
    # Class 3 occurs nowhere, class 2 is predicted but is not in the ground truth.
    confusion = np.array([[6, 2, 1, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    m = metrics(confusion)
    np.testing.assert_allclose(m.iou, [6 / 10, 3 / 6, 0, np.nan])
    np.testing.assert_allclose(m.fp, [1 / 10, 2 / 6, 1, np.nan])
    np.testing.assert_allclose(m.fn, [3 / 10, 1 / 6, 0, np.nan])
    np.testing.assert_allclose(m.precision, [6 / 7, 3 / 5, 0, np.nan])
    np.testing.assert_allclose(m.recall, [6 / 9, 3 / 4, np.nan, np.nan])
    np.testing.assert_allclose(m.f1, [12 / 16, 6 / 9, 0, np.nan])
    assert m.miou == pytest.approx(0.55)
    assert m.miou_all_classes == pytest.approx(1.1 / 4)
    assert m.miou_foreground == pytest.approx(0.5)
    assert (m.over_activation, m.under_activation) == pytest.approx((1 / 3, 1 / 6))
    assert m.macro_f1 == pytest.approx((12 / 16 + 6 / 9) / 2)
    assert m.pixel_accuracy == pytest.approx(9 / 13)


def test_iou_fp_and_fn_sum_to_one():
    confusion = np.random.default_rng(0).integers(0, 50, (5, 5))
    m = metrics(confusion)
    np.testing.assert_allclose(m.iou + m.fp + m.fn, 1)
    assert m.miou_foreground + m.over_activation + m.under_activation == pytest.approx(1)


def test_a_class_never_predicted_has_precision_zero():
    m = metrics(np.array([[4, 0], [2, 0]]))
    assert m.precision[1] == 0 and m.recall[1] == 0 and m.f1[1] == 0 and m.fn[1] == 1


def test_without_foreground_its_figures_are_nan():
    m = metrics(np.array([[4, 0], [0, 0]]))
    assert m.miou == 1 and np.isnan(m.miou_foreground) and np.isnan(m.over_activation)
