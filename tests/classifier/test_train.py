import csv
import json

import pytest
import torch
from safetensors.torch import save_file

import wsss.classifier.train as training
from wsss.classifier.learner import ClassifierLearner
from wsss.core.errors import UserError
from wsss.core.files.model_file import read_model
from wsss.nn.backbones import build_trunk
from wsss.nn.cam_network import load_cam_network
from wsss.nn.recipe import Backbone


def run(recipe, images, folder, **options):
    out = folder / "model.safetensors"
    defaults = {"weights": None, "seed": 1, "threads": 1}
    training.train(recipe, images, out=out, **defaults | options)
    return out


def history(out):
    with (out.parent / "log" / f"{out.name}.history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(recipe, images, tmp_path_factory):
    torch.set_num_threads(1)
    return run(recipe(), images, tmp_path_factory.mktemp("trained"))


def test_the_model_file_says_what_it_is(trained, recipe):
    _, about = read_model(trained, "classifier")
    assert about["classes"] == ["red", "green", "blue"] and about["seed"] == 1
    assert about["recipe"] == json.loads(recipe().to_json())
    assert "torch" in about["software"]
    assert load_cam_network(trained).network(torch.rand(1, 3, 32, 32)).maps.shape == (1, 3, 2, 2)


def test_the_history_has_loss_and_metrics_of_every_epoch(trained):
    rows = history(trained)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 < float(row["loss"]) < 20 for row in rows)
    assert all(0 <= float(row[m]) <= 1 for row in rows for m in ("mAP", "F1", "recall"))


def test_no_checkpoint_is_left(trained):
    assert {p.name for p in trained.parent.iterdir()} == {"model.safetensors", "log"}


def test_training_changes_the_weights(trained, recipe, images, tmp_path):
    other = run(recipe(epochs=1), images, tmp_path)
    assert other.read_bytes() != trained.read_bytes()


def test_a_killed_run_resumes_to_the_same_bytes(trained, recipe, images, tmp_path, monkeypatch):
    real = ClassifierLearner.loss
    seen = []

    def dies(self, batch):
        seen.append(self.current_epoch)
        if seen == [0, 0, 1, 1]:
            raise KeyError("killed")
        return real(self, batch)

    monkeypatch.setattr(ClassifierLearner, "loss", dies)
    with pytest.raises(KeyError, match="killed"):
        run(recipe(), images, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    seen.clear()
    monkeypatch.setattr(
        ClassifierLearner, "loss", lambda self, b: (seen.append(1), real(self, b))[1]
    )
    out = run(recipe(), images, tmp_path)
    assert len(seen) == 2  # the second epoch alone
    assert out.read_bytes() == trained.read_bytes()
    assert history(out) == history(trained)


def test_a_checkpoint_of_another_recipe_is_not_resumed(
    trained, recipe, images, tmp_path, monkeypatch
):
    real = ClassifierLearner.loss

    def dies(self, batch):
        if self.current_epoch == 1:
            raise KeyError("killed")
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(ClassifierLearner, "loss", dies)
        with pytest.raises(KeyError):
            run(recipe(optimizer={"lr": 0.02}), images, tmp_path)
    assert run(recipe(), images, tmp_path).read_bytes() == trained.read_bytes()


def test_validation_is_scored_and_changes_no_weights(trained, recipe, images, tmp_path):
    out = run(recipe(), images, tmp_path, validation=images)
    assert out.read_bytes() == trained.read_bytes()
    rows = history(out)
    assert all(0 <= float(row["val_mAP"]) <= 1 and float(row["val_loss"]) > 0 for row in rows)
    assert rows[0]["val_loss"] != rows[1]["val_loss"]


def test_loader_workers_change_nothing(trained, recipe, images, tmp_path, monkeypatch):
    monkeypatch.setattr("wsss.training.to_file.loader_workers", lambda threads: 1)
    assert run(recipe(), images, tmp_path).read_bytes() == trained.read_bytes()


def test_another_seed_gives_other_weights(trained, recipe, images, tmp_path):
    assert run(recipe(), images, tmp_path, seed=2).read_bytes() != trained.read_bytes()


def test_it_learns_colours(recipe, write_images, tmp_path):
    images = write_images(tmp_path / "train.h5", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]] * 4)
    optimizer = {"name": "adamw", "lr": 0.003, "head_multiplier": 1.0, "bias_multiplier": 1.0}
    out = run(recipe(epochs=6, batch_size=8, optimizer=optimizer), images, tmp_path)
    rows = history(out)
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    assert float(rows[-1]["mAP"]) > 0.9


def test_pretrained_weights_are_where_training_starts(recipe, images, tmp_path):
    torch.manual_seed(9)
    trunk = build_trunk(Backbone(name="resnet10t"))
    save_file(trunk.state_dict(), tmp_path / "w.safetensors")
    plain = recipe(epochs=1, optimizer={"lr": 1e-12})
    backbone = Backbone(name="resnet10t", weights="w.safetensors", batch_norm="frozen")
    typed = plain.model_copy(update={"backbone": backbone})
    out = run(typed, images, tmp_path, weights=tmp_path / "w.safetensors")
    state, _ = read_model(out, "classifier")
    for key, value in trunk.state_dict().items():
        torch.testing.assert_close(state[f"backbone.{key}"], value)


def test_weights_without_a_recipe_for_them_are_refused(recipe, images, tmp_path):
    with pytest.raises(UserError, match=r"backbone\.weights is null"):
        run(recipe(), images, tmp_path, weights=tmp_path / "w.safetensors")


def test_a_class_without_a_positive_image_is_named_before_training(recipe, write_images, tmp_path):
    images = write_images(tmp_path / "train.h5", [[1, 0, 0], [0, 0, 0]] * 4)
    with pytest.raises(UserError, match=r"train.h5: no training image of green, blue; add"):
        run(recipe(), images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_validation_of_other_classes_is_refused(recipe, images, write_images, tmp_path):
    other = write_images(tmp_path / "val.h5", [[1, 1]], classes=("red", "pink"))
    with pytest.raises(UserError, match=r"val.h5: classes red, pink, but .* has .*; prepare both"):
        run(recipe(), images, tmp_path / "out", validation=other)


def test_too_few_images_for_a_batch_are_refused(recipe, images, tmp_path):
    with pytest.raises(UserError, match=r"10 training images make no full batch of 16"):
        run(recipe(batch_size=16), images, tmp_path / "out")


def test_a_diverging_loss_stops_the_run(recipe, images, tmp_path):
    with pytest.raises(UserError, match=r"training diverged: loss is .*lower optimizer.lr"):
        run(recipe(optimizer={"lr": 1e30}, epochs=3), images, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_data_set_of_one_class_with_negatives(recipe, write_images, tmp_path):
    images = write_images(tmp_path / "train.h5", [[1], [0]] * 8, classes=("red",))
    out = run(recipe(epochs=6), images, tmp_path, validation=images)
    rows = history(out)
    assert float(rows[-1]["val_mAP"]) > 0.8 and 0 <= float(rows[-1]["F1"]) <= 1
    network = load_cam_network(out).network
    assert network(torch.rand(1, 3, 32, 32)).maps.shape == (1, 1, 2, 2)


def test_validation_by_no_image_is_refused(recipe, images, write_images, tmp_path):
    with pytest.raises(UserError, match=r"val\.h5: holds no image to validate by"):
        run(recipe(), images, tmp_path, validation=write_images(tmp_path / "val.h5", []))
