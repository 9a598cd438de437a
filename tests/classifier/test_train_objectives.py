"""Every objective through the whole training: resumed after a kill it ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

import wsss.classifier.train as training
from wsss.classifier.learner import ClassifierLearner
from wsss.core.errors import UserError
from wsss.core.files.model_file import read_model

ERASING = {"ordinary": "oc", "erase": {"sampling": "balanced"}}
OBJECTIVES = {
    "vanilla": {},
    "vanilla-ema": {"objective": "vanilla", "training": {"ema": {"every": 1, "start_epoch": 0}}},
    "vanilla-late-ema": {"objective": "vanilla", "training": {"ema": {"every": 1}}},
    "vanilla-best": {"objective": "vanilla", "keep": "best-val-map"},
    "vanilla-mixed": {
        "objective": "vanilla",
        "augment": {"rand_augment": {}, "mix": {"kind": "cutmix"}},
        "class_weights": "inverse-frequency",
        "balance": {"kind": "repeat", "threshold": 0.9},
    },
    "kur": {"objective": "vanilla", "head": {"kernel": {"kind": "kur", "alpha": 3.0}}},
    "tap": {"objective": "vanilla", "head": {"pooling": {"kind": "tap"}}},
    "oc-cse": ERASING,
    "puzzle": {},
    "p-oc": {"ordinary": "oc", "erase": {"sampling": "focal"}},
    "p-noc": {
        "ordinary": "oc",
        "noc": {"weight": {"start": 0.5, "end": 1.0}},
        "training": {"accumulate": 2, "optimizer": {"lr": 0.01, "momentum": 0.9}},
    },
    "p-noc-leak": {"objective": "p-noc", "ordinary": "oc", "noc": {"leak_noc_gradient": True}},
}
TRAINING = {"epochs": 2, "batch_size": 3, "optimizer": {"lr": 0.01}}


@pytest.fixture(scope="module")
def oc(recipe, images, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("oc") / "model.safetensors"
    training.train(recipe(epochs=1), images, weights=None, seed=3, threads=1, out=out)
    return out


def build(recipe, name):
    top = {"objective": name} | OBJECTIVES[name]
    top["training"] = TRAINING | top.get("training", {})
    plain = recipe().model_dump(mode="json")
    plain["augment"] |= top.pop("augment", {})
    keys = ("backbone", "augment", "label_smoothing")
    return recipe(top={k: plain[k] for k in keys} | top)


def run(typed, images, oc, folder, **options):
    out = folder / "model.safetensors"
    ordinary = oc if hasattr(typed, "ordinary") else None
    training.train(
        typed,
        images,
        weights=None,
        seed=1,
        threads=1,
        out=out,
        ordinary=ordinary,
        validation=images,
        history=folder / "history.csv",
        **options,
    )
    return out


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_killed_run_ends_with_the_same_bytes(name, recipe, images, oc, tmp_path, monkeypatch):
    typed = build(recipe, name)
    whole = run(typed, images, oc, tmp_path / "whole")
    real, seen = ClassifierLearner.loss, []

    def dies(self, batch):
        seen.append(self.current_epoch)
        if seen.count(1) == 2:
            raise KeyError("killed")
        return real(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(ClassifierLearner, "loss", dies)
        with pytest.raises(KeyError, match="killed"):
            run(typed, images, oc, tmp_path / "killed")
    resumed = run(typed, images, oc, tmp_path / "killed")
    assert resumed.read_bytes() == whole.read_bytes()
    history = [(folder / "history.csv").read_text() for folder in (whole.parent, resumed.parent)]
    assert history[0] == history[1] and "val_mAP" in history[0]


def test_sigkill_at_a_random_step(recipe, images, oc, tmp_path):
    typed = build(recipe, "p-noc")
    whole = run(typed, images, oc, tmp_path / "whole")
    out = tmp_path / "killed" / "model.safetensors"
    command = [sys.executable, "-m", "wsss", "classifier", "train", "--recipe", typed.to_json()]
    command += ["--images", images, "--ordinary", oc, "--validation", images, "--seed", "1"]
    command += ["--out-history", out.parent / "history.csv", "--out", out]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    checkpoint = None
    while process.poll() is None and not checkpoint:
        checkpoint = next(out.parent.glob(".checkpoints-model/*/last.ckpt"), None)
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint is not None and not out.exists()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("emulated_bfloat16")
def test_bfloat16_trains_and_leaves_float32_weights(recipe, images, oc, tmp_path, monkeypatch):
    real, seen = ClassifierLearner.loss, []

    def watch(self, batch):
        self.network.backbone.register_forward_hook(lambda *found: seen.append(found[2].dtype))
        return real(self, batch)

    monkeypatch.setattr(ClassifierLearner, "loss", watch)
    typed = build(recipe, "p-noc")
    short = {"epochs": 1, "batch_size": 10, "precision": "bf16"}
    typed = typed.model_copy(update={"training": typed.training.model_copy(update=short)})
    out = tmp_path / "model.safetensors"
    options = {"weights": None, "seed": 1, "threads": 1, "ordinary": oc, "out": out}
    training.train(typed, images, **options)
    assert seen == [torch.bfloat16] * 2  # the images, and their tiles
    state, _ = read_model(out, "classifier")
    assert all(v.isfinite().all() and v.dtype != torch.bfloat16 for v in state.values())


def ema(recipe, **changes):
    training_keys = TRAINING | {"ema": {"every": 1, "start_epoch": 0} | changes.pop("ema", {})}
    keys = {k: v for k, v in build(recipe, "vanilla").model_dump(mode="json").items()}
    return recipe(top=keys | changes | {"training": training_keys})


def test_the_average_is_what_the_training_leaves(recipe, images, oc, tmp_path, monkeypatch):
    seen = []
    real = ClassifierLearner.on_train_batch_end

    def watch(self, *arguments):
        seen.append({k: v.clone() for k, v in self.network.state_dict().items()})
        return real(self, *arguments)

    monkeypatch.setattr(ClassifierLearner, "on_train_batch_end", watch)
    found, _ = read_model(run(ema(recipe, ema={"decay": 0.5}), images, oc, tmp_path), "classifier")
    weight = "head.weight"
    expected = seen[0][weight]
    for state in seen[1:]:
        expected = 0.5 * expected + 0.5 * state[weight]
    torch.testing.assert_close(found[weight], expected)


def test_the_best_epoch_before_the_average_begins_is_that_epochs_own_weights(
    recipe, images, oc, tmp_path, monkeypatch
):
    """Not the untrained ones, which an average that never began would hold."""
    ends = {}
    real = ClassifierLearner.on_train_batch_end

    def watch(self, *arguments):
        ends[self.current_epoch] = {k: v.clone() for k, v in self.network.state_dict().items()}
        return real(self, *arguments)

    def falling(self, batch, index):
        self.log("val_mAP", 1.0 - self.current_epoch)

    monkeypatch.setattr(ClassifierLearner, "on_train_batch_end", watch)
    monkeypatch.setattr(ClassifierLearner, "validation_step", falling)
    late = ema(recipe, keep="best-val-map", ema={"start_epoch": 1})
    found, _ = read_model(run(late, images, oc, tmp_path), "classifier")
    assert all(torch.equal(value, found[name]) for name, value in ends[0].items())


def test_a_kill_between_the_last_checkpoint_and_the_model_loses_nothing(
    recipe, images, oc, tmp_path, monkeypatch
):
    typed = ema(recipe)
    whole = run(typed, images, oc, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(
            "wsss.training.to_file.save_model", lambda *_: (_ for _ in ()).throw(OSError("full"))
        )
        with pytest.raises(OSError, match="full"):
            run(typed, images, oc, tmp_path / "late")
    assert run(typed, images, oc, tmp_path / "late").read_bytes() == whole.read_bytes()


def test_weights_that_are_not_finite_are_never_a_checkpoint(
    recipe, images, oc, tmp_path, monkeypatch
):
    real = ClassifierLearner.on_train_batch_end

    def breaks(self, outputs, batch, index):
        if self.current_epoch == 1 and index == self.trainer.num_training_batches - 1:
            self.network.head.weight.data[0] = float("nan")
        return real(self, outputs, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(ClassifierLearner, "on_train_batch_end", breaks)
        with pytest.raises(UserError, match=r"network.head.weight is not finite after epoch 2"):
            run(build(recipe, "vanilla"), images, oc, tmp_path / "broken")
    whole = run(build(recipe, "vanilla"), images, oc, tmp_path / "whole")
    again = run(build(recipe, "vanilla"), images, oc, tmp_path / "broken")
    assert again.read_bytes() == whole.read_bytes()


def test_an_ordinary_classifier_is_needed_exactly_where_the_recipe_names_one(
    recipe, images, oc, tmp_path
):
    out = tmp_path / "m.safetensors"
    options = {"weights": None, "seed": 1, "threads": 1, "out": out}
    with pytest.raises(UserError, match=r"objective p-oc needs --ordinary; give 'oc' as a file"):
        training.train(build(recipe, "p-oc"), images, **options)
    with pytest.raises(UserError, match=r"objective puzzle has none; leave it out"):
        training.train(build(recipe, "puzzle"), images, ordinary=oc, **options)
    typed = build(recipe, "p-oc")
    other = typed.backbone.model_copy(update={"mean": (0.5, 0.5, 0.5)})
    with pytest.raises(UserError, match=r"normalised with another backbone.mean"):
        training.train(typed.model_copy(update={"backbone": other}), images, ordinary=oc, **options)
    assert not out.exists()


def test_images_without_a_label_are_negatives_unless_skipped(recipe, images, tmp_path, caplog):
    small = {"epochs": 1, "batch_size": 3, "optimizer": {"lr": 0.01}}
    typed = recipe(top={"training": small, "unlabelled": "skip"})
    with caplog.at_level("INFO", logger="wsss"):
        one = run(typed, images, None, tmp_path / "skip")
    assert "7 of 10 images are used" in caplog.text
    negative = recipe(top={"training": small})
    two = run(negative, images, None, tmp_path / "negative")
    assert one.read_bytes() != two.read_bytes()
