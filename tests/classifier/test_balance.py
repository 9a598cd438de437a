import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from wsss.classifier.balance import chosen_images, inverse_frequency
from wsss.classifier.data_recipe import Balance, DownSample, Repeat
from wsss.core.errors import UserError
from wsss.core.random import generator


def chosen(rows, balance=None, unlabelled="skip", seed=0):
    return chosen_images(np.array(rows, np.uint8), balance, unlabelled=unlabelled, seed=seed)


def down_sample(ratio=1.0):
    return DownSample(kind="down-sample", ratio=ratio)


def repeat(threshold):
    return Repeat(kind="repeat", threshold=threshold)


def long_tail(n=400, seed=0):
    """Images of up to three of eight classes, the first class in most of them."""
    rng = generator(seed, "long-tail")
    return rng.random((n, 8)) < 0.5 ** np.arange(1, 9)


# Class 0 has six images, the classes 1 and 2 two each; image 4 has both 0 and 1.
SMALL = [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]]


def test_images_without_labels_are_left_out_or_stay_as_negatives():
    rows = [[1, 0], [0, 0], [0, 1], [0, 0]]
    assert chosen(rows).tolist() == [0, 2]
    assert chosen(rows, unlabelled="negative").tolist() == [0, 1, 2, 3]


def test_bool_and_integer_labels_are_the_same():
    labels = long_tail()
    for balance in (None, down_sample(), repeat(0.1)):
        first, second = (
            chosen_images(kind, balance, unlabelled="skip", seed=1)
            for kind in (labels, labels.astype(np.int64))
        )
        assert np.array_equal(first, second) and first.dtype == np.int64


def test_down_sample_by_hand():
    # Medians of (6, 2, 2): 2. Only the images 0 to 3 have no class but 0, so all of them go.
    assert chosen(SMALL, down_sample()).tolist() == [4, 5, 6, 7]
    # Up to 4 images of class 0: two of the four go.
    for seed in range(6):
        kept = chosen(SMALL, down_sample(2.0), seed=seed).tolist()
        assert len(kept) == 6 and kept[-4:] == [4, 5, 6, 7]
    # 6 is not more than 3 · 2.
    assert chosen(SMALL, down_sample(3.0)).tolist() == list(range(8))


def test_down_sampling_leaves_out_another_choice_with_another_seed():
    choices = {tuple(chosen(SMALL, down_sample(2.0), seed=seed)) for seed in range(40)}
    assert len(choices) == 6  # 2 of 4


def test_an_image_of_two_common_classes_goes_only_while_both_are_above_the_cap():
    # Counts (5, 4, 1, 1, 1), cap 1.
    rows = [[1, 1, 0, 0, 0]] * 4 + [[1, 0, 0, 0, 0], *np.eye(5, dtype=int)[2:].tolist()]
    for seed in range(20):
        kept = chosen(rows, down_sample(), seed=seed)
        counts = np.array(rows)[kept].sum(0).tolist()
        # Class 0 could fall to 1 only if all four images of class 1 went.
        assert counts in ([1, 1, 1, 1, 1], [2, 1, 1, 1, 1])
        assert kept[-3:].tolist() == [5, 6, 7]


@pytest.mark.parametrize("ratio", [1.0, 1.7])
@pytest.mark.parametrize("seed", range(3))
def test_down_sampling_stops_at_the_cap_and_keeps_rare_classes_whole(seed, ratio):
    labels = long_tail(seed=seed)
    before = labels.sum(0)
    cap = ratio * np.median(before)
    kept = chosen(labels, down_sample(ratio), unlabelled="negative", seed=seed)
    left_out = np.setdiff1d(np.arange(len(labels)), kept)
    assert left_out.size
    assert not labels[left_out][:, before <= cap].any()
    assert labels[left_out].any(1).all()  # unlabelled images stay
    after = labels[kept].sum(0)
    assert np.array_equal(after[before <= cap], before[before <= cap])
    assert (after[before > cap] > cap - 1).all()
    # Nothing more could go: every image left has a class at or below the cap.
    remaining = labels[kept]
    assert (remaining & (after <= cap)).any(1)[remaining.any(1)].all()


