"""Each objective against its equation, written out here in torch alone, with all its gradients."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wsss.classifier.label_sampler import LabelSampler
from wsss.classifier.losses import Criterion
from wsss.classifier.objective import build_objective
from wsss.classifier.oc_cse import OcCse
from wsss.classifier.p_noc import PNoc
from wsss.classifier.p_oc import POc
from wsss.classifier.puzzle_cam import PuzzleCam
from wsss.classifier.recipe import (
    Erasing,
    NotSoOrdinary,
    OcCseRecipe,
    PNocRecipe,
    POcRecipe,
    Puzzle,
    Ramp,
)
from wsss.classifier.vanilla import Vanilla
from wsss.nn.cam_network import CamNetwork
from wsss.nn.head import CamHead
from wsss.nn.head_recipe import Head

SIDE, DONE = 96, 0.25
PUZZLE = Puzzle()
LABELS = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
ERASED, LEFT = (0, 2), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])  # r, and y∖{r}


@pytest.fixture(autouse=True)
def r_is_not_left_to_chance(monkeypatch):
    def fixed(_, labels):
        return torch.tensor(ERASED), (labels > 0).any(1)

    monkeypatch.setattr(LabelSampler, "forward", fixed)


@pytest.fixture
def images():
    """The second has less contrast, and so a lower maximum of its maps."""
    coarse = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(2)) * 4 - 2
    return F.interpolate(coarse * torch.tensor([1, 0.3])[:, None, None, None], SIDE)


class Small(CamNetwork):
    """Two convolutions at stride 16 in the place of a backbone of timm."""

    def __init__(self):
        nn.Module.__init__(self)
        layers = OrderedDict(
            conv1=nn.Conv2d(3, 8, 5, stride=4, padding=2, bias=False),
            bn1=nn.BatchNorm2d(8),
            act1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 5, stride=4, padding=2, bias=False),
            bn2=nn.BatchNorm2d(16),
            act2=nn.ReLU(),
        )
        self.backbone = nn.Sequential(layers)
        self.head = CamHead(16, 3, Head())


def build(seed, images):
    """Its class maps have a mean of 0: they are positive in some places and negative in others."""
    torch.manual_seed(seed)
    network = Small()
    network.eval()
    with torch.no_grad():
        mean = network.backbone(images).mean((0, 2, 3))
        weight = network.head.weight[:, :, 0, 0]
        weight -= (weight @ mean)[:, None] * mean / mean.square().sum()
        weight *= 8
    return network


@pytest.fixture
def f(images):
    return build(0, images)


@pytest.fixture
def oc(images):
    return build(1, images)


@pytest.fixture
def criterion():
    return Criterion(0.1)


def maps_of(network, images):
    return torch.einsum("bkhw,ckij->bchw", network.backbone(images), network.head.weight)


def cls(logits, labels):
    """Mean over images and classes, against labels smoothed by 0.1."""
    y = 0.9 * labels + 0.05
    return -(y * F.logsigmoid(logits) + (1 - y) * F.logsigmoid(-logits)).mean()


def psi(maps, normalise="batch", order="relu-upsample"):
    mask = torch.stack([maps[0, ERASED[0]], maps[1, ERASED[1]]])[:, None]
    steps = [
        lambda m: m.clamp(min=0),
        lambda m: F.interpolate(m, (SIDE, SIDE), mode="bilinear", align_corners=False),
    ]
    for step in steps if order == "relu-upsample" else reversed(steps):
        mask = step(mask)
    if normalise == "batch":
        return mask / (mask.max() + 1e-5)
    return torch.stack([one / (one.max() + 1e-5) for one in mask])


def vanilla(f, images):
    return cls(maps_of(f, images).mean((2, 3)), LABELS)


def puzzle(f, images, alpha, side=2):
    """ℓ(f(x), y) + ℓ(f_re(x), y) + α · mean of |A − A_re| · y."""
    size = SIDE // side
    rows = [
        torch.cat([maps_of(f, tile) for tile in row.split(size, dim=3)], dim=3)
        for row in images.split(size, dim=2)
    ]
    whole, merged = maps_of(f, images), torch.cat(rows, dim=2)
    apart = ((whole - merged).abs() * LABELS[:, :, None, None]).sum() / whole.numel()
    return vanilla(f, images) + cls(merged.mean((2, 3)), LABELS) + alpha * apart


def erasing(f, judge, images, **mask):
    """ℓ(oc(x ∘ (1 − ψ(A_r))), y∖{r})."""
    erased = images * (1 - psi(maps_of(f, images), **mask))
    return cls(maps_of(judge, erased).mean((2, 3)), LEFT)


def p_oc(f, judge, images, done):
    """With the published weights: α to 4 in the first half, λ from 0.3 to 1."""
    return puzzle(f, images, 8 * done) + (0.3 + 0.7 * done) * erasing(f, judge, images)


def kept(maps):
    """Where the second player may look: ψ ≤ 0.2, by each image's own maximum, and no gradient."""
    return (psi(maps.detach(), normalise="image") <= 0.2).float()


