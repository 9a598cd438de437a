import numpy as np
import pytest
import torch
from torch.nn import functional as F

from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, MapReader, MaskReader
from wsss.core.images import decode
from wsss.core.shard import Shard
from wsss.nn.inference import augmented_mean
from wsss.segmentation.masks import most_probable
from wsss.segmentation.network import load_segmenter
from wsss.segmentation.predict import predict
from wsss.segmentation.recipe import PredictRecipe

from .conftest import write_split

ALL = PredictRecipe(scales=(0.75, 1.0, 1.5), min_score=0)


@pytest.fixture(scope="module")
def everything(split, trained, tmp_path_factory):
    """Every class's scores, whether it reaches a minimum or not."""
    out = tmp_path_factory.mktemp("predicted") / "prediction.train.h5"
    predict(ALL, trained, split.images, threads=1, out=out)
    return out


def test_scores_are_probabilities_at_stride_4(everything):
    reader = MapReader(everything)
    assert reader.header.extra == {"image_labels": "not used", "seed": 0}
    assert reader.header.classes == ("red", "blue")
    for record in reader:
        height, width = record.size
        assert record.classes.tolist() == [0, 1, 2]
        assert record.maps.shape == (3, (height - 1) // 4 + 1, (width - 1) // 4 + 1)
        assert record.maps.min() >= 0
        np.testing.assert_allclose(record.maps.astype(np.float32).sum(0), 1, atol=2e-3)


def test_the_network_has_learnt_the_scenes(everything, split):
    truth = MaskReader(split.masks)
    for record in MapReader(everything):
        mask = truth[record.id]
        assert (most_probable(record) == mask)[mask != 255].mean() > 0.85


def test_little_is_lost_by_storing_scores_at_stride_4(trained, tmp_path):
    """Against the softmax at image size of each scale, averaged in float32."""
    size = (240, 320)
    big = write_split(tmp_path, count=1, sizes=(size,))
    recipe = ALL.model_copy(update={"scales": (0.75, 1.0)})
    predict(recipe, trained, big.images, threads=1, out=tmp_path / "prediction.h5")
    segmenter = load_segmenter(trained)
    network = segmenter.network.eval()
    stored, truth = MapReader(tmp_path / "prediction.h5"), MaskReader(big.masks)
    for record in ImageReader(big.images):
        full = augmented_mean(
            lambda x: F.interpolate(network(x), size, mode="bilinear").softmax(1),
            decode(record.data),
            segmenter.backbone,
            scales=recipe.scales,
            flip=recipe.flip,
            size=size,
        )
        wanted, found = full.argmax(0).numpy(), most_probable(stored[record.id])
        labelled = truth[record.id] != 255
        right = [(mask == truth[record.id])[labelled].mean() for mask in (wanted, found)]
        assert (wanted == found).mean() > 0.995
        assert abs(right[0] - right[1]) < 0.002


@pytest.mark.usefixtures("emulated_bfloat16")
def test_bfloat16_changes_little(split, trained, everything, tmp_path):
    recipe = ALL.model_copy(update={"precision": "bf16"})
    predict(recipe, trained, split.images, threads=1, out=tmp_path / "prediction.h5")
    exact, differences = MapReader(everything), []
    for record in MapReader(tmp_path / "prediction.h5"):
        differences.append(np.abs(record.maps.astype(np.float32) - exact[record.id].maps).max())
    assert 0 < max(differences) < 0.05


def test_classes_that_stay_below_the_minimum_are_left_out(split, trained, everything, tmp_path):
    least = 0.5
    recipe = ALL.model_copy(update={"min_score": least})
    predict(recipe, trained, split.images, threads=1, out=tmp_path / "some.h5")
    before, left_out = MapReader(everything), 0
    for record in MapReader(tmp_path / "some.h5"):
        whole = before[record.id].maps
        kept = [0] + [c for c in (1, 2) if whole[c].max() >= least]
        assert record.classes.tolist() == kept
        np.testing.assert_array_equal(record.maps, whole[kept])
        left_out += 3 - len(kept)
    assert left_out > 0


def test_no_label_is_read(everything, trained, tmp_path):
    other = write_split(tmp_path / "other", labels=0)
    predict(ALL, trained, other.images, threads=1, out=tmp_path / "prediction.h5")
    before = MapReader(everything)
    for record in MapReader(tmp_path / "prediction.h5"):
        np.testing.assert_array_equal(record.maps, before[record.id].maps)


def test_images_of_other_classes_are_refused(trained, tmp_path):
    other = write_split(tmp_path / "other", classes=("cat", "dog"))
    with pytest.raises(UserError, match=r"classes cat, dog, but .* has red, blue; train it"):
        predict(ALL, trained, other.images, threads=1, out=tmp_path / "prediction.h5")
    assert not (tmp_path / "prediction.h5").exists()


def test_the_mirrored_image_has_mirrored_scores(trained, split):
    segmenter = load_segmenter(trained)
    image = decode(next(iter(ImageReader(split.images))).data)

    def scores(image):
        return augmented_mean(
            lambda x: segmenter.network.eval()(x).softmax(1),
            image,
            segmenter.backbone,
            scales=(1.0, 1.5),
            flip=True,
            size=(10, 12),
        )

    mirrored = scores(np.ascontiguousarray(image[:, ::-1])).flip(-1)
    torch.testing.assert_close(scores(image), mirrored)


@pytest.mark.parametrize("of", [2, 7])
def test_parts_hold_the_bytes_of_the_whole(of, split, trained, everything, tmp_path):
    parts = [tmp_path / f"{i}.h5" for i in range(1, of + 1)]
    for i, part in enumerate(parts, start=1):
        predict(ALL, trained, split.images, shard=Shard(i, of), threads=1, out=part)
    together, whole = MapReader(parts), MapReader(everything)
    assert together.ids == whole.ids
    for a, b in zip(together, whole, strict=True):
        assert (a.classes.tolist(), a.maps.tobytes()) == (b.classes.tolist(), b.maps.tobytes())
