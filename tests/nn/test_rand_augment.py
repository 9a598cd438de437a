import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision import tv_tensors

from wsss.nn import rand_augment
from wsss.nn.rand_augment import OPERATIONS, RandAugment

NAMES = [operation.__name__.lstrip("_") for operation in OPERATIONS]
LEVELS = range(1, 10)


def apply(name, image, level, seed=0):
    torch.manual_seed(seed)
    return OPERATIONS[NAMES.index(name)](image, level)


def grey(rows):
    """An image (3, h, w) whose channels are all `rows`."""
    return torch.tensor(rows, dtype=torch.uint8).expand(3, -1, -1).clone()


def noise(height=30, width=40):
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(20, 200, (3, height, width), dtype=np.uint8))


def only(monkeypatch, *operations):
    monkeypatch.setattr(rand_augment, "OPERATIONS", operations)


def test_there_are_the_14_of_fixmatch():
    assert len(set(OPERATIONS)) == 14


@pytest.mark.parametrize(
    ("name", "level", "given", "expected"),
    [
        ("identity", 9, [[0, 7, 255]], [[0, 7, 255]]),
        ("posterise", 1, [[0, 15, 16, 255]], [[0, 0, 16, 240]]),  # 4 bits
        ("posterise", 5, [[0, 7, 130, 255]], [[0, 4, 128, 252]]),  # 6 bits
        ("posterise", 9, [[0, 7, 130, 255]], [[0, 6, 130, 254]]),  # 7 bits
        ("solarise", 5, [[0, 127, 128, 255]], [[0, 127, 127, 0]]),  # from 128 on
        ("solarise", 1, [[230, 231, 255]], [[230, 24, 0]]),  # from 231 on
        ("brightness", 5, [[0, 100, 200]], [[0, 50, 100]]),  # factor 0.5
        ("brightness", 1, [[0, 100, 200]], [[0, 14, 28]]),  # factor 0.14
        ("contrast", 5, [[0, 200]], [[50, 150]]),  # halfway to the mean, 100
        ("colour", 5, [[0, 200]], [[0, 200]]),  # grey has no colour to lose
        ("auto_contrast", 5, [[50, 100, 150]], [[0, 127, 255]]),
        ("sharpness", 5, [[0, 0, 0], [0, 130, 0], [0, 0, 0]], [[0, 0, 0], [0, 90, 0], [0, 0, 0]]),
    ],
)
def test_an_operation_by_hand(name, level, given, expected):
    # sharpness: half of 130 and half of the smoothed 130 · 5/13 = 50
    exact = name in {"identity", "posterise", "solarise"}
    # torchvision rounds down, and its weights of grey are 0.9999 together.
    out, expected = apply(name, grey(given), level).int(), grey(expected).int()
    assert (out - expected).abs().max() <= (0 if exact else 1)


def test_colour_fades_towards_grey_by_hand():
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(3, 1, 1)
    # grey 0.299 · 200 = 59.8, rounded down; halfway to it
    assert apply("colour", red, 5).flatten().tolist() == [129, 29, 29]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["translate_x", "translate_y"])
def test_translations_move_by_whole_pixels_and_leave_black(name, seed):
    image = noise(20, 20)
    if name == "translate_y":
        image = image.mT
    moved = apply(name, image, 5, seed)  # 0.15 of 20 pixels
    if name == "translate_y":
        image, moved = image.mT, moved.mT
    left = torch.equal(moved[..., :17], image[..., 3:]) and not moved[..., 17:].any()
    right = torch.equal(moved[..., 3:], image[..., :17]) and not moved[..., :3].any()
    assert left != right


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_both_signs_are_drawn_equally_often(name):
    image = noise()
    results = [apply(name, image, 4, seed) for seed in range(60)]
    first = sum(torch.equal(result, results[0]) for result in results)
    assert len({result.numpy().tobytes() for result in results}) == 2
    assert 15 < first < 45


