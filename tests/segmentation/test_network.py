import os
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file

from wsss.core.errors import UserError
from wsss.core.files.model_file import save_model
from wsss.nn.backbones import initialise, load_weights
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone
from wsss.segmentation.network import DeepLabV3Plus, load_segmenter

TINY = Backbone(name="resnet10t")


@pytest.mark.parametrize("stride", [8, 16])
def test_equals_the_library_where_the_sides_divide_by_the_stride(stride):
    rates = [rate * 16 // stride for rate in (6, 12, 18)]
    reference = smp.DeepLabV3Plus(
        "tu-resnet10t",
        encoder_weights=None,
        encoder_output_stride=stride,
        decoder_atrous_rates=rates,
        classes=3,
        upsampling=1,
    ).eval()
    network = DeepLabV3Plus(Backbone(name="resnet10t", output_stride=stride), 3).eval()
    names = {"encoder.model": "backbone", "decoder": "decoder", "segmentation_head.0": "head"}
    state = {}
    for key, value in reference.state_dict().items():
        old = next(name for name in names if key.startswith(name))
        state[names[old] + key.removeprefix(old)] = value
    network.load_state_dict(state)
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), reference(images))


@pytest.mark.parametrize("stride", [8, 16])
def test_the_last_features_have_the_asked_stride(stride):
    network = DeepLabV3Plus(Backbone(name="mobilenetv2_100", output_stride=stride), 3).eval()
    with torch.inference_mode():
        features = network.backbone(torch.zeros(1, 3, 64, 96))
    assert features[-1].shape[2:] == (64 // stride, 96 // stride)
    assert features[network._low].shape[2:] == (16, 24)
    dilations = [c[0][0].dilation[0] for c in list(network.decoder.aspp[0].convs)[1:4]]
    assert dilations == [6 * 16 // stride, 12 * 16 // stride, 18 * 16 // stride]


@pytest.mark.parametrize("size", [(33, 50), (48, 47), (1, 1)])
def test_any_size_gives_logits_at_stride_4(size):
    network = DeepLabV3Plus(TINY, 5).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, *size))
    assert logits.shape == (1, 5, -(-size[0] // 4), -(-size[1] // 4))


def test_frozen_batch_norm_is_the_backbones_only():
    network = DeepLabV3Plus(TINY.model_copy(update={"batch_norm": "frozen"}), 3).train()
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    inside = {id(m) for m in network.backbone.modules()}
    assert all(m.training == (id(m) not in inside) for m in norms)
    assert all(m.weight.requires_grad == (id(m) not in inside) for m in norms)


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_100", "convnext_atto"])
def test_takes_weights_in_timms_naming(name, tmp_path):
    torch.manual_seed(1)
    source = timm.create_model(name, output_stride=16).eval()
    save_file(source.state_dict(), tmp_path / "timm.safetensors")
    network = DeepLabV3Plus(Backbone(name=name), 3).eval()
    load_weights(network.backbone, tmp_path / "timm.safetensors")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = source.forward_intermediates(images, intermediates_only=True)
        found = network.backbone(images)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)  # BatchNorm is folded


def test_takes_the_backbone_of_a_trained_classifier(tmp_path):
    classifier = CamNetwork(TINY, 4).eval()
    save_model(tmp_path / "model.safetensors", classifier, {"kind": "classifier"})
    network = DeepLabV3Plus(TINY, 3).eval()
    recipe = TINY.model_copy(update={"weights": "classifier"})
    initialise(network.backbone, recipe, tmp_path / "model.safetensors")
    images = torch.randn(1, 3, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(network.backbone(images)[-1], classifier.backbone(images))


def test_takes_published_weights():
    folder = os.environ.get("WSSS_WEIGHTS")
    if not folder:
        pytest.skip("WSSS_WEIGHTS names no folder with mobilenetv2_100.imagenet.fp16.safetensors")
    path = Path(folder) / "mobilenetv2_100.imagenet.fp16.safetensors"
    network = DeepLabV3Plus(Backbone(name="mobilenetv2_100", batch_norm="frozen"), 3)
    load_weights(network.backbone, path)
    stem = network.backbone.bn1
    # Folded: the statistics are those of the identity.
    assert torch.all(stem.running_mean == 0) and torch.all(stem.weight == 1)
    assert network.backbone.conv_stem.weight.abs().max() > 0.5


def test_a_model_of_another_kind_is_refused(tmp_path):
    save_model(tmp_path / "m.safetensors", CamNetwork(TINY, 2), {"kind": "classifier"})
    with pytest.raises(UserError, match="holds a classifier, but a segmentation is needed"):
        load_segmenter(tmp_path / "m.safetensors")
