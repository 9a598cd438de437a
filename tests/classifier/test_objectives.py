"""Each objective against its equation, and where its gradients may flow."""

import copy

import pytest
import torch

from wsss.classifier.erasing import activation, erase_hard, erase_softly, without
from wsss.classifier.losses import Criterion
from wsss.classifier.oc_cse import OcCse
from wsss.classifier.p_noc import PNoc
from wsss.classifier.p_oc import POc
from wsss.classifier.puzzle import puzzled, re_merge_loss
from wsss.classifier.puzzle_cam import PuzzleCam
from wsss.classifier.recipe import Erasing, NotSoOrdinary, Puzzle, Ramp
from wsss.classifier.vanilla import Vanilla
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone

BACKBONE = Backbone(name="resnet10t", output_stride=16)
SMOOTHING, DONE = 0.1, 0.25
PUZZLE = Puzzle()
# One class an image: r is not left to chance, and the equations can be written down here.
LABELS = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
ONLY = torch.tensor([0, 2])
YES = torch.tensor([True, True])


def build(seed):
    torch.manual_seed(seed)
    network = CamNetwork(BACKBONE, 3).eval()
    network.head.weight.data.abs_()  # every class map has evidence to erase
    return network


@pytest.fixture
def f():
    return build(0)


@pytest.fixture
def oc():
    return build(1)


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def criterion():
    return Criterion(SMOOTHING)


def gradients(network):
    return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


def hard(maps):
    return activation(maps, ONLY, YES, (64, 64), normalise="image", order="relu-upsample")


def erasing_by_hand(f, judge, images, criterion):
    mask = activation(f(images).maps, ONLY, YES, (64, 64), normalise="batch", order="relu-upsample")
    logits = judge(erase_softly(images, mask)).logits
    return criterion(logits, without(LABELS, ONLY))


def test_vanilla(f, images, criterion):
    outcome = Vanilla(criterion)(f, images, LABELS, DONE)
    torch.testing.assert_close(outcome.loss, criterion(f(images).logits, LABELS))


def test_puzzle(f, images, criterion):
    outcome = PuzzleCam(PUZZLE, criterion)(f, images, LABELS, DONE)
    whole, merged = f(images), puzzled(f, images, 2)
    expected = (
        criterion(whole.logits, LABELS)
        + criterion(merged.logits, LABELS)
        + 8 * DONE * re_merge_loss(whole.maps, merged.maps, LABELS)
    )
    torch.testing.assert_close(outcome.loss, expected)
    assert set(outcome.parts) == {"classification", "tiles", "re_merge"}
    assert not any(part.requires_grad for part in outcome.parts.values())


def test_oc_cse(f, oc, images, criterion):
    outcome = OcCse(Erasing(), criterion, oc)(f, images, LABELS, DONE)
    expected = criterion(f(images).logits, LABELS)
    expected = expected + (0.3 + 0.7 * DONE) * erasing_by_hand(f, oc, images, criterion)
    torch.testing.assert_close(outcome.loss, expected)


def test_p_oc(f, oc, images, criterion):
    outcome = POc(PUZZLE, Erasing(), criterion, oc)(f, images, LABELS, DONE)
    puzzle = PuzzleCam(PUZZLE, criterion)(f, images, LABELS, DONE).loss
    erased = (0.3 + 0.7 * DONE) * erasing_by_hand(f, oc, images, criterion)
    torch.testing.assert_close(outcome.loss, puzzle + erased)


def test_p_noc(f, oc, images, criterion):
    noc = NotSoOrdinary(weight=Ramp(start=0.0, end=0.8))
    outcome = PNoc(PUZZLE, Erasing(), noc, criterion, oc)(f, images, LABELS, DONE)
    first = POc(PUZZLE, Erasing(), criterion, copy.deepcopy(oc))(f, images, LABELS, DONE).loss
    mask = hard(f(images).maps)
    second = criterion(oc(erase_hard(images, mask, 0.2)).logits, LABELS)
    torch.testing.assert_close(outcome.loss, first + 0.8 * DONE * second)


def test_terms_that_have_not_begun_are_not_computed(f, oc, images, criterion):
    late = Ramp(start=1.0, end=1.0, begin=0.6)
    objective = PNoc(
        Puzzle(weight=late), Erasing(weight=late), NotSoOrdinary(weight=late), criterion, oc
    )
    passes = []
    f.register_forward_hook(lambda *_: passes.append("f"))
    oc.register_forward_hook(lambda *_: passes.append("noc"))
    before = objective(f, images, LABELS, 0.59)
    assert passes == ["f"] and set(before.parts) == {"classification"}
    torch.testing.assert_close(before.loss, criterion(f(images).logits, LABELS))
    after = objective(f, images, LABELS, 0.6)
    assert passes.count("noc") == 2 and {"re_merge", "erasing", "noc"} < set(after.parts)


def test_the_ordinary_classifier_gets_no_gradient_but_passes_one_on(f, oc, images, criterion):
    objective = OcCse(Erasing(), criterion, oc)
    whole = f(images)
    term = objective.erasing(objective.ordinary, images, LABELS, whole, DONE)
    term.loss.backward()
    assert not gradients(oc)
    assert gradients(f)["head.weight"].abs().sum() > 0


