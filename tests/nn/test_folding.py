import copy

import pytest
import timm
import torch
from torch import nn

from wsss.nn.folding import fold_batch_norm, folded_batch_norms


def shake(network):
    """Give every norm statistics and affine parameters that are not the initial ones."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
    return network


def built(name):
    return shake(timm.create_model(name, num_classes=0, global_pool=""))


def convolutions(network):
    """How often each forward pass calls the library's BatchNorm and convolution."""
    images = torch.randn(2, 3, 64, 64)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        network(images)
    counts = {row.key: row.count for row in profile.key_averages()}
    return counts.get("aten::conv2d", 0), counts.get("aten::batch_norm", 0)


@pytest.mark.parametrize("name", ["mobilenetv2_050", "resnet10t", "seresnet18", "resnest14d"])
def test_a_folded_network_computes_the_same_with_no_batch_norm_left(name):
    if not timm.is_model(name):
        pytest.skip(f"this timm has no {name}")
    plain = built(name).eval()
    folded = copy.deepcopy(plain)
    assert fold_batch_norm(folded) == convolutions(plain)[1]
    assert convolutions(folded) == (convolutions(plain)[0], 0)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(folded.double()(images), plain.double()(images))
    assert list(folded.state_dict()) == list(plain.state_dict())


def test_gradients_of_kernels_and_affine_parameters_are_the_same():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    shake(plain).double().eval()
    folded = copy.deepcopy(plain)
    assert fold_batch_norm(folded) == 1
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for network in (plain, folded):
        network(images).square().sum().backward()
    for (name, expected), found in zip(plain.named_parameters(), folded.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, msg=name)


def test_in_training_mode_nothing_changes():
    plain = built("resnet10t").train()
    folded = copy.deepcopy(plain)
    fold_batch_norm(folded)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(folded(images), plain(images), rtol=0, atol=0)
    for name, expected in plain.state_dict().items():
        torch.testing.assert_close(folded.state_dict()[name], expected, rtol=0, atol=0)


def test_a_copy_has_its_own_weights():
    network = shake(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))).eval()
    fold_batch_norm(network)
    images = torch.randn(1, 3, 4, 4)
    before = network(images)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other[0].parameters():
            parameter.zero_()
        other[1].running_mean.zero_()
    torch.testing.assert_close(network(images), before)
    torch.testing.assert_close(other(images), other[1].bias[None, :, None, None].expand(1, 4, 4, 4))


class Between(nn.Module):
    """Uses a convolution's output beside its norm: nothing may be folded."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False)

    def forward(self, x):
        x = self.convolution(x)
        return x + self.norm(x)


class Twice(Between):
    """Calls the same convolution twice."""

    def forward(self, x):
        return self.convolution(self.norm(self.convolution(x)))


class Undecided(Between):
    """Takes a branch on the values: torch.fx cannot follow."""

    def forward(self, x):
        return self.norm(self.convolution(x)) if x.sum() > 0 else x


@pytest.mark.parametrize("network", [Between(), Twice(), Undecided(), nn.Conv2d(3, 3, 1)])
def test_what_cannot_be_folded_stays(network):
    assert fold_batch_norm(network) == 0


def test_folded_for_a_while_only():
    network = built("resnet10t").eval()
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    count = convolutions(network)
    images = torch.randn(2, 3, 64, 64)
    expected = network(images)
    with pytest.raises(KeyError), folded_batch_norms(network):
        assert convolutions(network) == (count[0], 0)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
        raise KeyError
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before
    assert convolutions(network) == count
    torch.testing.assert_close(network(images), expected, rtol=0, atol=0)


def test_norms_in_training_are_not_folded_for_a_while_and_kernels_are_made_once():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=2))
    network = shake(nn.Sequential(network, nn.BatchNorm2d(4))).eval()
    network[1].train()
    images = torch.randn(2, 3, 8, 8)
    expected = network(images)
    mean = network[1].running_mean.clone()
    with folded_batch_norms(network):
        found = network(images)
        network[0][0].weight.data.zero_()  # as nobody should: shows that nothing is made anew
        torch.testing.assert_close(network(images), found, rtol=0, atol=0)
    torch.testing.assert_close(found, expected)
    assert not torch.equal(network[1].running_mean, mean)


def test_what_was_folded_before_stays_so():
    network = built("resnet10t").eval()
    assert fold_batch_norm(network) > 0
    images, before = torch.randn(2, 3, 64, 64), [vars(m).get("forward") for m in network.modules()]
    expected = network(images)
    with folded_batch_norms(network):
        assert convolutions(network)[1] == 0
        found = network(images)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data.zero_()  # kernels are made once here, too
        torch.testing.assert_close(network(images), found, rtol=0, atol=0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert [vars(m).get("forward") for m in network.modules()] == before
    assert convolutions(network)[1] == 0
    assert fold_batch_norm(network) == 0


def test_a_network_with_hooks_is_left_alone_for_a_while():
    network = built("resnet10t").eval()
    seen = []
    network.layer1.register_forward_hook(lambda module, args, output: seen.append(output))
    count = convolutions(network)
    with folded_batch_norms(network):
        assert convolutions(network) == count
    assert all(isinstance(output, torch.Tensor) for output in seen)


def test_a_module_whose_forward_somebody_replaced_is_left_alone():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    network[1].forward = lambda x: x
    assert fold_batch_norm(network) == 0


class Doubled(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_batch_norm_that_does_something_else_is_left_alone():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Doubled(4)).eval()
    with folded_batch_norms(network):
        assert convolutions(network) == (1, 1)
    assert fold_batch_norm(network) == 0
