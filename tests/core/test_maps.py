import numpy as np
import pytest
import torch

from wsss.core.maps import label_indices, labels_to_ids, upsample


@pytest.mark.parametrize("size", [(37, 50), (10, 13), (4, 5), (1, 1), (3, 50)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_upsample_is_torch_bilinear(size, dtype):
    maps = np.random.default_rng(0).random((3, 10, 13)).astype(dtype)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps.astype(np.float32))[None], size=size, mode="bilinear"
    )[0].numpy()
    np.testing.assert_allclose(upsample(maps, size), expected, atol=2e-6)


def test_upsample_by_hand():
    up = upsample(np.array([[[0.0, 1.0]]], np.float32), (1, 4))
    np.testing.assert_array_equal(up, [[[0, 0.25, 0.75, 1]]])


def test_upsample_without_maps():
    assert upsample(np.zeros((0, 0, 0), np.float16), (4, 5)).shape == (0, 4, 5)


def test_upsample_keeps_constants_and_bounds():
    assert (upsample(np.full((2, 3, 4), 0.7, np.float32), (17, 19)) == np.float32(0.7)).all()
    one = upsample(np.eye(5, dtype=np.float32)[None], (64, 64))
    assert one.min() >= 0
    assert one.max() <= 1


def test_label_indices_is_the_argmax_with_background_first():
    maps = np.random.default_rng(0).random((4, 20, 30)).astype(np.float32)
    stacked = np.concatenate([np.full((1, 20, 30), 0.8, np.float32), maps])
    np.testing.assert_array_equal(label_indices(maps, 0.8), stacked.argmax(0))


def test_label_indices_ties_go_to_the_lower_index():
    maps = np.array([[[0.3, 0.5, 0.5]], [[0.3, 0.5, 0.6]]], np.float32)
    assert label_indices(maps, 0.3).tolist() == [[0, 1, 2]]


def test_label_indices_without_maps_is_background():
    assert label_indices(np.zeros((0, 2, 3), np.float32), 0.3).tolist() == [[0] * 3] * 2


def test_label_indices_refuses_more_than_a_mask_holds():
    with pytest.raises(ValueError, match="255 maps"):
        label_indices(np.zeros((255, 1, 1), np.float32), 0.3)


def test_labels_to_ids():
    indices = np.array([[0, 1, 2]], np.uint8)
    ids = labels_to_ids(indices, np.array([7, 15], np.int32))
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[0, 7, 15]]