def second(noc, maps, images):
    """ℓ(noc(x ∘ [ψ ≤ δ]), y)."""
    return cls(maps_of(noc, images * kept(maps)).mean((2, 3)), LABELS)


def trained(network):
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def gradients(loss, network):
    parameters = trained(network)
    return dict(zip(parameters, torch.autograd.grad(loss, parameters.values()), strict=True))


def assert_same(found, expected):
    """Two sets of tensors, each within a thousandth of its length; none is zero."""
    assert found.keys() == expected.keys() and expected
    for name, value in expected.items():
        assert value.norm() > 0, name
        assert (found[name] - value).norm() <= 1e-3 * value.norm(), name


def check(outcome, expected, network):
    """The value, and the gradient of every trained parameter."""
    torch.testing.assert_close(outcome.loss, expected)
    assert_same(gradients(outcome.loss, network), gradients(expected, network))


def test_vanilla(f, images, criterion):
    check(Vanilla(criterion)(f, images, LABELS, DONE), vanilla(f, images), f)


@pytest.mark.parametrize(("tiles", "side"), [(4, 2), (9, 3)])
def test_puzzle(f, images, criterion, tiles, side):
    outcome = PuzzleCam(Puzzle(tiles=tiles), criterion)(f, images, LABELS, DONE)
    assert set(outcome.parts) == {"classification", "tiles", "re_merge"}
    assert not any(part.requires_grad for part in outcome.parts.values())
    check(outcome, puzzle(f, images, 8 * DONE, side), f)


@pytest.mark.parametrize("normalise", ["batch", "image"])
@pytest.mark.parametrize("order", ["relu-upsample", "upsample-relu"])
def test_oc_cse(f, oc, images, criterion, normalise, order):
    objective = OcCse(Erasing(normalise=normalise, order=order), criterion, oc)
    erased = erasing(f, oc, images, normalise=normalise, order=order)
    check(objective(f, images, LABELS, DONE), vanilla(f, images) + (0.3 + 0.7 * DONE) * erased, f)


def test_oc_cse_upsamples_first_as_its_own_code_does_and_the_others_do_not(
    f, oc, images, criterion
):
    recipe = OcCseRecipe(ordinary="oc")
    found = build_objective(recipe, criterion, oc)(f, images, LABELS, DONE)
    erased = erasing(f, oc, images, order="upsample-relu")
    check(found, vanilla(f, images) + (0.3 + 0.7 * DONE) * erased, f)
    for kind in (POcRecipe, PNocRecipe):
        assert kind(ordinary="oc").erase.order == "relu-upsample"


def test_p_oc(f, oc, images, criterion):
    outcome = POc(PUZZLE, Erasing(), criterion, oc)(f, images, LABELS, DONE)
    check(outcome, p_oc(f, oc, images, DONE), f)


