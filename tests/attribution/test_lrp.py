import copy
from collections import Counter

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from wsss.attribution.classifier import Classifier
from wsss.attribution.lrp.lrp import lrp
from wsss.nn.cam_network import CamNetwork
from wsss.nn.folding import fold_batch_norm
from wsss.nn.head_recipe import Head
from wsss.nn.recipe import Backbone
from wsss.nn.wide_resnet38 import Block

BOX = {"low": [-5.0] * 3, "high": [5.0] * 3}
COMPOSITES = [
    ("epsilon", {}),
    ("epsilon-plus", {}),
    ("alpha2-beta1", {}),
    ("epsilon-gamma-box", BOX),
]


def pixels(count=2, size=64, dtype=torch.float64):
    return torch.randn(count, 3, size, size, dtype=dtype).clamp(-5, 5)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def of(network, layer=None):
    if isinstance(network, CamNetwork):
        return Classifier.of_cam_network(network)
    return Classifier(network, layer or next(name for name, _ in network.named_children()))


def gradient_times_input(network, images, found):
    x = images.clone().requires_grad_()
    logits = of(network).logits(x)
    out = []
    for image, label in zip(found.images, found.classes, strict=True):
        (gradient,) = torch.autograd.grad(logits[image, label], x, retain_graph=True)
        out.append((gradient * x)[image].sum(0))
    known = logits.detach().to(found.logits)  # a CamHead's are float32
    torch.testing.assert_close(found.logits, known, rtol=1e-5, atol=1e-5)
    return torch.stack(out).detach()


def assert_gradient_times_input(network, images, selection=(0, 1)):
    network = network.double().eval()
    found = lrp(of(network), images, list(selection), composite="epsilon", epsilon=0)
    expected = gradient_times_input(network, images, found)
    precision = 1e-6 if isinstance(network, CamNetwork) else 1e-10  # the head is float32
    bound = precision * expected.abs().max()
    torch.testing.assert_close(found.maps, expected, rtol=0, atol=float(bound))


def unbiased(network):
    for module in network.modules():
        for name in ("bias", "running_mean"):
            if isinstance(getattr(module, name, None), torch.Tensor):
                nn.init.zeros_(getattr(module, name))
    return network


class PreActivation(nn.Sequential):
    """WideResNet38's blocks: BatchNorm before convolutions, and of a sum."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 64, 3, padding=1, bias=False),
            Block(64, 64, 96, stride=2),
            Block(96, 64, 96, dilations=(1, 2)),
            nn.BatchNorm2d(96),
            nn.ReLU(True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(96, 4),
        )


class Between(nn.Module):
    """A convolution's output goes to a BatchNorm and around it; one ReLU serves twice."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 5, 3, padding="same"), nn.BatchNorm2d(5)
        self.relu, self.fc = nn.ReLU(), nn.Linear(5, 4)

    def forward(self, x):
        x = self.relu(self.convolution(x))
        y = self.convolution(x[:, :3] * 0.5) / 2
        z = self.norm(y)
        z += y
        y = torch.cat([x, 0.1 + self.relu(z)], 3)
        return self.fc(F.pad(y, (1, 2)).mean((2, 3)))


NETWORKS = {
    "resnet10t": lambda: timm.create_model("resnet10t"),
    "resnet18": lambda: timm.create_model("resnet18"),
    "resnet50": lambda: timm.create_model("resnet50"),
    "vgg16": lambda: timm.create_model("vgg16", mlp_ratio=1 / 64),
    "vgg11_bn": lambda: timm.create_model("vgg11_bn", mlp_ratio=1 / 64),
    "densenet121": lambda: timm.create_model("densenet121"),
    "googlenet": lambda: torchvision.models.googlenet(init_weights=False, aux_logits=False),
    "torchvision-resnet18": torchvision.models.resnet18,
    "pre-activation": PreActivation,
    "between": Between,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_lrp_0_of_a_network_with_relus_is_gradient_times_input(name, shake):
    assert_gradient_times_input(shake(NETWORKS[name]()), pixels(1))


def test_relu6_is_passed(shake):
    network = shake(timm.create_model("mobilenetv2_100"))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.1, 0.4)  # below 6, where it is a ReLU
    assert_gradient_times_input(network, pixels(1))


def test_above_6_relu6_is_passed_too():
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU6(), nn.Flatten())
    network[0].weight.data.fill_(1)
    found = lrp(of(network), torch.full((1, 3, 1, 1), 3.0), [0], composite="epsilon")
    # The logit is 6, of a sum of 9: all of it goes to the pixel.
    torch.testing.assert_close(found.maps, torch.full((1, 1, 1), 6.0))


