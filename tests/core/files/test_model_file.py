import json

import pytest
import torch
from safetensors.torch import save_file

from wsss.core.errors import UserError
from wsss.core.files.model_file import load_into, read_model, save_model


@pytest.fixture
def path(tmp_path):
    save_model(tmp_path / "m.safetensors", torch.nn.Linear(2, 3), {"kind": "classifier", "seed": 1})
    return tmp_path / "m.safetensors"


def test_state_and_header_come_back(path):
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 3)
    save_model(path, network, {"kind": "classifier", "seed": 1})
    state, about = read_model(path, "classifier")
    assert about == {"kind": "classifier", "seed": 1}
    other = torch.nn.Linear(2, 3)
    load_into(other, state, path)
    assert torch.equal(other.weight, network.weight) and torch.equal(other.bias, network.bias)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_colleagues_may_read_it(path):
    (path.parent / "other").touch()
    assert path.stat().st_mode == (path.parent / "other").stat().st_mode


def test_tied_weights_are_saved(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    network[1].weight = network[0].weight
    save_model(tmp_path / "m.safetensors", network, {"kind": "x"})
    state, _ = read_model(tmp_path / "m.safetensors", "x")
    assert torch.equal(state["0.weight"], state["1.weight"])


def truncated(path):
    path.write_bytes(path.read_bytes()[:-4])


def garbage(path):
    path.write_bytes(b"no safetensors")


def foreign(path):
    save_file({"x": torch.zeros(1)}, path)


def broken_header(path):
    save_file({"x": torch.zeros(1)}, path, metadata={"wsss": "{"})


def header_of_another_type(path):
    save_file({"x": torch.zeros(1)}, path, metadata={"wsss": json.dumps([1])})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncated, "damaged"),
        (garbage, "damaged"),
        (foreign, "not written by wsss"),
        (broken_header, "damaged"),
        (header_of_another_type, "damaged"),
        (lambda path: path.unlink(), "no such model file"),
    ],
)
def test_bad_files_are_one_line(path, damage, says):
    damage(path)
    with pytest.raises(UserError, match=says) as caught:
        read_model(path, "classifier")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_another_kind_is_refused(path):
    with pytest.raises(UserError, match="holds a classifier, but a segmentation is needed"):
        read_model(path, "segmentation")


@pytest.mark.parametrize("network", [torch.nn.Linear(2, 4), torch.nn.Conv2d(2, 3, 1, bias=False)])
def test_a_state_of_another_network_is_refused(path, network):
    state, _ = read_model(path, "classifier")
    with pytest.raises(UserError, match=r"does not fit its own recipe \(.*train it again$") as e:
        load_into(network, state, path)
    assert str(e.value).startswith(f"{path}: ") and "\n" not in str(e.value)
