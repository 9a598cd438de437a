import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from wsss.core.errors import UserError
from wsss.crf.inference import ImageCrf, mean_field
from wsss.crf.pairwise import Bilateral, Gaussian, Pairwise
from wsss.crf.presets import PRESETS
from wsss.crf.unary import unary_from_labels


def softmax(x):
    e = np.exp(x - x.max(0))
    return e / e.sum(0)


def exact_kernel(image, pairwise):
    """Σ w D^-½ K D^-½ over all pairs of pixels, float64, K_ii = 1 included."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(float)
    place = np.stack([x, y], 1)
    colour = image.reshape(-1, 3).astype(float)
    g, b = pairwise.gaussian, pairwise.bilateral
    total = 0
    for weight, f in [
        (g.compat, place / g.sxy),
        (b.compat, np.concatenate([place / b.sxy, colour / b.srgb], 1)),
    ]:
        square = (f**2).sum(1)
        k = np.exp(f @ f.T - square[:, None] / 2 - square / 2)
        root = 1 / np.sqrt(k.sum(1))
        total = total + weight * root[:, None] * k * root
    return total


def exact_mean_field(kernel, unary, steps):
    """Q = softmax(-U), then `steps` times Q = softmax(-U + kernel Q)."""
    energy = unary.reshape(len(unary), -1).astype(float)
    q = softmax(-energy)
    for _ in range(steps):
        q = softmax(-energy + q @ kernel)
    return q.reshape(unary.shape)


@pytest.fixture(scope="module")
def scene():
    """A disc on a smooth ground with pixel noise, and labels of it with one pixel in five wrong."""
    rng = np.random.default_rng(1)
    h, w = 24, 32
    y, x = np.mgrid[:h, :w]
    disc = (y - 12) ** 2 + (x - 14) ** 2 < 60
    ground = np.asarray(
        Image.fromarray(rng.integers(60, 120, (4, 5, 3), dtype=np.uint8)).resize((w, h))
    )
    image = np.where(disc[..., None], [190, 120, 60], ground) + rng.integers(-4, 5, (h, w, 3))
    image = image.clip(0, 255).astype(np.uint8)
    labels = np.where(rng.random((h, w)) < 0.2, rng.integers(0, 3, (h, w)), disc)
    return image, disc, labels


@pytest.mark.parametrize("preset", list(PRESETS))
def test_lattice_is_near_the_exact_kernels(scene, preset):
    image, _, labels = scene
    unary = unary_from_labels(labels, 3, 0.7)
    kernel = exact_kernel(image, PRESETS[preset])
    for steps in (1, 10):
        q = mean_field(image, unary, preset=preset, steps=steps)
        exact = exact_mean_field(kernel, unary, steps)
        assert (q.argmax(0) == exact.argmax(0)).mean() >= 0.985
        assert np.abs(q - exact).mean() < (0.0045 if steps == 1 else 0.006)


def test_a_label_crf_removes_noise(scene):
    image, disc, labels = scene
    unary = unary_from_labels(labels, 3, 0.7)
    refined = mean_field(image, unary, preset="probabilities", steps=10).argmax(0)
    assert (refined == disc).mean() > 0.99 > 0.9 > (labels == disc).mean()


def test_probabilities_sum_to_one(scene):
    image, _, labels = scene
    q = mean_field(image, unary_from_labels(labels, 3, 0.7), preset="labels", steps=3)
    assert q.dtype == np.float32
    assert q.shape == (3, *labels.shape)
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-5)


def test_no_steps_is_the_softmax_of_the_unary(scene):
    image, _, labels = scene
    rng = np.random.default_rng(0)
    unary = rng.normal(size=(4, *labels.shape)).astype(np.float32)
    q = mean_field(image, unary, preset="labels", steps=0)
    np.testing.assert_allclose(q, softmax(-unary), atol=1e-6)
    hard = mean_field(image, unary_from_labels(labels, 3, 0.5), preset="labels", steps=0)
    np.testing.assert_array_equal(hard.argmax(0), labels)


def test_preset_is_its_pairwise(scene):
    image, _, labels = scene
    unary = unary_from_labels(labels, 3, 0.7)
    term = Pairwise(
        gaussian=Gaussian(sxy=3, compat=3), bilateral=Bilateral(sxy=50, srgb=5, compat=10)
    )
    np.testing.assert_array_equal(
        mean_field(image, unary, preset="labels", steps=2),
        mean_field(image, unary, pairwise=term, steps=2),
    )


def test_labels_may_come_in_any_order(scene):
    image, _, labels = scene
    unary = unary_from_labels(labels, 3, 0.7)
    q = mean_field(image, unary, preset="labels", steps=5)
    swapped = mean_field(image, unary[[2, 0, 1]], preset="labels", steps=5)
    np.testing.assert_allclose(swapped, q[[2, 0, 1]], atol=1e-5)


def test_a_shared_lattice_gives_the_same_bytes(scene):
    image, disc, labels = scene
    shared = ImageCrf(image, PRESETS["labels"], 3)
    for seeds in (labels, disc.astype(int), labels):
        unary = unary_from_labels(seeds, 3, 0.7)
        expected = mean_field(image, unary, preset="labels", steps=4)
        np.testing.assert_array_equal(shared.infer(unary, 4), expected)


def test_one_label_is_certain(scene):
    image, _, labels = scene
    q = mean_field(image, np.ones((1, *labels.shape), np.float32), preset="labels", steps=5)
    assert (q == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5)])
def test_tiny_images(size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    unary = rng.random((2, *size)).astype(np.float32)
    q = mean_field(image, unary, preset="probabilities", steps=5)
    exact = exact_mean_field(exact_kernel(image, PRESETS["probabilities"]), unary, 5)
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-6)
    assert np.abs(q - exact).max() < 1e-3


def test_arrays_in_any_layout(scene):
    image, _, labels = scene
    unary = unary_from_labels(labels, 3, 0.7)
    expected = mean_field(image, unary, preset="labels", steps=2)
    frozen = np.asfortranarray(image)
    frozen.setflags(write=False)
    for other in (np.asfortranarray(unary), unary.astype(np.float64)):
        q = mean_field(frozen, other, preset="labels", steps=2)
        np.testing.assert_array_equal(q, expected)


def test_what_is_refused(scene):
    image, _, labels = scene
    unary = unary_from_labels(labels, 3, 0.7)
    crf = ImageCrf(image, PRESETS["labels"], 3)
    with pytest.raises(UserError, match=r"shape \(3, 32, 24\), but the image needs \(3, 24, 32\)"):
        crf.infer(unary.transpose(0, 2, 1), 1)
    with pytest.raises(UserError, match="NaN or infinite"):
        crf.infer(np.where(labels == 1, np.nan, unary), 1)
    with pytest.raises(UserError, match="-1 mean-field steps"):
        crf.infer(unary, -1)
    with pytest.raises(UserError, match="0 labels"):
        ImageCrf(image, PRESETS["labels"], 0)
    with pytest.raises(UserError, match="did you mean 'labels'"):
        mean_field(image, unary, preset="label", steps=1)
    with pytest.raises(UserError, match="either preset or pairwise"):
        mean_field(image, unary, steps=1)
    with pytest.raises(UserError, match="either preset or pairwise"):
        mean_field(image, unary, preset="labels", pairwise=PRESETS["labels"], steps=1)


def test_a_dict_is_a_pairwise_term(scene):
    image, _, labels = scene
    unary = unary_from_labels(labels, 3, 0.7)
    term = {"gaussian": {"sxy": 3, "compat": 3}, "bilateral": {"sxy": 50, "srgb": 5, "compat": 10}}
    np.testing.assert_array_equal(
        mean_field(image, unary, pairwise=term, steps=2),
        mean_field(image, unary, preset="labels", steps=2),
    )
    with pytest.raises(UserError, match=r"^pairwise: gaussian\.sxy: .*, got 0$"):
        mean_field(image, unary, pairwise=term | {"gaussian": {"sxy": 0, "compat": 3}}, steps=2)
    with pytest.raises(UserError, match=r"^pairwise: bilateral: missing"):
        mean_field(image, unary, pairwise={"gaussian": term["gaussian"]}, steps=2)


WITHOUT_BEARTYPE = """
import numpy as np
from wsss.core.errors import UserError
from wsss.crf import mean_field

