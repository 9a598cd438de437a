import pytest
import torch

from wsss.classifier.puzzle import merge, re_merge_loss, tile, tiled_maps
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone


def test_tiles_come_row_by_row_one_after_the_other_on_the_batch():
    images = torch.arange(32.0).reshape(2, 1, 4, 4)
    tiles = tile(images, 2)
    assert tiles.shape == (8, 1, 2, 2)
    assert torch.equal(tiles[0], images[0, :, :2, :2])
    assert torch.equal(tiles[1], images[1, :, :2, :2])
    assert torch.equal(tiles[2], images[0, :, :2, 2:])
    assert torch.equal(tiles[4], images[0, :, 2:, :2])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_merge_is_the_inverse_of_tile(side):
    images = torch.rand(3, 5, 12, 18)
    assert torch.equal(merge(tile(images, side), side), images)


def test_sizes_that_cannot_be_cut_are_refused():
    with pytest.raises(ValueError, match="5x4 cannot be cut into 2x2"):
        tile(torch.rand(1, 3, 5, 4), 2)


def test_re_merge_loss_by_hand():
    whole = torch.tensor([[[[1.0, -1.0]], [[5.0, 5.0]]]], requires_grad=True)
    merged = torch.tensor([[[[3.0, 0.0]], [[0.0, 0.0]]]], requires_grad=True)
    loss = re_merge_loss(whole, merged, torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx((2 + 1) / 4)  # the absent class counts in the mean only
    loss.backward()
    assert whole.grad.flatten().tolist() == pytest.approx([-0.25, -0.25, 0, 0])
    assert torch.equal(merged.grad, -whole.grad)


def test_merged_tiles_have_the_maps_of_the_whole_where_nothing_crosses_their_borders():
    network = CamNetwork(Backbone(name="resnet10t"), 3).eval()
    network.backbone = torch.nn.Conv2d(3, 512, 1)  # sees no neighbour
    images = torch.rand(2, 3, 4, 4)
    found, whole = tiled_maps(network, images, 2), network(images)
    torch.testing.assert_close(found.maps, whole.maps)
    torch.testing.assert_close(found.logits, whole.logits)
