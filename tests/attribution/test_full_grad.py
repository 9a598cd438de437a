import pytest
import timm
import torch
from torch import nn

from wsss.attribution.classifier import Classifier
from wsss.attribution.maps import rescale, resize
from wsss.attribution.methods.full_grad import full_grad, full_gradient
from wsss.core.errors import UserError
from wsss.nn.cam_network import CamNetwork
from wsss.nn.folding import fold_batch_norm
from wsss.nn.head_recipe import Head, TapPooling
from wsss.nn.recipe import Backbone

LABELS = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]]).bool()


def require_complete(network, x, labels=LABELS, atol=1e-9):
    layer = next(name for name, _ in network.named_children())
    found = full_gradient(Classifier(network, layer), x, labels)
    total = sum(found.terms.values())
    torch.testing.assert_close(total, found.maps.logits[labels].to(x), rtol=0, atol=atol)
    return found


def test_terms_of_a_residual_network_make_up_its_logits(residual, images):
    found = require_complete(residual.double(), images.double())
    layers = ["input", "stem.0", "stem.1", "branch.1", "branch.3", "last.1", "fc"]
    assert sorted(found.terms) == sorted(layers)
    torch.testing.assert_close(found.terms["fc"], residual.fc.bias.detach()[LABELS.nonzero()[:, 1]])
    # No term is nothing: the sum would show if one were left out.
    assert all(term.abs().min() > 1e-4 for term in found.terms.values())


def test_terms_by_hand(residual, images):
    network, x = residual.double(), images[:1].double().requires_grad_()
    norm = network.last[1]
    z = {}

    def keep(module, args, output):
        z["last"] = output
        return output.clone()  # which the in-place ReLU behind may write into

    norm.register_forward_hook(keep)
    s = network(x)[0, 2]
    of_image, of_norm = torch.autograd.grad(s, [x, z["last"]])
    beta = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
    found = full_gradient(Classifier(network, "relu"), x.detach(), [2])
    torch.testing.assert_close(found.terms["input"], (of_image * x).sum()[None].detach())
    by_hand = (of_norm * beta[:, None, None]).sum()
    torch.testing.assert_close(found.terms["last.1"], by_hand[None].detach())


@pytest.mark.parametrize("options", [{}, {"output_stride": 8}], ids=str)
@pytest.mark.parametrize("folded", [False, True])
def test_folded_batch_norms_are_the_bias_of_their_convolution(shake, options, folded):
    network = shake(timm.create_model("test_resnet", num_classes=4, **options)).double()
    if folded:
        assert fold_batch_norm(network) > 5
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    found = require_complete(network, x)
    norms = {n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert (norms.isdisjoint(found.terms)) == folded


@pytest.mark.parametrize("folded", [False, True])
def test_norms_with_an_activation_and_relu6_are_exact(shake, folded):
    """The plateau of ReLU6 is a bias."""
    network = shake(timm.create_model("mobilenetv2_035", num_classes=4)).double()
    if folded:
        fold_batch_norm(network)
    x = 4 * torch.randn(3, 3, 64, 64, dtype=torch.float64)
    found = require_complete(network, x)
    plateaus = [term for name, term in found.terms.items() if name.endswith("act")]
    assert max(term.abs().max() for term in plateaus) > 1e-3


@pytest.mark.parametrize("inplace", [False, True])
def test_hard_tanh_is_exact_at_both_ends(images, inplace):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.Hardtanh(-0.3, 0.5, inplace=inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),
        nn.LeakyReLU(0.1),
        nn.Linear(5, 4),
    )
    found = require_complete(network.double().eval(), images.double())
    assert found.terms["1"].abs().min() > 1e-4 and "4" in found.terms and "5" in found.terms


@pytest.mark.parametrize("head", [Head(), Head(pooling=TapPooling(threshold=0.3))])
def test_networks_of_this_workflow(shake, head):
    network = shake(CamNetwork(Backbone(name="test_resnet", output_stride=32), 4, head)).double()
    # The head computes in float32.
    require_complete(network, torch.randn(3, 3, 64, 64, dtype=torch.float64), atol=1e-4)


def test_vgg_and_in_place_functions_without_a_module(shake):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.relu_(self.conv(torch.relu_(self.norm(x)))).mean((2, 3))

    require_complete(shake(Functional()).double(), torch.randn(3, 3, 8, 8, dtype=torch.float64))
    vgg = shake(CamNetwork(Backbone(name="vgg11", output_stride=16), 4))
    require_complete(vgg, torch.randn(3, 3, 32, 32), atol=1e-3)


@pytest.mark.parametrize(
    "kind, wrong",
    [("se", r"se\.gate \(Sigmoid\)"), ("group-norm", r"\(GroupNorm\).* and \d+ more are not")],
)
def test_networks_that_are_not_piecewise_affine_are_refused_by_name(tiny, kind, wrong):
    classifier = Classifier(tiny(kind), "layer4", linear="fc")
    x = torch.randn(3, 3, 64, 64)
    with pytest.raises(UserError, match=wrong):
        full_grad(classifier, x, LABELS)
    found = full_grad(classifier, x, LABELS, strict=False)
    assert found.maps.shape == (6, 64, 64) and found.maps.isfinite().all()


def test_transformers_are_refused_by_name(shake):
    network = shake(CamNetwork(Backbone(name="test_vit", output_stride=16), 4))
    classifier = Classifier.of_cam_network(network)
    with pytest.raises(UserError, match=r"LayerNorm|GELU"):
        full_grad(classifier, torch.randn(3, 3, 32, 32), LABELS)
    found = full_grad(classifier, torch.randn(3, 3, 32, 32), LABELS, strict=False)
    assert found.maps.shape == (6, 32, 32)


def test_functions_without_a_module_show_in_the_sum(images, labels):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            x = self.conv(x)
            return (x * torch.sigmoid(x)).mean((2, 3))

    classifier = Classifier(Gated(), "conv")
    with pytest.raises(UserError, match=r"miss \d+% of"):
        full_grad(classifier, images, labels)
    assert full_grad(classifier, images, labels, strict=False).maps.shape == (6, 16, 20)


@pytest.mark.parametrize("channels", ["sum", "mean"])
def test_the_map_by_hand(images, channels):
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 3, stride=2)
    pool = nn.AdaptiveAvgPool2d(1)
    network = nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 2))
    x = images.clone().requires_grad_()
    z = network[0](x)
    of_image, of_z = torch.autograd.grad(network[1:](z)[0, 1], [x, z])
    parts = [(of_image * x).abs(), (of_z * network[0].bias[:, None, None]).abs()]
    reduced = [getattr(rescale(part), channels)(1)[:1].detach() for part in parts]
    found = full_grad(Classifier(network, "1"), images[:1], [1], channels=channels)
    expected = reduced[0] + resize(reduced[1], (16, 20))
    torch.testing.assert_close(found.maps, expected)
