import math

import numpy as np
import pydensecrf.utils as published
import pytest

from wsss.core.errors import UserError
from wsss.crf.unary import unary_from_labels, unary_from_probabilities


@pytest.mark.parametrize(
    ("n", "confidence", "right", "wrong"),
    [(2, 0.7, 0.357, 1.204), (2, 0.9, 0.105, 2.303), (21, 0.7, 0.357, 4.200)],
)
def test_energies_of_labels(n, confidence, right, wrong):
    unary = unary_from_labels(np.array([[0, 1], [1, 0]], np.uint8), n, confidence)
    assert unary.dtype == np.float32
    assert unary.shape == (n, 2, 2)
    assert unary[0, 0, 0] == pytest.approx(right, abs=5e-4)
    assert unary[1, 0, 0] == pytest.approx(wrong, abs=5e-4)
    np.testing.assert_array_equal(unary[0], unary[1].T[::-1])
    np.testing.assert_allclose(np.exp(-unary).sum(0), 1, rtol=1e-5)


def test_energies_of_labels_are_pydensecrfs():
    labels = np.random.default_rng(0).integers(0, 5, (7, 9))
    expected = published.unary_from_labels(labels, 5, 0.6, zero_unsure=False)
    np.testing.assert_allclose(
        unary_from_labels(labels, 5, 0.6), expected.reshape(5, 7, 9), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("labels", "n", "confidence", "message"),
    [
        ([[0, 2]], 2, 0.7, r"labels 0 to 2, but they must lie in \[0, 2\)"),
        ([[-1, 0]], 2, 0.7, "labels -1 to 0"),
        ([[0, 0]], 1, 0.7, "at least 2"),
        ([[0, 1]], 2, 1.0, "confidence 1 of labels"),
        ([[0, 1]], 2, 0.0, "confidence 0 of labels"),
    ],
)
def test_bad_labels(labels, n, confidence, message):
    with pytest.raises(UserError, match=message):
        unary_from_labels(np.array(labels), n, confidence)


def test_energies_of_probabilities():
    p = np.array([[[0.5, 0.0]], [[0.25, 1.0]]], np.float32)
    expected = [[[math.log(2), -math.log(1e-5)]], [[math.log(4), 0]]]
    np.testing.assert_allclose(unary_from_probabilities(p), expected, rtol=1e-6)
    # 0.9 p + 0.1 / 2
    np.testing.assert_allclose(
        np.exp(-unary_from_probabilities(p, confidence=0.9)),
        [[[0.5, 0.05]], [[0.275, 0.95]]],
        rtol=1e-5,
    )


def test_probabilities_stay_as_they_were():
    p = np.full((2, 3, 4), 0.5, np.float32)
    unary_from_probabilities(p, confidence=0.5)
    assert (p == 0.5).all()


@pytest.mark.parametrize("confidence", [0.0, 1.1])
def test_bad_confidence_of_probabilities(confidence):
    with pytest.raises(UserError, match="above 0, at most 1"):
        unary_from_probabilities(np.ones((2, 1, 1), np.float32), confidence=confidence)
