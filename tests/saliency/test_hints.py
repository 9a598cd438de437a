import numpy as np
import pytest
import torch

from wsss.core.files.store import MapRecord
from wsss.saliency.hints import STEPS, hint_map, hint_mask


def record(maps, size=(4, 4)):
    maps = np.asarray(maps, np.float16)
    return MapRecord("x", size, np.arange(1, 1 + len(maps)), maps)


def test_a_hint_is_the_highest_class_at_the_images_size():
    found = hint_map(record([[[0.0, 0.5]], [[1.0, 0.25]]], size=(2, 2)))
    np.testing.assert_array_equal(found, [[STEPS, 127]] * 2)


def test_without_a_class_nothing_is_hinted():
    assert not hint_map(record(np.zeros((0, 2, 2)), size=(3, 5))).any()


def test_padding_is_no_hint_and_the_threshold_counts():
    hints = torch.full((1, 8, 8), 255, dtype=torch.uint8)
    hints[:, :4] = STEPS
    assert hint_mask(hints, (2, 2), 0.4).tolist() == [[[[True, True], [False, False]]]]
    hints[:] = round(0.4 * STEPS)
    assert hint_mask(hints, (2, 2), 0.39).all() and not hint_mask(hints, (2, 2), 0.41).any()


def test_hints_are_the_mean_of_a_cell_and_not_one_pixel_of_it():
    hints = torch.zeros(1, 16, 16, dtype=torch.uint8)
    hints[:, ::4, ::4] = STEPS  # one pixel of sixteen, wherever a grid might look
    assert not hint_mask(hints, (4, 4), 0.4).any()
    assert hint_mask(hints, (16, 16), 0.4).sum() == pytest.approx(16)