image = np.zeros((6, 8, 3), np.uint8)
unary = np.zeros((2, 6, 8), np.float32)
for given, options in [
    ((image[..., [0, 1, 2, 0]], unary), {}),
    ((image[..., 0], unary), {}),
    ((image[..., :1], unary), {}),
    ((image.transpose(2, 0, 1), unary), {}),
    ((image.astype(np.float32), unary), {}),
    ((image.astype(np.int64), unary), {}),
    ((image[None], unary), {}),
    ((image.tolist(), unary), {}),
    ((image, unary[:, 0]), {}),
    ((image, unary[:, :5]), {}),
    ((image, unary.astype(int)), {}),
    ((image, unary.tolist()), {}),
    ((image, unary), {"steps": 1.5}),
    ((image, unary), {"preset": None, "pairwise": 3}),
]:
    try:
        mean_field(*given, **({"preset": "labels", "steps": 1} | options))
    except UserError as error:
        print(error)
"""


def test_wrong_arrays_are_one_line_without_a_type_checker():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BEARTYPE], capture_output=True, text=True, check=True
    )
    needed = "; needed is RGB of 0 to 255, uint8 (H, W, 3)"
    scale = "round values of 0 to 255 and .astype(np.uint8); scale values of 0 to 1 by 255"
    energies = "give a NumPy array of energies, float (labels, H, W)"
    assert done.stdout.splitlines() == [
        f"image of shape (6, 8, 4), uint8: drop the alpha channel, image[..., :3]{needed}",
        f"image of shape (6, 8), uint8: stack the grey channel three times{needed}",
        f"image of shape (6, 8, 1), uint8: stack the grey channel three times{needed}",
        f"image of shape (3, 6, 8), uint8: channels last, image.transpose(1, 2, 0){needed}",
        f"image of shape (6, 8, 3), float32: {scale}{needed}",
        f"image of shape (6, 8, 3), int64: {scale}{needed}",
        f"image of shape (1, 6, 8, 3), uint8: convert it{needed}",
        "the image is of type list; give a NumPy array, RGB of 0 to 255, uint8 (H, W, 3)",
        f"the unary is of shape (2, 8), float32; {energies}",
        "unary of shape (2, 5, 8), but the image needs (2, 6, 8)",
        f"the unary is of shape (2, 6, 8), int64; {energies}",
        f"the unary is of type list; {energies}",
        "1.5 mean-field steps: give a whole number",
        "pairwise is of type int; give a Pairwise, or a dict of its keys",
    ]