def test_absent_classes_do_not_lower_the_cap():
    rows = [[1, 0, 0, 0]] * 3 + [[0, 1, 0, 0]] * 3
    assert len(chosen(rows, down_sample())) == 6
    assert len(chosen([[0, 0]] * 3, down_sample(), unlabelled="negative")) == 3


def test_whole_repeat_factors_by_hand():
    # f = (15/16, 1/16), t = 9/16: r_0 = 1 and r_1 = sqrt(9) = 3.
    rows = [[1, 0]] * 15 + [[0, 1]]
    assert chosen(rows, repeat(9 / 16)).tolist() == [*range(15), 15, 15, 15]
    # An image's factor is the largest of its classes'; every image here has class 0.
    rows = [[1, 0]] * 15 + [[1, 1]]
    assert chosen(rows, repeat(9 / 16)).tolist() == [*range(15), 15, 15, 15]


def test_frequencies_are_of_the_images_used():
    rows = [[1, 0]] * 3 + [[0, 1]] + [[0, 0]] * 12
    # f_1 = 1/4: r_1 = 2; with the negatives 1/16: r_1 = 4 and r_0 = sqrt(16/3) = 2.3.
    assert chosen(rows, repeat(1.0)).tolist()[-2:] == [3, 3]
    negative = chosen(rows, repeat(1.0), unlabelled="negative")
    assert (negative == 3).sum() == 4
    assert negative[negative > 3].tolist() == list(range(4, 16))  # once each
    assert all((negative == i).sum() in (2, 3) for i in range(3))


def test_broken_repeat_factors_are_rounded_at_random():
    # f_1 = 1/2, t = 1: r_1 = sqrt(2); the same for class 0.
    rows = [[1, 0]] * 2000 + [[0, 1]] * 2000
    indices = chosen(rows, repeat(1.0))
    times = np.bincount(indices)
    assert set(times) == {1, 2}
    assert len(indices) / 4000 == pytest.approx(np.sqrt(2), abs=0.03)
    assert np.array_equal(indices, np.sort(indices))


def test_a_low_threshold_repeats_nothing():
    assert chosen(SMALL, repeat(0.001)).tolist() == list(range(8))


@pytest.mark.parametrize("balance", [down_sample(1.5), repeat(0.3)])
def test_the_seed_decides(balance):
    labels = long_tail()
    first, again, other = (chosen(labels, balance, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_no_image_left_is_an_error():
    with pytest.raises(UserError, match="none of the 2 training images has a label"):
        chosen([[0, 0], [0, 0]])


def test_inverse_frequency_by_hand():
    # n_c = (4, 2, 1): 1/n_c is to 7/12 as 3/7, 6/7, 12/7 is to 1.
    rows = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]], np.uint8)
    weights = inverse_frequency(rows)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [3 / 7, 6 / 7, 12 / 7], rtol=1e-6)
    np.testing.assert_allclose(inverse_frequency(rows[:, :1].astype(bool)), [1.0])


def test_a_class_without_images_has_no_weight():
    with pytest.raises(UserError, match=r"class 1, 3 \(counted from 0\)"):
        inverse_frequency(np.array([[1, 0, 1, 0]]))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"kind": "down-sample", "ratio": 0.5}, "greater than or equal to 1"),
        ({"kind": "repeat", "threshold": 0.0}, "greater than 0"),
        ({"kind": "repeat", "threshold": 1.5}, "less than or equal to 1"),
        ({"kind": "repeat"}, "Field required"),
        ({"kind": "upsample"}, "does not match any of the expected tags"),
    ],
)
def test_recipes_out_of_range_are_refused(value, problem):
    with pytest.raises(ValidationError, match=problem):
        TypeAdapter(Balance).validate_python(value)
    assert TypeAdapter(Balance).validate_python({"kind": "down-sample"}).ratio == 1.0
