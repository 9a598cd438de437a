import numpy as np
import pytest

from wsss.data.recipe import ToyData
from wsss.data.toy.scene import _classes, generate
from wsss.data.toy.textures import GROUNDS, paint_ground, smooth_noise


def toy(**knobs) -> ToyData:
    return ToyData(kind="toy", **knobs)


def scenes(count: int, split: str = "train", **knobs):
    recipe = toy(**knobs)
    return [generate(recipe, split, i) for i in range(count)]


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in vars(a))


def test_same_seed_same_scene_whatever_the_number_of_images():
    a, b = generate(toy(train=10), "train", 3), generate(toy(train=999, val=7), "train", 3)
    assert same(a, b)


def test_seed_split_and_index_all_change_the_scene():
    first = generate(toy(), "train", 0).image
    others = [
        generate(toy(seed=1), "train", 0),
        generate(toy(), "val", 0),
        generate(toy(), "train", 1),
    ]
    assert all((first != other.image).mean() > 0.5 for other in others)


@pytest.mark.parametrize("size", [32, 96, 130])
def test_truth_is_consistent(size):
    for scene in scenes(12, "val", size=size, classes=8, max_instances=3, occlusion=0.6):
        assert scene.image.shape == (size, size, 3) and scene.mask.shape == (size, size)
        count = len(scene.classes)
        assert set(np.unique(scene.instances)) == set(range(count + 1))
        assert np.array_equal(np.r_[0, scene.classes][scene.instances], scene.mask)
        assert np.array_equal(np.flatnonzero(scene.labels) + 1, np.unique(scene.classes))
        for i, (x0, y0, x1, y1) in enumerate(scene.boxes, start=1):
            inside = np.zeros_like(scene.mask, bool)
            inside[y0:y1, x0:x1] = True
            own = scene.instances == i
            assert not (own & ~inside).any()
            assert own[y0].any() and own[y1 - 1].any()
            assert own[:, x0].any() and own[:, x1 - 1].any()


def test_every_scene_holds_an_object():
    assert all(len(scene.classes) for scene in scenes(40, size=48, scale_max=1.0, occlusion=0.0))


def test_knobs_of_appearance_leave_the_truth_alone():
    plain = generate(toy(), "train", 5)
    for knobs in ({"part_strength": 0.0}, {"shared_body": 0.0}, {"background_bias": 0.0}):
        other = generate(toy(**knobs), "train", 5)
        assert np.array_equal(plain.instances, other.instances)
        assert np.array_equal(plain.labels, other.labels)


def test_missing_labels_touch_train_labels_only():
    full, dropped = scenes(120, size=32), scenes(120, size=32, missing_labels=0.4)
    for a, b in zip(full, dropped, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask)
        assert (b.labels <= a.labels).all()
    kept = sum(int(s.labels.sum()) for s in dropped) / sum(int(s.labels.sum()) for s in full)
    assert 0.5 < kept < 0.7
    for a, b in zip(scenes(9, "val"), scenes(9, "val", missing_labels=0.4), strict=True):
        assert same(a, b)


def drawn_classes(count: int = 2000, **knobs):
    """(count, C): which classes are drawn for scenes, before any object is placed."""
    recipe = toy(**knobs)
    drawn = np.zeros((count, recipe.classes), bool)
    for i in range(count):
        drawn[i, _classes(recipe, np.random.default_rng(i))] = True
    return drawn


def test_long_tail_makes_the_last_class_rare():
    even = drawn_classes(co_occurrence=0.0).sum(axis=0)
    tail = drawn_classes(co_occurrence=0.0, long_tail=0.9).sum(axis=0)
    assert even.min() > 0.85 * even.max()
    assert (np.diff(tail) < 0).all()
    assert 7 < tail[0] / tail[-1] < 11


def test_co_occurrence_brings_the_partner():
    def shares(co_occurrence):
        drawn = drawn_classes(co_occurrence=co_occurrence)
        given = drawn[drawn[:, 0]]
        return given[:, 1].mean(), given[:, 2].mean()

    partner, other = shares(0.0)
    assert abs(partner - other) < 0.05  # no pair is special
    partner, other = shares(1.0)
    assert partner > 0.85 > 0.2 > other
    lonely = drawn_classes(co_occurrence=1.0)[:, 4]  # the fifth of five has no partner
    assert 0.1 < lonely.mean() < 0.4