def test_p_noc(f, oc, images, criterion):
    noc = NotSoOrdinary(weight=Ramp(start=0.0, end=0.8))
    outcome = PNoc(PUZZLE, Erasing(), noc, criterion, oc)(f, images, LABELS, DONE)
    first = p_oc(f, oc, images, DONE)
    other = 0.8 * DONE * second(oc, maps_of(f, images), images)
    torch.testing.assert_close(outcome.loss, first + other)
    # Neither player's loss moves the other.
    outcome.loss.backward()
    for network, own in ((f, first), (oc, other)):
        found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        assert_same(found, gradients(own, network))


def test_what_the_second_player_sees(f, oc, images, criterion):
    """First, as a judge, what a soft mask leaves; then, learning, what a hard one leaves."""
    seen, modes = [], []

    def watch(network, arguments):
        seen.append(arguments[0].detach())
        modes.append(network.training)

    oc.register_forward_pre_hook(watch)
    objective = PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, oc)
    objective(f, images, LABELS, DONE)
    maps = maps_of(f, images)
    for image, r in enumerate(ERASED):
        assert maps[image, r].min() < 0 < maps[image, r].max()
    assert maps[0, ERASED[0]].max() > 2 * maps[1, ERASED[1]].max()
    torch.testing.assert_close(seen[0], images * (1 - psi(maps)))
    mask = kept(maps)
    assert all(0.2 < float(one.mean()) < 0.9 for one in mask)
    assert torch.equal(seen[1], images * mask)
    # The masks that it is not would leave something else.
    for other in (
        psi(maps, normalise="batch") <= 0.2,
        psi(maps, normalise="image", order="upsample-relu") <= 0.2,
        psi(maps.flip(1), normalise="image") <= 0.2,
    ):
        assert not torch.equal(seen[1], images * other)
    assert modes == [False, True]  # dropout, where it has some, only where it learns
    objective.eval()(f, images, LABELS, DONE)
    assert modes[2:] == [False, False]


@pytest.mark.parametrize("leak", [False, True])
def test_two_joint_steps_are_two_of_each_player_in_turn(f, oc, images, criterion, leak):
    """The published loop: f steps, then the second player steps on the maps from before."""
    noc = NotSoOrdinary(leak_noc_gradient=leak)
    objective = PNoc(PUZZLE, Erasing(), noc, criterion, oc)
    before = {id(network): copy.deepcopy(trained(network)) for network in (f, oc)}
    turn_f, turn_noc = copy.deepcopy(f), copy.deepcopy(oc)
    joint = torch.optim.SGD([*f.parameters(), *oc.parameters()], lr=0.02, momentum=0.9)
    first = torch.optim.SGD(turn_f.parameters(), lr=0.02, momentum=0.9)
    other = torch.optim.SGD(turn_noc.parameters(), lr=0.02, momentum=0.9)
    for done in (0.25, 0.5):
        joint.zero_grad()
        objective(f, images, LABELS, done).loss.backward()
        joint.step()

        maps = maps_of(turn_f, images).detach()
        p_oc(turn_f, turn_noc, images, done).backward()
        first.step()
        first.zero_grad()
        if not leak:  # the published code clears the second player's gradients after its step only
            other.zero_grad()
        (done * second(turn_noc, maps, images)).backward()
        other.step()
        other.zero_grad()
    for network, turned in ((f, turn_f), (oc, turn_noc)):
        start, end = before[id(network)], trained(turned)
        found = {name: p.detach() - start[name].detach() for name, p in trained(network).items()}
        assert_same(found, {name: end[name].detach() - start[name].detach() for name in start})


def test_the_leak_adds_the_first_players_gradient_to_the_second(f, oc, images, criterion):
    noc = NotSoOrdinary(leak_noc_gradient=True)
    loss = PNoc(PUZZLE, Erasing(), noc, criterion, oc)(f, images, LABELS, DONE).loss
    through = gradients((0.3 + 0.7 * DONE) * erasing(f, oc, images), oc)
    own = gradients(DONE * second(oc, maps_of(f, images), images), oc)
    assert_same(gradients(loss, oc), {name: own[name] + through[name] for name in own})