def test_gates_take_nothing(tiny, monkeypatch):
    network = tiny("se").double()
    images = pixels()
    found = lrp(of(network), images, [0, 1], composite="epsilon", epsilon=0)
    gates = []
    monkeypatch.setattr(
        torch.Tensor, "sigmoid", lambda x: gates.append(x) or torch.sigmoid(x.detach())
    )
    expected = gradient_times_input(network, images, found)
    assert gates
    torch.testing.assert_close(found.maps, expected)


def test_silu_is_passed_as_a_gated_signal_is():
    class Own(nn.Module):
        def forward(self, x):
            return x * x.sigmoid()

    networks = [
        nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.Conv2d(4, 2, 6), nn.Flatten())
        for activation in (nn.SiLU(), Own())
    ]
    networks[1].load_state_dict(networks[0].state_dict())
    images = pixels(2, 8, torch.float32)
    one, other = (lrp(of(n), images, [0, 1]) for n in networks)
    torch.testing.assert_close(one.maps, other.maps)


class Flat(nn.Sequential):
    """captum has no rule for the module nn.Flatten."""

    def forward(self, x):
        for module in self:
            x = module(x.flatten(1) if isinstance(module, nn.Linear) else x)
        return x


@pytest.mark.parametrize("head", [{}, {"kernel": {"kind": "kur"}}, {"pooling": {"kind": "tap"}}])
def test_this_workflows_networks(head, shake):
    recipe = Backbone(name="resnet10t", output_stride=16)
    network = shake(CamNetwork(recipe, 4, Head.model_validate(head)))
    assert_gradient_times_input(network, pixels(1, size=50))


