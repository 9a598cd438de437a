import numpy as np
import pytest

from wsss.core.threshold import threshold_reference


def test_references_by_hand():
    scores = np.array([[0.0, 0.5], [1.0, 0.2]])
    # In order 0, 0.2, 0.5, 1: the median lies between the second and the third.
    np.testing.assert_allclose(threshold_reference(scores, (100, 50, 0)), [1.0, 0.35, 0.0])


@pytest.mark.parametrize("percentile", [0, 37.5, 90, 98, 100])
def test_a_percentile_interpolates_between_the_ordered_values(percentile):
    scores = np.random.default_rng(0).random((13, 7))
    ordered = np.sort(scores.ravel())
    expected = np.interp(percentile / 100 * (ordered.size - 1), np.arange(ordered.size), ordered)
    (found,) = threshold_reference(scores, (percentile,))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_hundredth_percentile_is_the_maximum_in_any_precision():
    scores = np.random.default_rng(0).standard_normal((13, 7)).astype(np.float16)
    (found,) = threshold_reference(scores, (100,))
    assert found == scores.max() and found.dtype == np.float64
