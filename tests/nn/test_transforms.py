from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from wsss.nn.rand_augment import RandAugment
from wsss.nn.recipe import Augment, Backbone, LongSide, ResizedCrop
from wsss.nn.transforms import TrainTransform, normalise

# No pixel value normalises to 0, so that 0 in an image means padding.
BACKBONE = Backbone(mean=(0.499, 0.499, 0.499), std=(0.25, 0.25, 0.25))
STEP = 60  # the image's value for one class id


def scene(height=60, width=80):
    """Four flat quadrants; the mask's ids can be read off the image: value = 60 · id."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 :] += 1
    mask[:, width // 2 :] += 2
    return np.repeat((mask * STEP)[..., None], 3, axis=2), mask


def transform(seed=0, backbone=BACKBONE, size=(60, 80), **augment):
    torch.manual_seed(seed)
    return TrainTransform(Augment(**augment), backbone)(*scene(*size))


def ids(image):
    """The class ids that the normalised image tells."""
    return ((image[0] * 0.25 + 0.499) * 255 / STEP).round().to(torch.uint8)


@pytest.mark.parametrize(
    "resize", [LongSide(min=40, max=120), ResizedCrop(min_area=0.4)], ids=["long-side", "resized"]
)
@pytest.mark.parametrize("seed", range(4))
def test_the_mask_follows_the_image(resize, seed):
    image, mask = transform(seed, crop=64, resize=resize)
    inside = mask != 255
    assert inside.any()
    # All but the pixels that bicubic resizing blends along the quadrants' borders.
    assert (ids(image)[inside] == mask[inside]).float().mean() > 0.93


@pytest.mark.parametrize("seed", range(4))
def test_padding_is_zero_in_images_and_ignored_in_masks(seed):
    image, mask = transform(seed, crop=64, resize=LongSide(min=40, max=56))
    padded = mask == 255
    assert padded.any()
    assert torch.equal(padded, (image == 0).all(0))


def test_a_large_image_is_cropped_without_padding():
    image, mask = transform(crop=32, resize=LongSide(min=80, max=80))
    assert image.shape == (3, 32, 32)
    assert not (mask == 255).any()


def test_the_long_side_is_resized_and_the_aspect_kept():
    _, mask = transform(crop=64, resize=LongSide(min=48, max=48), flip=False)
    inside = mask != 255
    assert (int(inside.any(1).sum()), int(inside.any(0).sum())) == (36, 48)
    _, mask = transform(crop=64, size=(80, 60), resize=LongSide(min=48, max=48), flip=False)
    inside = mask != 255
    assert (int(inside.any(1).sum()), int(inside.any(0).sum())) == (48, 36)


def test_long_sides_lie_between_the_bounds_and_reach_both():
    sides = set()
    for seed in range(40):
        _, mask = transform(seed, crop=64, resize=LongSide(min=40, max=42))
        sides.add(int((mask != 255).any(0).sum()))
    assert sides == {40, 41, 42}


def test_padding_offsets_vary_over_the_whole_canvas():
    tops = set()
    for seed in range(60):
        _, mask = transform(seed, crop=40, resize=LongSide(min=40, max=40))
        tops.add(int((mask != 255).any(1).nonzero()[0]))
    assert min(tops) == 0 and max(tops) == 10  # 40 rows, 30 of them image


def test_flips_happen_for_about_half_and_only_when_asked():
    def mirrored(flip):
        found = 0
        for seed in range(60):
            _, mask = transform(seed, crop=80, resize=LongSide(min=80, max=80), flip=flip)
            found += int(mask[mask != 255][0] == 2)  # the top left corner shows the right side
        return found

    assert 15 < mirrored(True) < 45
    assert mirrored(False) == 0


def test_the_same_torch_seed_gives_the_same_sample():
    augment = {"crop": 48, "resize": LongSide(min=40, max=90), "colour_jitter": True}
    first, again, other = (transform(seed, **augment) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_colour_jitter_changes_the_image_and_not_the_mask():
    augment = {"crop": 80, "resize": ResizedCrop(min_area=1.0), "flip": False}
    plain, jittered = (transform(5, colour_jitter=j, **augment) for j in (False, True))
    assert (plain[0] - jittered[0]).abs().max() > 0.02
    assert set(jittered[1].unique().tolist()) == {0, 1, 2, 3}


def test_an_image_alone_needs_no_mask():
    image, mask = TrainTransform(Augment(crop=32), BACKBONE)(scene()[0])
    assert image.shape == (3, 32, 32) and image.dtype == torch.float32 and mask is None


def test_normalise_by_hand():
    image = np.zeros((1, 2, 3), np.uint8)
    image[0, 1] = (255, 51, 0)
    out = normalise(image, Backbone(mean=(0.5, 0.2, 0.0), std=(0.5, 0.1, 1.0)))
    expected = [[[-1.0, 1.0]], [[-2.0, 0.0]], [[0.0, 0.0]]]
    torch.testing.assert_close(out, torch.tensor(expected))


@pytest.mark.parametrize(
    "resize", [LongSide(min=40, max=40), ResizedCrop(min_area=1.0)], ids=["long-side", "resized"]
)
def test_extra_steps_see_the_flipped_uint8_image_before_normalisation_and_padding(resize):
    seen = []

    def invert(image):
        seen.append(image)
        return 255 - image

    augment = Augment(crop=64, resize=resize)
    torch.manual_seed(1)
    plain, _ = TrainTransform(augment, BACKBONE)(scene()[0])
    torch.manual_seed(1)
    inverted, _ = TrainTransform(augment, BACKBONE, [invert])(scene()[0])
    size = (3, 30, 40) if isinstance(resize, LongSide) else (3, 64, 64)
    assert seen[0].shape == size and seen[0].dtype == torch.uint8
    padding = (plain == 0).all(0)
    assert padding.any() == isinstance(resize, LongSide)
    assert torch.equal(padding, (inverted == 0).all(0))
    value, opposite = ((x * 0.25 + 0.499) * 255 for x in (plain, inverted))
    assert ((value + opposite)[:, ~padding] - 255).abs().max() < 0.01


def test_extra_steps_come_in_their_order():
    def half(image):
        return image // 2

    def white(image):
        return torch.full_like(image, 255)

    augment = Augment(crop=32, resize=ResizedCrop())
    image, _ = TrainTransform(augment, BACKBONE, (white, half))(scene()[0])
    torch.testing.assert_close(image, torch.full((3, 32, 32), (127 / 255 - 0.499) / 0.25))


def test_extra_steps_and_a_mask_do_not_go_together():
    transform = TrainTransform(Augment(crop=32), BACKBONE, [lambda image: image])
    with pytest.raises(ValueError, match="leave out the mask"):
        transform(*scene())


@pytest.mark.parametrize("resize", [LongSide(min=40, max=90), ResizedCrop()])
def test_rand_augment_is_an_extra_step(resize):
    augment = Augment(crop=48, resize=resize, colour_jitter=True)
    images = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        image, _ = TrainTransform(augment, BACKBONE, [RandAugment()])(scene()[0])
        assert image.shape == (3, 48, 48) and image.dtype == torch.float32
        assert type(image) is torch.Tensor
        images.append(image)
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])
    # A loader's workers can be sent it.
    ForkingPickler.dumps(TrainTransform(augment, BACKBONE, [RandAugment()]))
    torch.manual_seed(0)
    plain, _ = TrainTransform(augment, BACKBONE)(scene()[0])
    assert not torch.equal(images[0], plain)
