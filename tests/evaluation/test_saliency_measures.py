import numpy as np
import pytest

from wsss.core.files.store import Header, MapWriter, MaskWriter
from wsss.evaluation import EvaluationRecipe, evaluate_maps
from wsss.evaluation.saliency_measures import measure, summary

# By PySODMetrics 1.6.2 (normalize=False) on the maps of the test below.
EXPECTED = {"mae": 0.281162745, "s_measure": 0.620234494, "f_beta": 0.851977401}


def disc(height=40, width=50):
    y, x = np.mgrid[:height, :width]
    return ((y - 18) ** 2 + (x - 22) ** 2 < 100).astype(np.uint8)


def test_a_perfect_map_is_perfect():
    truth = disc()
    found = summary([measure(truth.astype(np.float32), truth)])
    assert found == {"mae": 0.0, "f_beta": 1.0, "s_measure": pytest.approx(1.0, abs=1e-6)}


def test_the_opposite_map_is_not():
    truth = disc()
    found = summary([measure(1 - truth.astype(np.float32), truth)])
    assert found["mae"] == 1 and found["s_measure"] < 0.05
    share = truth.mean()  # everything found, at threshold 0
    assert found["f_beta"] == pytest.approx(1.3 * share / (0.3 * share + 1))


def test_values_of_the_published_definitions():
    rng = np.random.default_rng(0)
    truth = disc()
    saliency = np.round((rng.random((40, 50)) * 0.5 + 0.3 * truth) * 255) / 255
    found = measure(saliency.astype(np.float32), truth)
    assert found.mae == pytest.approx(EXPECTED["mae"], abs=1e-6)
    assert found.s_measure == pytest.approx(EXPECTED["s_measure"], abs=1e-6)
    assert summary([found])["f_beta"] == pytest.approx(EXPECTED["f_beta"], abs=1e-6)


@pytest.mark.parametrize(("value", "truth", "expected"), [(0.25, 0, 0.75), (0.25, 1, 0.25)])
def test_s_measure_without_an_object_or_without_a_background(value, truth, expected):
    found = measure(np.full((4, 4), value, np.float32), np.full((4, 4), truth, np.uint8))
    assert found.s_measure == pytest.approx(expected)


def test_ignored_pixels_do_not_count():
    truth, rng = disc(), np.random.default_rng(1)
    saliency = rng.random(truth.shape).astype(np.float32)
    truth[:5], other = 255, saliency.copy()
    other[:5] = 1 - other[:5]
    a, b = measure(saliency, truth), measure(other, truth)
    assert (a.mae, a.s_measure) == (b.mae, b.s_measure)
    np.testing.assert_array_equal(a.precision, b.precision)


def test_images_without_ground_truth_are_left_out():
    truth = disc()
    seen = measure(truth.astype(np.float32) * np.float32(0.8), truth)
    unseen = measure(truth.astype(np.float32), np.full_like(truth, 255))
    assert summary([seen, unseen]) == summary([seen])


def test_every_grey_is_its_own_level():
    greys = (np.arange(256, dtype=np.float32) / 255).astype(np.float16).astype(np.float32)[None]
    found = measure(greys, np.ones((1, 256), np.uint8))
    np.testing.assert_allclose(found.recall, np.arange(256, 0, -1) / 256)


def test_f_beta_averages_precision_and_recall_over_images_first():
    truth = np.array([[1, 0]], np.uint8)
    good = measure(np.array([[1.0, 0.0]], np.float32), truth)
    bad = measure(np.array([[0.0, 1.0]], np.float32), truth)
    # At any threshold above 0: precision and recall 1 and 0; at 0: ½ and 1 in both images.
    assert summary([good, bad])["f_beta"] == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))


def test_saliency_is_judged_by_every_class_as_one(tmp_path):
    masks, maps = tmp_path / "val.masks.h5", tmp_path / "saliency.val.h5"
    truth = disc() * 2
    truth[:3, :3] = 255
    truth[30:, 40:] = 1
    with MaskWriter(masks, Header("masks", "val", ("cat", "dog"))) as writer:
        writer.add("a", truth)
    with MapWriter(maps, Header("maps", "val", ("salient",))) as writer:
        found = np.where(truth == 255, 1, truth > 0)[None].astype(np.float32)
        writer.add("a", truth.shape, np.array([1]), 0.9 * found)
    result = evaluate_maps([maps], masks, EvaluationRecipe())
    assert result["classes"] == ["background", "salient"]
    assert result["metrics"]["miou"] == 1 and result["metrics"]["f_beta"] == pytest.approx(1)
    share = ((truth > 0) & (truth < 255)).sum() / (truth < 255).sum()
    assert result["metrics"]["mae"] == pytest.approx(0.1 * share, abs=1e-3)
