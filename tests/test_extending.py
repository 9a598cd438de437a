"""The examples of docs/extending.md do what the page says."""

import json
import re
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field
from torch import nn

from wsss.attribution.classifier import Classifier
from wsss.attribution.smooth import smooth
from wsss.attribution.tta import tta
from wsss.classifier.outcome import Outcome
from wsss.core.errors import UserError
from wsss.core.files.store import ImageReader, MaskReader
from wsss.core.metrics import METRICS, Metric
from wsss.core.recipe import parse_json
from wsss.data import ToyData, find_problems, prepare_images, prepare_masks, preview
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head_recipe import Head
from wsss.nn.recipe import Backbone

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
TINY = Backbone(name="resnet10t")


def example(section):
    """The names that the section's code defines."""
    code = "\n\n".join(re.findall(r"```python\n(.*?)```", SECTIONS[section], re.S))
    assert 10 < len(code.splitlines()) <= 42
    names = {"__name__": "example"}
    exec(compile(code, f"docs/extending.md, {section}", "exec"), names)
    return names


@pytest.mark.parametrize("section", SECTIONS)
def test_the_files_that_change_are_there(section):
    """A row says whether its file is new."""
    rows = re.findall(r"^\| `(\S+?)` \| (.*?) \|$", SECTIONS[section], re.M)
    assert len(rows) >= 4
    for path, change in rows:
        assert (ROOT / path).exists() is not change.startswith("new:"), path
        assert (ROOT / path).parent.is_dir(), path


def test_an_objective():
    names = example("An objective")
    assert names["FocalRecipe"](gamma=1.0).objective == "focal"
    network = CamNetwork(TINY, 3, Head())
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    outcome = names["Focal"](0.0)(network, images, labels, 0.5)
    expected = nn.functional.binary_cross_entropy_with_logits(outcome.logits, labels)
    assert isinstance(outcome, Outcome)
    torch.testing.assert_close(outcome.loss, expected)  # γ = 0 is the cross entropy
    focal = names["Focal"](2.0)(network, images, labels, 0.5).loss
    assert 0 < focal < expected
    focal.backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_an_explaining_method():
    method = example("An explaining method or class map")["input_x_gradient"]
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 2)).double()
    classifier = Classifier(linear, "0")
    x = torch.randn(3, 3, 4, 5, dtype=torch.float64)
    chosen = torch.tensor([[True, False], [True, True], [False, False]])
    found = method(classifier, x, chosen)
    weight = linear[1].weight.detach().view(2, 3, 4, 5)
    expected = torch.stack([(weight[c] * x[i]).sum(0) for i, c in ((0, 0), (1, 0), (1, 1))])
    torch.testing.assert_close(found.maps, expected)
    # For a linear network the terms of a map are the logit without its bias.
    logits = found.logits[found.images, found.classes] - linear[1].bias[found.classes]
    torch.testing.assert_close(found.maps.sum((1, 2)), logits.detach())
    smoothed = smooth(method, 3, 0.1, seed=0)(classifier, x, chosen)
    assert smoothed.maps.shape == expected.shape
    averaged = tta(method, (1.0,), flip=True)(classifier, x, chosen)
    assert averaged.maps.shape == expected.shape


def test_a_data_set(tmp_path):
    kind = example("A data set")["PartsData"]
    rng = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    labels = {"a": ["nut"], "b": ["bolt"], "c": ["nut", "bolt"]}
    for name in labels:
        image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        image.save(tmp_path / "photos" / f"{name}.jpg")
    mask = np.arange(48, dtype=np.uint8).reshape(6, 8) // 16
    Image.fromarray(mask).save(tmp_path / "masks" / "c.png")
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    (tmp_path / "training.txt").write_text("a\nb\n")
    (tmp_path / "validation.txt").write_text("c\n")

    union = Annotated[ToyData | kind, Field(discriminator="kind")]
    text = json.dumps({"kind": "parts", "root": str(tmp_path)})
    recipe = parse_json(text, union)
    assert isinstance(recipe, kind)
    # What the workflow asks.
    assert recipe.image_count("train") == 2
    lists = [str(tmp_path / name) for name in ("validation.txt", "labels.json")]
    assert recipe.source_files("val") == lists
    assert recipe.source_files("val", "evaluation") == lists[:1]
    # What the commands do.
    assert [p.kind for p in find_problems(recipe)] == []
    images, masks = tmp_path / "val.h5", tmp_path / "val.masks.h5"
    assert prepare_images(recipe, "val", images) == 1
    assert prepare_masks(recipe, "val", "evaluation", images, masks) == 1
    with ImageReader(images) as reader:
        assert reader.header.classes == ("nut", "bolt")
        np.testing.assert_array_equal(reader.labels, [[1, 1]])
    with MaskReader(masks) as reader:
        np.testing.assert_array_equal(reader["c"], mask)
    preview(recipe, "val", 4, tmp_path / "sheet.png")
    # A mistake in the files is found as in any other kind.
    (tmp_path / "validation.txt").write_text("c\na\n")
    assert "overlapping splits" in {p.kind for p in find_problems(recipe)}
    with pytest.raises(UserError, match="overlapping splits"):
        prepare_images(recipe, "val", images)


def test_a_saliency_network():
    network = example("A saliency network")["CoarseNet"](TINY)
    logits = network(torch.randn(2, 3, 65, 48))
    assert logits.shape == (2, 1, 65, 48)
    logits.sum().backward()
    assert network.head.weight.grad.abs().sum() > 0


def test_an_affinity_network():
    network = example("An affinity network")["LastLevelNet"](TINY).train()
    logits = network(torch.randn(2, 3, 65, 48))
    assert logits.shape == (2, 17, 12)
    logits.sum().backward()
    assert network.logit.weight.grad.abs().sum() > 0
    assert not network.backbone.training
    assert all(p.grad is None for p in network.backbone.parameters())


def test_a_table_column():
    names = example("A table column")
    entry = names["ENTRY"]["fw_iou"]
    assert isinstance(entry, Metric) and "fw_iou" not in METRICS["masks"]
    # Two classes of 6 and 2 pixels, the IoUs 5/7 and 1/3; a third that does not occur.
    confusion = np.array([[5, 1, 0], [1, 1, 0], [0, 0, 0]])
    expected = 6 / 8 * 5 / 7 + 2 / 8 * 1 / 3
    assert names["frequency_weighted_iou"](confusion) == pytest.approx(expected)
