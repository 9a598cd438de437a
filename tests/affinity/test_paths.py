from collections import Counter

import pytest

from wsss.affinity.paths import directions, path


@pytest.mark.parametrize(("radius", "count", "lengths"), [(5, 34, 9), (10, 152, 20)])
def test_number_of_directions_and_path_lengths_are_irns(radius, count, lengths):
    found = directions(radius)
    assert len(found) == len(set(found)) == count
    assert len(Counter(len(path(d)) for d in found)) == lengths


def test_each_pair_once():
    found = set(directions(6))
    assert not any((-y, -x) in found for y, x in found)


@pytest.mark.parametrize(
    ("direction", "pixels"),
    [
        ((0, 3), {(0, 0), (0, 1), (0, 2), (0, 3)}),
        ((2, 0), {(0, 0), (1, 0), (2, 0)}),
        ((1, 1), {(0, 0), (0, 1), (1, 0), (1, 1)}),
        ((1, 2), {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}),
        ((2, 2), {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)}),
        ((2, -2), {(0, 0), (0, -1), (1, 0), (1, -1), (1, -2), (2, -1), (2, -2)}),
    ],
)
def test_path_by_hand(direction, pixels):
    assert set(path(direction)) == pixels


def test_paths_are_symmetric():
    for y, x in directions(8):
        there = set(path((y, x)))
        assert there == {(y - b, x - a) for b, a in there}
