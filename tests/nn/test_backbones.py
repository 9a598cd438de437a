import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from wsss.core.errors import UserError
from wsss.core.files.model_file import save_model
from wsss.nn.backbones import (
    build_pyramid,
    build_trunk,
    freeze,
    freeze_batch_norm,
    initialise,
    load_weights,
)
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


def table():
    """Rows of the page's table of networks: name, strides, channels, million parameters."""
    page = (Path(__file__).parents[2] / "docs/backbones.md").read_text()
    section = page.split("| `name` | `output_stride` |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:5]] for line in section.splitlines()]
    rows = rows[2:]  # the rest of the header and its rule
    return [(n, {int(s) for s in ss.split(",")}, int(c), m) for n, ss, c, m in rows]


def on_meta(build, recipe):
    with torch.device("meta"):
        return build(recipe)


def backbone(name, **fields):
    stride = {"wide_resnet38": 8, "vit_tiny_patch16_224": 16, "swin_tiny_patch4_window7_224": 32}
    return Backbone(name=name, **({"output_stride": stride.get(name, 16)} | fields))


def test_the_page_names_the_networks_that_were_asked_for():
    assert {
        *("resnet50", "resnet101", "resnest50d", "resnest101e", "resnest269e", "seresnet50"),
        *("vgg16", "vgg16_bn", "efficientnet_b0", "mobilenetv2_100", "wide_resnet38"),
        *("vit_small_patch16_224", "deit_small_patch16_224", "swin_tiny_patch4_window7_224"),
    } <= {row[0] for row in table()}


@pytest.mark.parametrize(("name", "strides", "channels", "millions"), table())
def test_the_page_states_strides_channels_and_size(name, strides, channels, millions):
    for stride in (8, 16, 32):
        if stride not in strides:
            with pytest.raises((UserError, ValueError), match=rf"gives stride \d+, not {stride}"):
                on_meta(build_trunk, Backbone(name=name, output_stride=stride))
            continue
        trunk = on_meta(build_trunk, Backbone(name=name, output_stride=stride)).eval()
        assert trunk.num_features == channels
        with torch.no_grad():
            out = trunk(torch.empty(2, 3, 65, 97, device="meta"))
        assert out.shape == (2, channels, -(-65 // stride), -(-97 // stride))
    assert f"{sum(p.numel() for p in trunk.parameters()) / 1e6:.1f}" == millions
    if name != "wide_resnet38":
        whole = on_meta(timm.create_model, name).state_dict()
        assert {k: v.shape for k, v in trunk.state_dict().items()}.items() <= {
            k: v.shape for k, v in whole.items()
        }.items()


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_trunk_has_the_asked_output_stride(stride):
    trunk = build_trunk(Backbone(name="resnet10t", output_stride=stride))
    out = trunk(torch.zeros(2, 3, 64, 97))
    assert out.shape == (2, trunk.num_features, 64 // stride, -(-97 // stride))
    assert trunk.training


def test_looking_at_the_stride_draws_no_random_numbers():
    torch.manual_seed(5)
    trunk = build_trunk(TINY)
    after = torch.get_rng_state()
    torch.manual_seed(5)
    plain = timm.create_model("resnet10t", num_classes=0, global_pool="", output_stride=16)
    assert torch.equal(after, torch.get_rng_state())
    assert same(trunk, plain.state_dict())


def test_an_unknown_network_is_named_with_a_near_one():
    with pytest.raises(UserError, match=r"no model 'resnet5O'.*did you mean 'resnet50'"):
        build_trunk(Backbone(name="resnet5O"))


@pytest.mark.parametrize(
    ("name", "asked", "line"),
    [
        ("vit_tiny_patch16_224", 8, "gives stride 16, not 8; set output_stride: 16"),
        ("swin_tiny_patch4_window7_224", 16, "gives stride 32, not 16; set output_stride: 32"),
        ("densenet121", 16, "gives stride 32, not 16; set output_stride: 32"),
        ("eva02_tiny_patch14_224", 16, "gives stride 14, not 16; choose another network"),
        ("mixer_s16_224", 16, "cannot take images of any size"),
        ("mvitv2_tiny", 32, "no feature maps; choose another network"),
        ("inception_next_atto", 32, "cannot build 'inception_next_atto' as feature maps"),
    ],
)
def test_an_impossible_network_or_stride_is_one_line(name, asked, line):
    with pytest.raises(UserError) as error:
        on_meta(build_trunk, Backbone(name=name, output_stride=asked))
    assert name in str(error.value) and line in str(error.value) and "\n" not in str(error.value)


def test_channels_are_those_of_the_maps_where_the_head_begins_with_a_convolution():
    trunk = on_meta(build_trunk, Backbone(name="mobilenetv3_small_050", output_stride=32))
    assert trunk.num_features == trunk.eval()(torch.empty(1, 3, 64, 64, device="meta")).shape[1]


def test_every_convolutional_network_of_the_page_has_a_pyramid_with_stride_4():
    for name, strides, channels, _ in table():
        if not name.startswith(("vit", "deit", "swin")):
            stride = 32 if name.startswith("vgg") else min(strides)
            pyramid = on_meta(build_pyramid, Backbone(name=name, output_stride=stride))
            assert {4, stride} <= set(pyramid.feature_info.reduction())
            assert name in ("efficientnet_b0", "mobilenetv2_100") or (
                pyramid.feature_info.channels()[-1] == channels
            )


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_pyramid_of_a_transformer_is_refused(name):
    with pytest.raises(UserError, match=f"'{name}' as a pyramid.*convolutional network"):
        on_meta(build_pyramid, backbone(name))


def test_a_pyramid_of_another_stride_is_refused():
    with pytest.raises(UserError, match="cannot build 'densenet121' as a pyramid"):
        on_meta(build_pyramid, backbone("densenet121"))


def test_vit_maps_are_its_patch_tokens_in_reading_order():
    trunk = build_trunk(backbone("vit_tiny_patch16_224")).eval()
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        maps, tokens = trunk(images), trunk.forward_features(images)
    assert maps.shape == (2, 192, 2, 3) and tokens.shape == (2, 1 + 6, 192)
    for y in range(2):
        for x in range(3):
            assert torch.equal(maps[:, :, y, x], tokens[:, 1 + 3 * y + x])


def test_swin_maps_are_its_last_features():
    trunk = build_trunk(backbone("swin_tiny_patch4_window7_224")).eval()
    images = torch.rand(1, 3, 36, 100)
    with torch.no_grad():
        maps, features = trunk(images), trunk.forward_features(images)
    assert maps.shape == (1, 768, 2, 4)
    for y in range(2):
        for x in range(4):
            assert torch.equal(maps[:, :, y, x], features[:, y, x])


@pytest.mark.parametrize(
    ("name", "patch"), [("vit_tiny_patch16_224", 16), ("swin_tiny_patch4_window7_224", 4)]
)
def test_transformers_pad_with_zero_at_the_right_and_below(name, patch):
    trunk = build_trunk(backbone(name)).eval()
    images = torch.rand(1, 3, 33, 50)
    padded = torch.zeros(1, 3, 33 + -33 % patch, 50 + -50 % patch)
    padded[..., :33, :50] = images
    with torch.no_grad():
        assert torch.equal(trunk(images), trunk(padded))


def test_a_vit_learns_as_a_cam_network():
    network = CamNetwork(backbone("vit_tiny_patch16_224"), 3)
    network(torch.rand(2, 3, 40, 24)).maps.square().sum().backward()
    missing = [k for k, p in network.named_parameters() if p.grad is None]
    assert missing == []


def test_weights_of_a_vit(tmp_path):
    torch.manual_seed(1)
    whole = timm.create_model("vit_tiny_patch16_224").state_dict()
    save_file(whole, tmp_path / "w.safetensors")
    trunk = build_trunk(backbone("vit_tiny_patch16_224"))
    load_weights(trunk, tmp_path / "w.safetensors")
    assert same(trunk, whole)
    save_file(whole | {"pos_embed": torch.zeros(1, 577, 192)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"'pos_embed' has shape \(1, 577, 192\), the network"):
        load_weights(trunk, tmp_path / "w.safetensors")


def test_vgg_at_stride_8_has_the_maps_of_stride_16_at_every_second_place():
    fine, coarse = (build_trunk(backbone("vgg11", output_stride=s)).eval() for s in (8, 16))
    fine.load_state_dict(coarse.state_dict())
    images = torch.rand(1, 3, 97, 128)
    with torch.no_grad():
        torch.testing.assert_close(fine(images)[..., ::2, ::2], coarse(images))
    assert [stage["reduction"] for stage in fine.feature_info] == [1, 2, 4, 8, 8, 8]


def test_vgg_at_stride_16_lacks_only_the_last_pooling():
    trunk, whole = (build_trunk(backbone("vgg11", output_stride=s)).eval() for s in (16, 32))
    whole.load_state_dict(trunk.state_dict())
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        pooled = torch.nn.functional.max_pool2d(trunk(images), 2)
        assert torch.equal(pooled, whole(images))
        reference = timm.create_model("vgg11", num_classes=0, mlp_ratio=1 / 4096)
        reference.features.load_state_dict(trunk.features.state_dict())
        assert torch.equal(pooled, reference.forward_features(images))


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


def broken(path, kind):
    old = {"_use_new_zipfile_serialization": False}
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind in ("1", "1000"):
        torch.save({"conv1.weight": torch.rand(64, 3, 7, 7)}, path, **old)
        path.write_bytes(path.read_bytes()[: int(kind)])
    elif kind == "a list":
        torch.save({"state_dict": [1, 2]}, path)
    elif kind == "a number":
        torch.save({"conv1.weight": torch.rand(1), 3: torch.rand(1)}, path)
    else:
        torch.save({"conv1.weight": torch.tensor([1.0, float(kind)])}, path)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        *((kind, "not a readable weights file") for kind in ("empty", "text", "1", "1000")),
        ("a list", "no weights in it"),
        ("a number", "no weights in it"),
        ("nan", "'conv1.weight' has values that are not finite"),
        ("inf", "'conv1.weight' has values that are not finite"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, kind, says):
    broken(tmp_path / "w.pth", kind)
    with pytest.raises(UserError, match=says) as caught:
        load_weights(build_trunk(TINY), tmp_path / "w.pth")
    assert "w.pth: " in str(caught.value) and "\n" not in str(caught.value)


def test_recipe_and_weights_must_agree(tmp_path):
    trunk = build_trunk(TINY)
    with pytest.raises(UserError, match=r"backbone\.weights is null"):
        initialise(trunk, TINY, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"backbone\.weights is 'timm:x'; give its file"):
        initialise(trunk, Backbone(name="resnet10t", weights="timm:x"), None)
    with pytest.raises(UserError, match="no such weights file"):
        initialise(trunk, Backbone(name="resnet10t", weights="w.pth"), tmp_path / "w.pth")


def step(network, images):
    """The names of what one training step changes."""
    network.train()
    for key, value in network.state_dict().items():
        if key.endswith("bn2.weight"):
            value.fill_(1)  # timm begins with 0 at a block's end: no gradient before it
    before = {k: v.clone() for k, v in network.state_dict().items()}
    out = network(images)
    (out if isinstance(out, torch.Tensor) else out[-1]).sum().backward()
    torch.optim.SGD([p for p in network.parameters() if p.grad is not None], lr=1.0).step()
    return {k for k, v in network.state_dict().items() if not torch.equal(before[k], v)}


RUNNING = ("running_mean", "running_var", "num_batches_tracked")
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 5


def is_affine(key, network):
    owner = network.get_submodule(key.rpartition(".")[0])
    return isinstance(owner, torch.nn.BatchNorm2d) and not key.endswith(RUNNING)


@pytest.mark.parametrize("build", [build_trunk, build_pyramid])
@pytest.mark.parametrize(
    ("mode", "statistics", "affine"),
    [("train", True, True), ("eval", False, True), ("frozen", False, False)],
)
def test_batch_norm_modes_last_through_training_mode(build, mode, statistics, affine):
    network = build(TINY)
    freeze(network, Backbone(name="resnet10t", batch_norm=mode))
    changed = step(network, IMAGES)
    assert any(k.endswith(RUNNING) for k in changed) == statistics
    assert any(is_affine(k, network) for k in changed) == affine
    assert any(".conv" in k for k in changed)


def test_freezing_batch_norm_alone():
    trunk = build_trunk(TINY)
    freeze_batch_norm(trunk)
    changed = step(trunk, IMAGES)
    assert changed and not any(k.endswith(RUNNING) or is_affine(k, trunk) for k in changed)


def prefixes(keys):
    return {key.split(".")[0] for key in keys}


@pytest.mark.parametrize("build", [build_trunk, build_pyramid])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_frozen_stages_of_a_resnet(build, mode):
    blocks = ["conv1", "layer1", "layer2", "layer3", "layer4"]
    for stages in (0, 1, 3, 5):
        network = build(TINY)
        freeze(network, Backbone(name="resnet10t", batch_norm=mode, frozen_stages=stages))
        changed = step(network, IMAGES) if stages < 5 else set()
        assert prefixes(changed) - {"bn1"} == set(blocks[stages:] if stages < 5 else [])
        assert all("bn1" not in key or key.startswith("layer") for key in changed if stages)
        trains = {k for k, p in network.named_parameters() if p.requires_grad}
        assert prefixes(trains) - {"bn1"} == set(blocks[stages:])


@pytest.mark.parametrize(
    ("name", "stages", "frozen", "trained"),
    [
        ("resnet50", 1, "bn1.bias", "layer1.0.conv1.weight"),
        ("resnest101e", 2, "layer1.2.bn3.bias", "layer2.0.conv1.weight"),
        ("mobilenetv2_100", 1, "blocks.0.0.bn2.bias", "blocks.1.0.conv_pw.weight"),
        ("mobilenetv2_100", 2, "blocks.1.1.bn3.bias", "blocks.2.0.conv_pw.weight"),
        ("vgg16", 1, "features.2.bias", "features.5.weight"),
        ("vgg16_bn", 2, "features.11.bias", "features.14.weight"),
        ("wide_resnet38", 1, "conv1a.weight", "b2.bn_branch2a.weight"),
        ("wide_resnet38", 2, "b2_2.conv_branch2b1.weight", "b3.bn_branch2a.weight"),
        ("vit_tiny_patch16_224", 1, "blocks.0.mlp.fc2.bias", "blocks.1.norm1.weight"),
        ("swin_tiny_patch4_window7_224", 1, "layers.0.blocks.1.mlp.fc2.bias", None),
    ],
)
def test_where_the_frozen_stages_end(name, stages, frozen, trained):
    recipe = backbone(name, frozen_stages=stages)
    trunk = on_meta(build_trunk, recipe)
    freeze(trunk, recipe)
    flags = {key: p.requires_grad for key, p in trunk.named_parameters()}
    last = list(flags).index(frozen)
    assert list(flags.values()) == [False] * (last + 1) + [True] * (len(flags) - last - 1)
    assert trained is None or list(flags)[last + 1] == trained


@pytest.mark.parametrize("name", ["mobilenetv2_100", "convnext_atto", "resnest14d"])
def test_a_pyramid_freezes_the_same_stages_as_a_trunk(name):
    trained = []
    for build in (build_trunk, build_pyramid):
        recipe = Backbone(name=name, frozen_stages=3)
        network = on_meta(build, recipe)
        freeze(network, recipe)
        trained.append(
            {k.replace(".", "_") for k, p in network.named_parameters() if p.requires_grad}
        )
    # A pyramid lacks what follows the last stage.
    assert trained[1] and trained[1] <= trained[0]
    assert not {k for k in trained[0] - trained[1] if k.startswith(("stages", "blocks", "layer"))}


def test_too_many_frozen_stages_are_refused():
    recipe = Backbone(name="resnet10t", frozen_stages=6)
    with pytest.raises(UserError, match=r"'resnet10t' has 5 stages \(act1, layer1.*set it to 5 at"):
        freeze(build_trunk(recipe), recipe)


def test_a_network_without_stages_says_so():
    recipe = Backbone(name="resnet10t", frozen_stages=1)
    with pytest.raises(UserError, match="timm lists no stages of 'resnet10t'; set it to 0"):
        freeze(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), recipe)


def test_wide_resnet38_has_one_stride():
    with pytest.raises(UserError, match="wide_resnet38 gives stride 8, not 16; set output_stride"):
        Backbone.from_json('{"name": "wide_resnet38"}')