def pillow(name, level):
    """What Pillow makes of an image, for either sign."""
    factor = 0.05 + 0.09 * level
    shear, share = 0.03 * level, 0.03 * level

    def affine(*coefficients):
        return lambda im: im.transform(im.size, Image.AFFINE, coefficients)

    def enhance(kind):
        return [lambda im: kind(im).enhance(factor)]

    return {
        "auto_contrast": [ImageOps.autocontrast],
        "brightness": enhance(ImageEnhance.Brightness),
        "colour": enhance(ImageEnhance.Color),
        "contrast": enhance(ImageEnhance.Contrast),
        "equalise": [ImageOps.equalize],
        "identity": [lambda im: im],
        "posterise": [lambda im: ImageOps.posterize(im, 4 + int(0.4 * level + 1e-9))],
        "rotate": [lambda im, s=s: im.rotate(s * 3 * level) for s in (1, -1)],
        "sharpness": enhance(ImageEnhance.Sharpness),
        "shear_x": [affine(1, s * shear, 0, 0, 1, 0) for s in (1, -1)],
        "shear_y": [affine(1, 0, 0, s * shear, 1, 0) for s in (1, -1)],
        "solarise": [lambda im: ImageOps.solarize(im, 256 - int(25.6 * level))],
        "translate_x": [affine(1, 0, s * int(share * 40 + 1e-9), 0, 1, 0) for s in (1, -1)],
        "translate_y": [affine(1, 0, 0, 0, 1, s * int(share * 30 + 1e-9)) for s in (1, -1)],
    }[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_level_of_an_operation_is_pillows(name):
    image = noise()
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    for level in LEVELS:
        ours = apply(name, image, level).permute(1, 2, 0).numpy().astype(int)
        theirs = [np.asarray(f(picture)).astype(int) for f in pillow(name, level)]
        # Colours may be rounded another way. Where two source pixels are as near, in a row or two,
        # the other one may be taken.
        near = max((np.abs(ours - other).max(-1) <= 1).mean() for other in theirs)
        assert near > 0.93, level


def test_draws_are_uniform(monkeypatch):
    seen = []
    only(monkeypatch, *[lambda x, level, i=i: seen.append((i, level)) or x for i in range(14)])
    augment = RandAugment(operations=2, magnitude=10, cutout=0)
    torch.manual_seed(0)
    for _ in range(2500):
        augment(noise(1, 1))
    operations, levels = np.array(seen).T
    assert abs(len(seen) / 5000 - 0.5) < 0.03

    def chi_square(counts):
        expected = sum(counts) / len(counts)
        return sum((count - expected) ** 2 for count in counts) / expected

    # The 0.999 quantiles of 13 and 8 degrees of freedom.
    assert chi_square(np.bincount(operations, minlength=14)) < 34.5
    assert set(levels) == set(LEVELS)
    assert chi_square(np.bincount(levels)[1:]) < 26.1


def test_a_lower_magnitude_bounds_the_levels_and_operations_may_repeat(monkeypatch):
    seen = []
    only(monkeypatch, lambda x, level: seen.append(level) or x)
    torch.manual_seed(0)
    for _ in range(40):
        RandAugment(operations=3, magnitude=4, cutout=0)(noise(1, 1))
    assert set(seen) == {1, 2, 3} and 40 < len(seen) < 80  # of 120, half


def test_the_cutout_is_one_black_square_moved_in_or_clipped_at_the_border(monkeypatch):
    only(monkeypatch, lambda x, level: x)
    white = torch.full((3, 60, 40), 255, dtype=torch.uint8)
    sizes, corners = set(), set()
    for seed in range(200):
        torch.manual_seed(seed)
        black = RandAugment()(white) == 0
        assert torch.equal(black[0], black[1]) and torch.equal(black[0], black[2])
        ys, xs = black[0].nonzero().T
        height, width = int(ys.max() - ys.min()) + 1, int(xs.max() - xs.min()) + 1
        assert int(black[0].sum()) == height * width
        assert height == 16 or (height >= 8 and int(ys.max()) == 59)
        assert width == 16 or (width >= 8 and int(xs.max()) == 39)
        sizes.add((height, width))
        corners.add((int(ys.min()) == 0, int(xs.min()) == 0))
    assert (16, 16) in sizes and len(sizes) > 20 and len(corners) == 4
    assert (white == 255).all()


def test_without_a_cutout_nothing_is_black(monkeypatch):
    only(monkeypatch, lambda x, level: x)
    image = noise()
    assert torch.equal(RandAugment(cutout=0)(image), image)
    assert int((RandAugment(cutout=5)(grey([[255] * 9] * 9))[0] == 0).sum()) in {
        h * w for h in (3, 4, 5) for w in (3, 4, 5)
    }


@pytest.mark.parametrize("kind", [torch.Tensor, tv_tensors.Image])
def test_the_torch_seed_decides_and_type_size_and_input_stay(kind):
    image = noise() if kind is torch.Tensor else tv_tensors.Image(noise())
    before = image.clone()
    results = []
    for seed in [*range(40), *range(40)]:
        torch.manual_seed(seed)
        results.append(RandAugment()(image))
        assert type(results[-1]) is kind
        assert results[-1].shape == image.shape and results[-1].dtype == torch.uint8
    assert torch.equal(image, before)
    assert all(torch.equal(a, b) for a, b in zip(results[:40], results[40:], strict=True))
    assert len({result.numpy().tobytes() for result in results}) == 40
