import math

import pandas as pd
import pytest
import torch

from wsss.explain.metrics.detections import per_detection

# Two images of three classes; what a classifier says of them, and of them masked.
PROBABILITIES = {
    1.0: [0.9, 0.8, 0.1],
    2.0: [0.7, 0.2, 0.3],
    0.25: [0.95, 0.2, 0.1],  # image 0 through the map of class 0
    0.75: [0.18, 0.8, 0.1],  # … and through its complement
    0.4: [0.45, 0.6, 0.1],
    0.6: [0.9, 0.4, 0.1],
    0.9: [0.56, 0.1, 0.3],
    1.1: [0.35, 0.2, 0.3],
}
IMAGES = torch.tensor([1.0, 2.0])[:, None, None, None].expand(2, 3, 4, 5)
MAPS = torch.tensor([0.25, 0.4, 0.45])[:, None, None].expand(3, 4, 5)
IMAGES_OF, CLASSES_OF = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])


def by_brightness(images):
    keys = images.mean((1, 2, 3)).double()
    return torch.tensor([PROBABILITIES[round(key, 4)] for key in keys.tolist()]).double()


@pytest.mark.parametrize("chunk", [1, 2, 32])
def test_the_golden_rows(chunk):
    rows = per_detection(by_brightness, IMAGES, MAPS, IMAGES_OF, CLASSES_OF, chunk=chunk)
    expected = pd.DataFrame(
        {
            "image": [0, 0, 1],
            "class": [0, 1, 0],
            "probability": [0.9, 0.8, 0.7],
            "detections": [2, 2, 1],
            "increase": [1, 0, 0],
            "drop": [0, 0.25, 0.2],
            "retention": [0.8, 0.5, 0.5],
            "drop_of_others": [0.75, 0.5, 0],
            "retention_of_others": [0.0, 0.0, 0.0],
        }
    )
    pd.testing.assert_frame_equal(rows, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_masked_images_have_the_images_type(dtype):
    seen = []

    def of_any(images):
        seen.append(images.dtype)
        return torch.full((len(images), 3), 0.9)

    per_detection(of_any, IMAGES.to(dtype), MAPS, IMAGES_OF, CLASSES_OF)
    assert set(seen) == {dtype} and len(seen) == 3


def test_the_network_never_sees_more_images_than_a_chunk_and_two_passes_a_pair():
    sizes = []

    def counting(images):
        sizes.append(len(images))
        return by_brightness(images)

    unmasked = by_brightness(IMAGES)
    per_detection(counting, IMAGES, MAPS, IMAGES_OF, CLASSES_OF, chunk=2, unmasked=unmasked)
    assert sizes == [2, 2, 1, 1]


def test_pairs_that_are_not_detected_have_no_row_and_names_stay_with_their_images():
    every = torch.arange(3).repeat(2)
    maps = MAPS[[0, 1, 0, 2, 0, 0]]
    rows = per_detection(
        by_brightness, IMAGES, maps, torch.tensor([0, 0, 0, 1, 1, 1]), every, ids=["x", "y"]
    )
    assert rows["image"].tolist() == ["x", "x", "y"]
    assert rows["class"].tolist() == [0, 1, 0]
    assert rows["detections"].tolist() == [2, 2, 1]


def test_other_classes_count_where_they_are_detected_whether_or_not_they_have_a_map():
    one = torch.tensor([0])
    rows = per_detection(by_brightness, IMAGES, MAPS[:1], one, one)
    assert rows["drop_of_others"].item() == pytest.approx(0.75)
    strict = per_detection(by_brightness, IMAGES, MAPS[:1], one, one, detection=0.85)
    assert strict["detections"].item() == 1 and strict["drop_of_others"].item() == 0


def test_no_detection_gives_a_table_without_rows_of_the_same_columns():
    some = per_detection(by_brightness, IMAGES, MAPS, IMAGES_OF, CLASSES_OF)
    none = per_detection(by_brightness, IMAGES, MAPS, IMAGES_OF, CLASSES_OF, detection=0.95)
    assert len(none) == 0 and list(none) == list(some)
    pd.testing.assert_frame_equal(pd.concat([none, some]), some)


def test_a_random_network_against_the_formulas_one_pair_at_a_time():
    torch.manual_seed(0)
    weight = torch.randn(5, 3 * 6 * 6, dtype=torch.float64)

    def network(images):
        return (images.flatten(1) @ weight.T).div(4).sigmoid()

    images, maps = torch.randn(8, 3, 6, 6).double(), torch.rand(40, 6, 6).double()
    images_of, classes_of = torch.arange(8).repeat_interleave(5), torch.arange(5).repeat(8)
    rows = per_detection(network, images, maps, images_of, classes_of, detection=0.4, chunk=3)
    y, at, seen = network(images), 0, set()
    for pair, (i, c) in enumerate(zip(images_of.tolist(), classes_of.tolist(), strict=True)):
        if y[i, c] <= 0.4:
            continue
        o = network((images[i] * maps[pair])[None])[0]
        complement = network((images[i] * (1 - maps[pair]))[None])[0]
        others = [j for j in range(5) if j != c and y[i, j] > 0.4]
        row = rows.iloc[at]
        assert (row["image"], row["class"], row["detections"]) == (i, c, len(others) + 1)
        assert row["increase"] == int(y[i, c] < o[c])
        for name, after in (("drop", o), ("retention", complement)):
            drops = [max(0.0, float(y[i, j] - after[j])) / float(y[i, j]) for j in range(5)]
            assert row[name] == pytest.approx(drops[c])
            mean = sum(drops[j] for j in others) / max(1, len(others))
            assert row[f"{name}_of_others"] == pytest.approx(mean)
        seen.add(len(others))
        at += 1
    assert at == len(rows) and seen >= {0, 1, 2}


def test_a_map_of_ones_changes_nothing_and_its_complement_everything():
    def bright(images):
        return images.mean((2, 3)).clamp(0, 1)

    one = torch.tensor([0])
    rows = per_detection(bright, torch.full((1, 3, 4, 4), 0.8), torch.ones(1, 4, 4), one, one)
    row = rows.iloc[0]
    assert (row["increase"], row["drop"], row["retention"]) == (0, 0, 1)
    assert (row["drop_of_others"], row["retention_of_others"]) == (0, 1)


@pytest.mark.parametrize("wrong", [2.0, -0.5, math.nan])
def test_maps_outside_0_and_1_are_refused(wrong):
    with pytest.raises(ValueError, match="apply psi"):
        per_detection(by_brightness, IMAGES, MAPS * 0 + wrong, IMAGES_OF, CLASSES_OF)


def test_a_class_at_the_threshold_is_not_detected():
    def even(images):
        return torch.tensor([[0.75, 0.5]]).expand(len(images), 2)

    rows = per_detection(even, IMAGES[:1], MAPS[:2], IMAGES_OF[:2], CLASSES_OF[:2], detection=0.5)
    assert rows[["class", "detections"]].values.tolist() == [[0, 1]]


def test_an_impossible_threshold_is_refused():
    with pytest.raises(ValueError, match="detection is 1"):
        per_detection(by_brightness, IMAGES, MAPS, IMAGES_OF, CLASSES_OF, detection=1.0)
