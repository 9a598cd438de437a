import pytest
import torch

from wsss.core.errors import UserError
from wsss.core.files.model_file import save_model
from wsss.nn.cam_network import CamNetwork, load_cam_network
from wsss.nn.head_recipe import Head, KurKernel
from wsss.nn.recipe import Backbone

BACKBONE = Backbone(name="resnet10t", output_stride=16, batch_norm="frozen")


def about(**changes):
    recipe = {"objective": "vanilla", "backbone": BACKBONE.model_dump(mode="json"), "head": {}}
    return {"kind": "classifier", "recipe": recipe, "classes": ["a", "b"], "seed": 3} | changes


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CamNetwork(BACKBONE, 2).eval()


@pytest.fixture
def saved(network, tmp_path):
    save_model(tmp_path / "model.safetensors", network, about())
    return tmp_path / "model.safetensors"


def test_pooled_class_maps_are_a_linear_classifier_on_pooled_features(network):
    x = torch.rand(2, 3, 48, 64)
    with torch.inference_mode():
        (maps, logits), features = network(x), network.backbone(x)
    assert maps.shape == (2, 2, 3, 4)
    expected = features.mean((2, 3)) @ network.head.weight[:, :, 0, 0].T
    torch.testing.assert_close(maps.mean((2, 3)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert network.head.bias is None


def test_a_saved_network_comes_back_whole(network, saved):
    found = load_cam_network(saved)
    assert (found.backbone, found.classes, found.seed) == (BACKBONE, ("a", "b"), 3)
    assert found.recipe["objective"] == "vanilla"
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(found.network.eval()(x).maps, network(x).maps)


def test_another_output_stride_keeps_the_weights(network, saved):
    found = load_cam_network(saved, output_stride=8)
    assert found.backbone.output_stride == 8
    assert found.network(torch.rand(1, 3, 64, 64)).maps.shape == (1, 2, 8, 8)
    own = found.network.state_dict()
    assert all(torch.equal(own[key], value) for key, value in network.state_dict().items())


def test_a_model_of_another_kind_is_refused(network, tmp_path):
    save_model(tmp_path / "m.safetensors", network, about(kind="affinity"))
    with pytest.raises(UserError, match="holds a affinity, but a classifier is needed"):
        load_cam_network(tmp_path / "m.safetensors")


def test_weights_that_do_not_fit_the_recipe_are_refused(network, tmp_path):
    save_model(tmp_path / "m.safetensors", network, about(classes=["a", "b", "c"]))
    with pytest.raises(UserError, match=r"does not fit its own recipe .*head.weight"):
        load_cam_network(tmp_path / "m.safetensors")


def test_the_head_of_the_recipe_comes_back(tmp_path):
    head = Head(kernel=KurKernel(alpha=2.0))
    recipe = about()["recipe"] | {"head": head.model_dump(mode="json")}
    network = CamNetwork(BACKBONE, 2, head)
    save_model(tmp_path / "m.safetensors", network, about(recipe=recipe))
    found = load_cam_network(tmp_path / "m.safetensors").network
    assert torch.equal(found.head.effective_weight(), network.head.effective_weight())
    assert not torch.equal(found.head.effective_weight(), network.head.weight)