def test_the_ordinary_classifier_gets_no_gradient(f, oc, images, criterion):
    OcCse(Erasing(), criterion, oc)(f, images, LABELS, DONE).loss.backward()
    assert all(p.grad is None for p in oc.parameters())


@pytest.mark.parametrize(
    ("objective", "passes"), [(POc, ["f", "f", "oc"]), (PNoc, ["f", "f", "oc", "oc"])]
)
def test_terms_that_have_not_begun_are_not_computed(f, oc, images, criterion, objective, passes):
    late = Ramp(start=1.0, end=1.0, begin=0.6)
    recipes = [Puzzle(weight=late), Erasing(weight=late), NotSoOrdinary(weight=late)]
    built = objective(*recipes[: 3 if objective is PNoc else 2], criterion, oc)
    found = []
    f.backbone.register_forward_hook(lambda *_: found.append("f"))
    oc.register_forward_hook(lambda *_: found.append("oc"))
    before = built(f, images, LABELS, 0.59)
    assert found == ["f"] and set(before.parts) == {"classification"}
    torch.testing.assert_close(before.loss, vanilla(f, images))
    found.clear()
    built(f, images, LABELS, 0.6)
    assert found == passes


def test_focal_sampling_learns_how_wrong_the_ordinary_classifier_was(f, oc, images, criterion):
    objective = OcCse(Erasing(sampling="focal"), criterion, oc)
    objective(f, images, LABELS, DONE)
    erased = images * (1 - psi(maps_of(f, images)))
    p = maps_of(oc, erased).mean((2, 3)).sigmoid().detach()
    wrong = torch.where(LEFT > 0, 1 - p, p) ** 2  # each class is in one image: n_c = 1
    torch.testing.assert_close(objective.erasing.sampler.focal, 0.9 + 0.1 * wrong.sum(0))


def test_the_second_players_batch_norm_stays_frozen_when_lightning_says_train(oc, criterion):
    objective = PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, oc).train()
    norms = [m for m in objective.noc.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training for m in norms)
    assert not any(p.requires_grad for m in norms for p in m.parameters())


def test_images_without_a_label_erase_nothing_and_give_no_nan(f, oc, images, criterion):
    labels = torch.zeros(2, 3)
    for objective in (
        OcCse(Erasing(), criterion, oc),
        PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, copy.deepcopy(oc)),
    ):
        outcome = objective(f, images, labels, DONE)
        assert torch.isfinite(outcome.loss)
        assert outcome.parts["erased_share"] == 0
        torch.testing.assert_close(outcome.parts["erasing"], cls(oc(images).logits, labels))


def test_class_weights_scale_a_classs_terms(f, images):
    weights = torch.tensor([2.0, 0.0, 1.0])
    found = Vanilla(Criterion(0.0, weights))(f, images, LABELS, DONE).loss
    terms = F.binary_cross_entropy_with_logits(f(images).logits, LABELS, reduction="none")
    torch.testing.assert_close(found, (terms * weights).mean())


@pytest.mark.parametrize("noc", [False, True])
def test_training_mode_leaves_the_ordinary_classifiers_statistics_alone(
    f, oc, images, criterion, noc
):
    """Its BatchNorm was trained: Lightning's .train() must not let it drift."""
    if noc:
        objective = PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, oc)
    else:
        objective = POc(PUZZLE, Erasing(), criterion, oc)
    before = {k: v.clone() for k, v in oc.state_dict().items()}
    objective.train()
    objective(f.train(), images, LABELS, DONE).loss.backward()
    assert all(torch.equal(before[k], v) for k, v in oc.state_dict().items())
    moved = {n for n, p in oc.named_parameters() if p.grad is not None}
    assert bool(moved) == noc and not any("bn" in name for name in moved)
