import pytest
import torch
from safetensors.torch import save_file

from wsss.affinity.boundary_net import BoundaryNet
from wsss.affinity.network import load_network
from wsss.core.errors import UserError
from wsss.core.files.model_file import save_model
from wsss.nn.backbones import build_pyramid, initialise
from wsss.nn.recipe import Backbone


@pytest.mark.parametrize(
    ("name", "stride", "taps"),
    [("resnet10t", 16, 5), ("resnet10t", 8, 5), ("mobilenetv2_100", 16, 5), ("resnet18", 32, 5)],
)
def test_logits_lie_on_the_stride_4_grid(name, stride, taps):
    network = BoundaryNet(Backbone(name=name, output_stride=stride)).eval()
    assert len(network.stages) == taps
    assert network.logit.in_channels == 32 * taps
    for height, width in ((64, 96), (37, 50)):
        logits = network(torch.randn(2, 3, height, width))
        assert logits.shape == (2, (height - 1) // 4 + 1, (width - 1) // 4 + 1)


def test_first_stage_is_the_papers_stem_after_max_pooling():
    network = BoundaryNet(Backbone(name="resnet18"))
    images = torch.randn(1, 3, 45, 70)
    with torch.no_grad():
        stem = network.backbone(images)[0]
        pooled = network._to_stride_4(stem, network.strides[0])
        torch.testing.assert_close(pooled, network.backbone.maxpool(stem))


def test_only_the_head_is_trained_and_the_backbone_stays_in_evaluation_mode():
    network = BoundaryNet(Backbone(name="resnet10t")).train()
    assert not any(module.training for module in network.backbone.modules())
    assert all(module.training for module in network.stages.modules())
    before = {k: v.clone() for k, v in network.backbone.state_dict().items()}
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(p.grad is None for p in network.backbone.parameters())
    assert all(p.grad is not None for p in network.stages.parameters())
    assert all((before[k] == v).all() for k, v in network.backbone.state_dict().items())
    head = [n for n, p in network.named_parameters() if p.requires_grad]
    assert head[:3] == ["stages.0.0.weight", "stages.0.1.weight", "stages.0.1.bias"]
    assert head[-2:] == ["logit.weight", "logit.bias"]


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_100"])
def test_takes_the_backbone_of_a_trained_classifier(tmp_path, name):
    from wsss.nn.cam_network import CamNetwork

    backbone = Backbone(name=name, weights="classifier")
    classifier = CamNetwork(backbone, 3).eval()
    path = tmp_path / "model.safetensors"
    save_model(path, classifier, {"kind": "classifier"})
    network = BoundaryNet(backbone)
    initialise(network.backbone, backbone, path)
    trained = classifier.state_dict()
    own = network.backbone.state_dict()
    assert own and all((trained[f"backbone.{k}"] == v).all() for k, v in own.items())


def test_model_file_round_trip(tmp_path, network_recipe):
    recipe = network_recipe()
    network = BoundaryNet(recipe.backbone).eval()
    path = tmp_path / "model.safetensors"
    about = {"kind": "affinity", "recipe": recipe.model_dump(mode="json"), "classes": ["cat"]}
    save_model(path, network, about)
    read, read_recipe, header = load_network(path)
    assert read_recipe == recipe and header["classes"] == ["cat"]
    images = torch.randn(1, 3, 40, 40)
    assert torch.equal(read.eval()(images), network(images))


def test_a_classifier_is_refused_as_a_model(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, torch.nn.Linear(1, 1), {"kind": "classifier"})
    with pytest.raises(UserError, match="holds a classifier, but a affinity"):
        load_network(path)
    save_file(build_pyramid(Backbone(name="resnet10t")).state_dict(), path)
    with pytest.raises(UserError, match="not written by wsss"):
        load_network(path)


def test_a_state_of_another_backbone_is_refused(tmp_path, network_recipe):
    recipe = network_recipe()
    network = BoundaryNet(recipe.backbone)
    network.logit = torch.nn.Conv2d(7, 1, 1)
    path = tmp_path / "model.safetensors"
    save_model(path, network, {"kind": "affinity", "recipe": recipe.model_dump(mode="json")})
    with pytest.raises(UserError, match=r"does not fit its own recipe \(.*\); train it again"):
        load_network(path)
