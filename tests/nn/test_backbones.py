import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from wsss.core.errors import UserError
from wsss.core.model_file import save_model
from wsss.nn.backbones import build_trunk, freeze_batch_norm, initialise, load_weights
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone

TINY = Backbone(name="resnet10t")


@pytest.fixture(scope="module")
def whole():
    """Weights as timm publishes them: the classification head is in the file."""
    torch.manual_seed(7)
    return timm.create_model("resnet10t", num_classes=10).state_dict()


def same(network, state):
    own = network.state_dict()
    return all(torch.equal(own[key].float(), state[key].float()) for key in own)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_trunk_has_the_asked_output_stride(stride):
    trunk = build_trunk(Backbone(name="resnet10t", output_stride=stride))
    out = trunk(torch.zeros(1, 3, 64, 96))
    assert out.shape == (1, trunk.num_features, 64 // stride, 96 // stride)


def test_an_unknown_network_is_named_with_a_near_one():
    with pytest.raises(UserError, match=r"no model 'resnet5O'.*did you mean 'resnet50'"):
        build_trunk(Backbone(name="resnet5O"))


def test_an_impossible_stride_is_refused():
    with pytest.raises(UserError, match="cannot build 'vit_tiny_patch16_224' with output_stride 8"):
        build_trunk(Backbone(name="vit_tiny_patch16_224", output_stride=8))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_in_timms_naming(whole, tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    half = {k: v.half() if v.is_floating_point() else v for k, v in whole.items()}
    save_file(half, path) if suffix == "safetensors" else torch.save(half, path)
    trunk = build_trunk(TINY)
    assert not same(trunk, half)
    load_weights(trunk, path)
    assert same(trunk, half)
    assert trunk.conv1[0].weight.dtype == torch.float32


def test_a_wrapped_state_dict(whole, tmp_path):
    torch.save({"state_dict": whole, "epoch": 3}, tmp_path / "w.pth")
    trunk = build_trunk(TINY)
    load_weights(trunk, tmp_path / "w.pth")
    assert same(trunk, whole)


def test_weights_of_a_trained_classifier(tmp_path):
    network = CamNetwork(TINY, 3)
    save_model(tmp_path / "model.safetensors", network, {"kind": "classifier"})
    trunk = build_trunk(TINY)
    load_weights(trunk, tmp_path / "model.safetensors")
    assert same(trunk, network.backbone.state_dict())


def test_a_missing_key_is_named(whole, tmp_path):
    state = {k: v for k, v in whole.items() if k != "layer2.0.conv1.weight"}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"1 of \d+ weights.*'layer2.0.conv1.weight'"):
        load_weights(build_trunk(TINY), tmp_path / "w.safetensors")


def test_a_wrong_shape_is_named_and_nothing_is_loaded(whole, tmp_path):
    save_file(whole | {"layer4.0.conv1.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    trunk = build_trunk(TINY)
    before = {k: v.clone() for k, v in trunk.state_dict().items()}
    with pytest.raises(UserError, match=r"'layer4.0.conv1.weight' has shape \(2, 2\)"):
        load_weights(trunk, tmp_path / "w.safetensors")
    assert same(trunk, before)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_foreign_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"w.{suffix}"
    path.write_text("not weights at all")
    with pytest.raises(UserError, match=f"w.{suffix}: "):
        load_weights(build_trunk(TINY), path)


class _Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


@pytest.mark.parametrize("save", [torch.save, lambda v, p: p.write_bytes(pickle.dumps(v))])
def test_a_pickle_with_code_is_refused_without_running_it(tmp_path, save):
    save({"conv1.weight": _Payload()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="more than tensors, refused"):
        load_weights(build_trunk(TINY), tmp_path / "w.pth")


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {}}, {"epoch": 3}])
def test_a_file_without_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="no weights in it"):
        load_weights(build_trunk(TINY), tmp_path / "w.pth")


def test_recipe_and_weights_must_agree(tmp_path):
    trunk = build_trunk(TINY)
    with pytest.raises(UserError, match=r"backbone\.weights is null"):
        initialise(trunk, TINY, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"backbone\.weights is 'timm:x'; give its file"):
        initialise(trunk, Backbone(name="resnet10t", weights="timm:x"), None)
    with pytest.raises(UserError, match="no such weights file"):
        initialise(trunk, Backbone(name="resnet10t", weights="w.pth"), tmp_path / "w.pth")


def test_frozen_batch_norm_stays_frozen_in_training_mode():
    trunk = build_trunk(TINY)
    freeze_batch_norm(trunk)
    trunk.train()
    before = {k: v.clone() for k, v in trunk.state_dict().items()}
    out = trunk(torch.rand(4, 3, 32, 32) * 5)
    out.sum().backward()
    torch.optim.SGD([p for p in trunk.parameters() if p.grad is not None], lr=1.0).step()
    after = trunk.state_dict()
    changed = {k for k in after if not torch.equal(before[k], after[k])}
    assert changed and not any(".bn" in k or "running" in k for k in changed)


def test_batch_norm_learns_unless_frozen():
    trunk = build_trunk(TINY).train()
    before = trunk.bn1.running_mean.clone()
    trunk(torch.rand(4, 3, 32, 32) * 5)
    assert not torch.equal(before, trunk.bn1.running_mean)
    assert trunk.bn1.weight.requires_grad
