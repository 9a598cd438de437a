"""The card next to the checkpoints of a training."""

import json

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from wsss.core.digest import code_digest
from wsss.core.recipe import Recipe
from wsss.training.checkpoint_code import checkpoint_card, checkpoint_code
from wsss.training.learner import Learner
from wsss.training.recipe import Training
from wsss.training.to_file import train_to_file

MODULE = "wsss.classifier.train"
TODAY = code_digest(MODULE)


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_checkpoint_counts_as_the_code_of_its_card(tmp_path):
    out = tmp_path / "model.safetensors"
    file = checkpoint_card(out)
    assert checkpoint_code(out, MODULE) == TODAY
    assert file == tmp_path / ".checkpoints-model.run.json"
    card = json.loads(file.read_text())
    assert (card["output"], card["entry"], card["code"]) == (out.name, MODULE, TODAY)

    edit(file, code="0")  # other code began it
    assert checkpoint_code(out, MODULE) == TODAY
    assert json.loads(file.read_text())["code"] == TODAY

    edit(file, code="0", accepted=TODAY)
    assert checkpoint_code(out, MODULE) == "0"
    assert json.loads(file.read_text())["code"] == "0"

    edit(file, accepted="1")  # the code changed after it was accepted
    assert checkpoint_code(out, MODULE) == TODAY
    assert "accepted" not in json.loads(file.read_text())


def test_only_the_first_process_writes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_RANK", "1")
    out = tmp_path / "model.safetensors"
    assert checkpoint_code(out, MODULE) == TODAY
    assert not checkpoint_card(out).exists()


class Lines(Recipe):
    training: Training = Training(epochs=3, batch_size=4)


class Line(Learner):
    """Linear regression that raises KeyError in epoch `stop`."""

    def __init__(self, stop=None):
        torch.manual_seed(0)
        super().__init__(nn.Linear(2, 1), Lines().training)
        self.stop = stop
        self.epochs = []

    def loss(self, batch):
        if self.current_epoch == self.stop:
            raise KeyError("killed")
        self.epochs.append(self.current_epoch)
        return self.network(batch[0]).square().mean(), {}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def train(folder, stop=None):
    """The epochs of a training that ran to its end, or until it was killed."""
    learner = Line(stop)
    data = TensorDataset(torch.arange(8.0).view(4, 2))
    out = folder / "model.safetensors"
    options = {"kind": "line", "module": MODULE, "inputs": [], "seed": 1, "threads": 1, "out": out}
    if stop is None:
        train_to_file(learner, data, Lines(), **options)
    else:
        with pytest.raises(KeyError, match="killed"):
            train_to_file(learner, data, Lines(), **options)
    return learner.epochs


def test_an_interrupted_training_resumes_once_its_code_is_accepted(tmp_path, monkeypatch):
    def change_code(digest):
        for user in ("training.checkpoint_code", "core.files.run_card_file"):
            monkeypatch.setattr(f"wsss.{user}.code_digest", lambda module: digest)

    file = checkpoint_card(tmp_path / "model.safetensors")
    change_code("first")
    assert train(tmp_path, stop=1) == [0]
    assert json.loads(file.read_text())["code"] == "first"
    edit(file, accepted="second")
    change_code("second")
    assert train(tmp_path, stop=2) == [1]
    change_code("third")
    assert train(tmp_path) == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "log"}
