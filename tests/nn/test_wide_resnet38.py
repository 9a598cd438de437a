import torch
from torch.nn.functional import batch_norm, conv2d

from wsss.nn.backbones import build_pyramid, build_trunk, freeze
from wsss.nn.recipe import Backbone
from wsss.nn.wide_resnet38 import Block, Bottleneck, WideResNet38

RECIPE = Backbone(name="wide_resnet38", output_stride=8)


def on_meta(build):
    with torch.device("meta"):
        return build()


def test_number_of_parameters_summed_by_hand():
    def block(c, mid, out, shortcut):
        return 2 * c + 9 * c * mid + 2 * mid + 9 * mid * out + shortcut * c * out

    def bottleneck(c, out):
        quarter, half = out // 4, out // 2
        norms = 2 * (c + quarter + half)
        return norms + c * quarter + 9 * quarter * half + half * out + c * out

    hand = (
        27 * 64
        + block(64, 128, 128, 1) + 2 * block(128, 128, 128, 0)
        + block(128, 256, 256, 1) + 2 * block(256, 256, 256, 0)
        + block(256, 512, 512, 1) + 5 * block(512, 512, 512, 0)
        + block(512, 512, 1024, 1) + 2 * block(1024, 512, 1024, 0)
        + bottleneck(1024, 2048) + bottleneck(2048, 4096)
        + 2 * 4096
    )  # fmt: skip
    network = on_meta(WideResNet38)
    assert sum(p.numel() for p in network.parameters()) == hand


def test_strides_and_dilations_of_every_3x3_convolution():
    found = {
        name: (module.stride[0], module.dilation[0], module.padding[0])
        for name, module in on_meta(WideResNet38).named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3)
    }
    assert len(found) == 1 + 2 * (3 + 3 + 6 + 3) + 2
    special = {
        "b2.conv_branch2a": (2, 1, 1),
        "b3.conv_branch2a": (2, 1, 1),
        "b4.conv_branch2a": (2, 1, 1),
        "b5.conv_branch2b1": (1, 2, 2),
        "b5_1.conv_branch2a": (1, 2, 2),
        "b5_1.conv_branch2b1": (1, 2, 2),
        "b5_2.conv_branch2a": (1, 2, 2),
        "b5_2.conv_branch2b1": (1, 2, 2),
        "b6.conv_branch2b1": (1, 4, 4),
        "b7.conv_branch2b1": (1, 4, 4),
    }
    assert found == {name: special.get(name, (1, 1, 1)) for name in found}


def randomised(module):
    generator = torch.Generator().manual_seed(3)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return module.eval()


def activated(x, p, name):
    """relu(bn(x)) by the state's values."""
    values = [p[f"{name}.{v}"] for v in ("running_mean", "running_var", "weight", "bias")]
    return batch_norm(x, *values).clamp(min=0)


def test_a_block_with_projection_by_hand():
    block = randomised(Block(4, 6, 8, stride=2))
    p = block.state_dict()
    x = torch.randn(2, 4, 7, 10)
    y = activated(x, p, "bn_branch2a")
    shortcut = conv2d(y, p["conv_branch1.weight"], stride=2)
    y = conv2d(y, p["conv_branch2a.weight"], stride=2, padding=1)
    y = conv2d(activated(y, p, "bn_branch2b1"), p["conv_branch2b1.weight"], padding=1)
    kept = x.clone()
    torch.testing.assert_close(block(x), shortcut + y)
    assert block(x).shape == (2, 8, 4, 5) and torch.equal(x, kept)


def test_a_block_without_projection_by_hand():
    block = randomised(Block(8, 4, 8, dilations=(1, 2)))
    p = block.state_dict()
    assert not any("branch1" in key for key in p)
    x = torch.randn(2, 8, 6, 9)
    y = conv2d(activated(x, p, "bn_branch2a"), p["conv_branch2a.weight"], padding=1)
    y = activated(y, p, "bn_branch2b1")
    y = conv2d(y, p["conv_branch2b1.weight"], padding=2, dilation=2)
    torch.testing.assert_close(block(x), x + y)


def test_a_bottleneck_by_hand():
    block = randomised(Bottleneck(6, 8, dropout=0.5))
    p = block.state_dict()
    x = torch.randn(2, 6, 9, 11)
    y = activated(x, p, "bn_branch2a")
    shortcut = conv2d(y, p["conv_branch1.weight"])
    y = activated(conv2d(y, p["conv_branch2a.weight"]), p, "bn_branch2b1")
    y = conv2d(y, p["conv_branch2b1.weight"], padding=4, dilation=4)
    y = conv2d(activated(y, p, "bn_branch2b2"), p["conv_branch2b2.weight"])
    torch.testing.assert_close(block(x), shortcut + y)


def test_a_bottleneck_drops_whole_channels_in_training_only():
    torch.manual_seed(0)
    block = randomised(Bottleneck(6, 64, dropout=0.5))
    seen = []
    block.conv_branch2b2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.rand(1, 6, 5, 5)
    block(x)
    for module in block.modules():
        module.training = not isinstance(module, torch.nn.BatchNorm2d)
    block(x)
    alive = [s.flatten(2).bool().any(-1) for s in seen]
    assert alive[0].all() and 0 < alive[1].float().mean() < 1


def test_maps_of_any_size_at_stride_8():
    network = on_meta(WideResNet38).eval()
    out = network(torch.empty(2, 3, 65, 130, device="meta"))
    assert out.shape == (2, network.num_features, 9, 17)
    # The last bn7 and ReLU: class maps are a 1×1 convolution of values that are not negative.
    assert [name for name, _ in network.named_children()][-3:] == ["b7", "bn7", "relu7"]


def test_psa_and_oc_cse_freeze_conv1a_b2_and_every_batch_norm():
    recipe = RECIPE.model_copy(update={"frozen_stages": 2, "batch_norm": "frozen"})
    network = on_meta(lambda: build_trunk(recipe))
    freeze(network, recipe)
    network.train()
    trained = {key for key, p in network.named_parameters() if p.requires_grad}
    assert trained == {
        key
        for key, _ in network.named_parameters()
        if "conv_branch" in key and not key.startswith(("b2.", "b2_"))
    }
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not any(m.training for m in norms) and len(norms) == 2 * 15 + 2 * 3 + 1


def test_a_pyramid_taps_every_stage():
    pyramid = on_meta(lambda: build_pyramid(RECIPE)).eval()
    info = pyramid.feature_info
    features = pyramid(torch.empty(1, 3, 40, 72, device="meta"))
    assert info.reduction() == [1, 2, 4, 8, 8, 8, 8]
    assert [tuple(f.shape) for f in features] == [
        (1, c, 40 // s, 72 // s) for c, s in zip(info.channels(), info.reduction(), strict=True)
    ]
    assert set(pyramid.state_dict()) == set(on_meta(WideResNet38).state_dict())