def test_background_bias_puts_classes_on_their_own_ground():
    """At 1 a lone class stands on one kind of ground in every scene: the colours agree."""

    def spread(bias):
        colours = []
        for scene in scenes(120, "val", size=48, background_bias=bias, co_occurrence=0.0):
            if scene.labels.sum() == 1 and scene.labels[2]:
                ring = np.zeros_like(scene.mask, bool)
                y, x = np.nonzero(scene.mask)
                ring[max(0, y.min() - 3) : y.max() + 4, max(0, x.min() - 3) : x.max() + 4] = True
                colours.append(np.median(scene.image[ring & (scene.mask == 0)], axis=0))
        assert len(colours) >= 8
        return np.std(colours, axis=0).mean()

    assert spread(1.0) < 0.65 * spread(0.0)


def test_classes_share_a_body_and_differ_in_the_mark(monkeypatch):
    """The same scene with two classes exchanged differs in few pixels, unless bodies are own."""
    import wsss.data.toy.scene as scene

    def changed(**knobs):
        recipe = toy(background_bias=0.0, max_instances=1, **knobs)
        images = []
        for name in (0, 1):
            monkeypatch.setattr(scene, "_classes", lambda recipe, rng, name=name: [name])
            # One object stream for both classes.
            monkeypatch.setattr(scene, "generator", lambda *p, real=scene_generator: real(*p[:5]))
            images.append(generate(recipe, "train", 2))
        body = images[0].mask > 0
        assert np.array_equal(body, images[1].mask > 0)
        difference = np.abs(images[0].image.astype(int) - images[1].image).sum(axis=2)
        return (difference[body] > 12).mean()

    scene_generator = scene.generator
    assert changed(shared_body=1.0, part_strength=0.0) == 0
    assert 0.05 < changed(shared_body=1.0, part_strength=1.0) < 0.4
    assert changed(shared_body=0.0, part_strength=0.0) > 0.8


def test_occlusion_bounds_what_is_hidden(monkeypatch):
    import wsss.data.toy.scene as scene

    tried = []
    outline = scene.outline

    def recorded(*arguments):
        tried.append(outline(*arguments))
        return tried[-1]

    monkeypatch.setattr(scene, "outline", recorded)
    complete = 0
    for i in range(25):
        tried.clear()
        drawn = generate(toy(occlusion=0.0, max_instances=3), "train", i)
        seen = np.bincount(drawn.instances.ravel())[1:]
        for pixels, (x0, y0, x1, y1) in zip(seen, drawn.boxes, strict=True):
            if x0 > 0 and y0 > 0 and x1 < 96 and y1 < 96:  # no border cuts it off
                assert pixels in {shape.whole.sum() for shape in tried}
                complete += 1
    assert complete > 10


def test_scale_is_the_length_of_an_object():
    def area(**scale):
        found = scenes(25, max_instances=1, co_occurrence=0.0, occlusion=0.0, **scale)
        return np.mean([(s.instances == 1).sum() for s in found])

    ratio = area(scale_min=0.6, scale_max=0.6) / area(scale_min=0.3, scale_max=0.3)
    assert 3 < ratio < 5  # four, less what the border cuts off


def test_noise_has_mean_zero_and_variance_one():
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, 8, 24, 96) for _ in range(200)])
    assert abs(fields.mean()) < 0.05
    assert abs(fields.var() - 1) < 0.05
    # Smooth: neighbours agree more along the axis with fewer cells.
    down = np.abs(np.diff(fields, axis=1)).mean()
    across = np.abs(np.diff(fields, axis=2)).mean()
    assert across > 2 * down


def test_grounds_differ_from_each_other():
    rng = np.random.default_rng(0)
    means = np.array([paint_ground(rng, ground, 64).mean(axis=(0, 1)) for ground in GROUNDS])
    distances = np.linalg.norm(means[:, None] - means[None], axis=2)
    assert distances[~np.eye(len(GROUNDS), dtype=bool)].min() > 25