def test_the_head_is_a_linear_layer_of_means(shake):
    network = shake(CamNetwork(Backbone(name="resnet10t", output_stride=16), 4))
    fc = nn.Linear(network.backbone.num_features, 4, bias=False)
    fc.weight = nn.Parameter(network.head.weight.flatten(1))
    plain = nn.Sequential(network.backbone, nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc)
    images = pixels(1, size=34, dtype=torch.float32)
    for name, options in COMPOSITES:
        one, other = (
            lrp(of(n), images, [0, 3], composite=name, **options) for n in (network, plain)
        )
        torch.testing.assert_close(one.maps, other.maps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("composite, options", COMPOSITES)
def test_batch_norm_counts_as_part_of_its_convolution(tiny, composite, options):
    network = tiny("resnet").double()
    folded = copy.deepcopy(network)
    assert fold_batch_norm(folded) > 0
    images = pixels()
    one, other = (
        lrp(of(n), images, [0, 2], composite=composite, **options) for n in (network, folded)
    )
    torch.testing.assert_close(one.maps, other.maps)
    assert one.maps.abs().amax() > 0


@pytest.mark.parametrize("build", [PreActivation, lambda: timm.create_model("resnet10t")])
@pytest.mark.parametrize(
    "composite, options",
    [
        ("epsilon", {"epsilon": 0}),
        ("epsilon-plus", {"epsilon": 0}),
        ("epsilon-gamma-box", {"epsilon": 0, **BOX}),
        ("alpha2-beta1", {"epsilon": 0, "alpha": 1.5, "beta": 0.5}),
    ],
)
def test_without_biases_relevance_is_conserved(build, composite, options, shake):
    network = unbiased(shake(build())).double()
    found = lrp(of(network), pixels(size=48), [0, 2], composite=composite, **options)
    s = found.logits[found.images, found.classes]
    # Of a unit without negative contributions αβ shares out α in the place of α − β: there are few.
    precision = 1e-4 if composite == "alpha2-beta1" else 1e-9
    torch.testing.assert_close(found.maps.sum((1, 2)), s, rtol=precision, atol=0)


def test_biases_and_epsilon_keep_some(residual):
    images = torch.randn(2, 3, 16, 16)
    found = lrp(of(residual), images, [0], composite="epsilon-plus")
    s = found.logits[:, 0]
    assert (found.maps.sum((1, 2)).abs() < 0.99 * s.abs()).all()
    unbiased(residual)
    sums = [
        lrp(of(residual), images, [0], composite="epsilon", epsilon=e).maps.sum((1, 2))
        for e in (0, 0.01)
    ]
    s = lrp(of(residual), images, [0]).logits[:, 0]
    torch.testing.assert_close(sums[0], s, rtol=1e-3, atol=1e-4)
    assert ((sums[1] - s).abs() > 0.01 * s.abs()).all()


def test_epsilon_step_by_step():
    c1, fc = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Linear(4, 2)
    network = nn.Sequential(c1, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc).double()
    x, eps = torch.rand(2, 3, 8, 8, dtype=torch.float64), 1e-3

    def stable(z):
        return z + eps * torch.where(z < 0, -1, 1)

    with torch.no_grad():
        z = c1(x)
        h = z.relu()
        means = h.mean((2, 3))
        s = fc(means)
        start = s * torch.tensor([0.0, 1.0])
        r = means * ((start / stable(s)) @ fc.weight)
        r = h / h.sum((2, 3), keepdim=True) * r[:, :, None, None]
        r = x * F.conv_transpose2d(r / stable(z), c1.weight, stride=2, padding=1, output_padding=1)
    found = lrp(of(network), x, [1], composite="epsilon", epsilon=eps)
    torch.testing.assert_close(found.maps, r.sum(1))
    assert (found.maps.sum((1, 2)) - s[:, 1]).abs().min() > 1e-2  # what the biases keep


def test_a_sum_is_shared_by_its_summands():
    class Sum(nn.Module):
        def __init__(self, in_place):
            super().__init__()
            self.branch, self.in_place = nn.Conv2d(3, 3, 1, bias=False), in_place
            self.branch.weight.data = torch.diag(torch.tensor([2.0, 1, -0.5])).view(3, 3, 1, 1)

        def forward(self, x):
            y = self.branch(x)
            if self.in_place:
                y += x
            else:
                y = x + y
            return torch.flatten(y, 1)

    x = torch.tensor([4.0, 1, 8]).view(1, 3, 1, 1)
    for in_place in (True, False):
        # Of the logits 12, 2 and 4 the image itself gets 4, 1 and 8; the branch the rest, and all
        # of that comes to the image again; z⁺ has nothing to give it to in the last.
        found = lrp(of(Sum(in_place)), x, [0, 1, 2], composite="epsilon-plus")
        torch.testing.assert_close(found.maps.flatten(), torch.tensor([12.0, 2, 8]))


def test_a_maximum_takes_all_and_what_windows_share_is_added():
    network = nn.Sequential(nn.MaxPool2d(3, 2), nn.AvgPool2d((1, 2)), nn.Flatten())
    network.append(nn.Linear(3, 1, bias=False))
    network[3].weight.data.fill_(1)
    x = torch.zeros(1, 3, 3, 5)
    x[0, 0, 1, 2] = 5  # in both windows
    x[0, 1, 0, 0], x[0, 1, 2, 4], x[0, 1, 1, 1] = 1, 3, 0.5  # in one each, and no maximum
    expected = torch.zeros(1, 3, 5)
    expected[0, 1, 2], expected[0, 0, 0], expected[0, 2, 4] = 5, 0.5, 1.5
    found = lrp(of(network), x, [0], composite="epsilon", epsilon=0)
    torch.testing.assert_close(found.maps, expected)


def test_z_box_is_for_the_first_convolution_alone():
    first, second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
    network = nn.Sequential(first, nn.ReLU(), second, nn.Flatten()).double()
    x = torch.tensor([0.5, -1, 2], dtype=torch.float64).view(1, 3, 1, 1)
    low, high, g = [-1.0, -2.0, 0.0], [1.0, 0.0, 3.0], 0.25
    found = lrp(of(network), x, [1], composite="epsilon-gamma-box", low=low, high=high, gamma=g)
    with torch.no_grad():
        w, a = second.weight[1, :, 0, 0], first(x).relu().flatten()
        b = second.bias[1]
        p, s = w * a, (w * a).sum() + b
        favoured = [torch.where(q.sign() == s.sign(), 1 + g, 1) * q for q in (p, b)]
        r = favoured[0] / (favoured[0].sum() + favoured[1]) * s
        w = first.weight[:, :, 0, 0]
        l, h = (torch.tensor(bound, dtype=torch.float64) for bound in (low, high))  # noqa: E741
        p = w * x.flatten() - w.clamp(min=0) * l - w.clamp(max=0) * h
        expected = (p / p.sum(1, keepdim=True) * r[:, None]).sum()
    torch.testing.assert_close(found.maps.flatten(), expected[None])


def test_epsilon_is_captums():
    attr = pytest.importorskip("captum.attr")
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    network = Flat(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Linear(8 * 4, 10),
        nn.ReLU(),
        nn.Linear(10, 4),
    ).double()
    images = pixels(3, 16)
    found = lrp(of(network), images, [0, 3], composite="epsilon", epsilon=0.01)
    for module in network:
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = rules.EpsilonRule(0.01)
        elif isinstance(module, nn.AvgPool2d):
            module.rule = rules.EpsilonRule(1e-15)
    inputs = images[found.images].requires_grad_()
    theirs = attr.LRP(network).attribute(inputs, target=found.classes)
    torch.testing.assert_close(found.maps, theirs.sum(1).detach(), rtol=1e-6, atol=1e-9)


def test_z_plus_is_captums_without_biases():
    attr = pytest.importorskip("captum.attr")
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    network = Flat(
        nn.Conv2d(3, 6, 3, bias=False),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, bias=False),
        nn.ReLU(),
        nn.Linear(8 * 16, 4, bias=False),
    ).double()
    images = pixels(3, 8).abs()
    found = lrp(of(network), images, [0, 3], composite="epsilon-plus", epsilon=0.01)
    network[0].rule, network[2].rule = rules.Alpha1_Beta0_Rule(), rules.Alpha1_Beta0_Rule()
    network[4].rule = rules.EpsilonRule(0.01)
    inputs = images[found.images].requires_grad_()
    theirs = attr.LRP(network).attribute(inputs, target=found.classes)
    torch.testing.assert_close(found.maps, theirs.sum(1).detach(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("composite, options", COMPOSITES)
def test_images_do_not_depend_on_each_other(residual, labels, composite, options):
    residual.double()
    images = pixels(3, 16)
    together = lrp(of(residual), images, labels, composite=composite, **options)
    assert together.images.tolist() == [0, 0, 1, 2, 2, 2]
    assert together.classes.tolist() == [0, 2, 1, 0, 1, 3]
    assert together.maps.shape == (6, 16, 16)
    for place, (image, label) in enumerate(zip(together.images, together.classes, strict=True)):
        alone = lrp(of(residual), images[image][None], [int(label)], composite=composite, **options)
        torch.testing.assert_close(together.maps[place], alone.maps[0])


def test_images_of_inference_mode_are_taken(residual):
    with torch.inference_mode():
        images = pixels(dtype=torch.float32)
    expected = lrp(of(residual), images.clone(), [0]).maps
    torch.testing.assert_close(lrp(of(residual), images, [0]).maps, expected)


def test_no_class_no_map(residual):
    found = lrp(of(residual), torch.randn(2, 3, 16, 20), torch.zeros(2, 4, dtype=torch.bool))
    assert found.maps.shape == (0, 16, 20) and found.logits.shape == (2, 4)


class Counting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.__name__.split(".")[0]] += 1
        return func(*args, **(kwargs or {}))


# Of four convolutions; two have inputs with negative numbers (the image, and the sum).
@pytest.mark.parametrize(
    "composite, options, before, each",
    [
        ("epsilon", {}, 4, 4),
        ("epsilon-plus", {}, 4 + (2 + 2 * 2), 2 + 2 * 2),
        ("alpha2-beta1", {}, 4 + 2 * (2 + 2 * 2), 2 * (2 + 2 * 2)),
        ("epsilon-gamma-box", BOX, 4 + 3 + 2 * (2 + 2), 3 + 3 + 2 * (2 + 2)),
    ],
)
def test_the_forward_pass_and_the_sums_are_shared(residual, composite, options, before, each):
    for classes in (1, 3):
        with Counting() as counting:
            images = pixels(2, 16, torch.float32)
            lrp(of(residual), images, range(classes), composite=composite, **options)
        assert counting.counts["convolution"] == before
        assert counting.counts["convolution_backward"] == classes * each


def test_the_network_is_left_as_it_was(residual):
    residual.stem[0].weight.requires_grad_(False)
    before = [p.requires_grad for p in residual.parameters()]
    images = torch.randn(2, 3, 16, 16)
    logits = residual(images)
    with torch.no_grad():
        found = lrp(of(residual), images, [0])
    assert not found.maps.requires_grad and not found.logits.requires_grad
    assert [p.requires_grad for p in residual.parameters()] == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in residual.modules())
    assert not images.requires_grad
    assert torch.equal(residual(images), logits)
    assert all(p.grad is None for p in residual.parameters())


def test_autocast_is_off(residual):
    images = torch.randn(2, 3, 16, 16)
    expected = lrp(of(residual), images, [0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = lrp(of(residual), images, [0, 1])
    assert torch.equal(found.maps, expected.maps)