def test_p_nocs_players_keep_to_their_own_losses(f, oc, images, criterion):
    objective = PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, oc)
    fixed = copy.deepcopy(oc)
    objective(f, images, LABELS, DONE).loss.backward()
    joint_f, joint_noc = gradients(f), gradients(oc)

    f.zero_grad()
    POc(PUZZLE, Erasing(), criterion, fixed)(f, images, LABELS, DONE).loss.backward()
    for name, expected in gradients(f).items():
        torch.testing.assert_close(joint_f[name], expected, msg=name)

    alone = copy.deepcopy(oc)
    alone.zero_grad()
    mask = hard(f(images).maps.detach())
    (DONE * criterion(alone(erase_hard(images, mask, 0.2)).logits, LABELS)).backward()
    assert set(joint_noc) == set(gradients(alone))
    for name, expected in gradients(alone).items():
        torch.testing.assert_close(joint_noc[name], expected, msg=name)


def test_one_joint_step_is_one_step_of_each_player_in_turn(f, oc, images, criterion):
    """The published loop: f steps, then the second player steps on the maps from before."""
    noc = NotSoOrdinary()
    turn_f, turn_noc = copy.deepcopy(f), copy.deepcopy(oc)
    objective = PNoc(PUZZLE, Erasing(), noc, criterion, oc)
    joint = torch.optim.SGD([*f.parameters(), *objective.noc.parameters()], lr=0.1, momentum=0.9)
    first = torch.optim.SGD(turn_f.parameters(), lr=0.1, momentum=0.9)
    second = torch.optim.SGD(turn_noc.parameters(), lr=0.1, momentum=0.9)
    for done in (0.25, 0.5):
        joint.zero_grad()
        objective(f, images, LABELS, done).loss.backward()
        joint.step()

        maps = turn_f(images).maps.detach()
        first.zero_grad()
        for p in turn_noc.parameters():
            p.requires_grad_(False)
        turns = POc(PUZZLE, Erasing(), criterion, turn_noc)
        turns(turn_f, images, LABELS, done).loss.backward()
        first.step()
        for p, q in zip(turn_noc.parameters(), oc.parameters(), strict=True):
            p.requires_grad_(q.requires_grad)
        second.zero_grad()
        mask = hard(maps)
        (done * criterion(turn_noc(erase_hard(images, mask, 0.2)).logits, LABELS)).backward()
        second.step()
    for joint_p, turn_p in zip(f.parameters(), turn_f.parameters(), strict=True):
        torch.testing.assert_close(joint_p, turn_p, rtol=1e-4, atol=1e-5)
    for joint_p, turn_p in zip(oc.parameters(), turn_noc.parameters(), strict=True):
        torch.testing.assert_close(joint_p, turn_p, rtol=1e-4, atol=1e-5)


def test_the_leak_adds_the_first_players_gradient_to_the_second(f, oc, images, criterion):
    leaky = copy.deepcopy(oc)
    PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, oc)(f, images, LABELS, DONE).loss.backward()
    noc = NotSoOrdinary(leak_noc_gradient=True)
    PNoc(PUZZLE, Erasing(), noc, criterion, leaky)(f, images, LABELS, DONE).loss.backward()
    through = copy.deepcopy(oc)
    through.zero_grad()
    ((0.3 + 0.7 * DONE) * erasing_by_hand(f, through, images, criterion)).backward()
    for name, extra in gradients(through).items():
        if name in gradients(oc):
            torch.testing.assert_close(
                gradients(leaky)[name], gradients(oc)[name] + extra, rtol=1e-3, atol=1e-6, msg=name
            )
    assert gradients(through)["head.weight"].abs().sum() > 0


def test_the_second_players_batch_norm_stays_frozen_when_lightning_says_train(oc, criterion):
    objective = PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, oc).train()
    norms = [m for m in objective.noc.modules() if isinstance(m, torch.nn.BatchNorm2d)]
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
        whole = criterion(oc(images).logits, labels)
        torch.testing.assert_close(outcome.parts["erasing"], whole)


def test_class_weights_scale_a_classs_terms(f, images):
    weights = torch.tensor([2.0, 0.0, 1.0])
    found = Vanilla(Criterion(0.0, weights))(f, images, LABELS, DONE).loss
    terms = torch.nn.functional.binary_cross_entropy_with_logits(
        f(images).logits, LABELS, reduction="none"
    )
    torch.testing.assert_close(found, (terms * weights).mean())


@pytest.mark.parametrize("second", [False, True])
def test_training_mode_leaves_the_ordinary_classifiers_statistics_alone(
    f, oc, images, criterion, second
):
    """Its BatchNorm was trained: Lightning's .train() must not let it drift."""
    if second:
        objective = PNoc(PUZZLE, Erasing(), NotSoOrdinary(), criterion, oc)
    else:
        objective = POc(PUZZLE, Erasing(), criterion, oc)
    before = {k: v.clone() for k, v in oc.state_dict().items()}
    objective.train()
    objective(f.train(), images, LABELS, DONE).loss.backward()
    assert all(torch.equal(before[k], v) for k, v in oc.state_dict().items())
    trained = {n for n, p in oc.named_parameters() if p.grad is not None}
    assert bool(trained) == second and not any("bn" in name for name in trained)
