import pytest
import torch

from wsss.classifier.data_recipe import ClassifierAugment, CutMix, MixUp
from wsss.classifier.mixing import mix_batch
from wsss.core.errors import UserError

BATCH = 4


def batch():
    """Flat images of the values 1, 10, 100, 1000; image i has the classes i and 4."""
    values = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    images = values.view(BATCH, 1, 1, 1).expand(-1, 3, 24, 32).clone()
    return images, torch.cat([torch.eye(BATCH), torch.ones(BATCH, 1)], 1)


@pytest.mark.parametrize("seed", range(8))
def test_mixup_weights_pixels_and_labels_alike(seed):
    images, labels = batch()
    torch.manual_seed(seed)
    mixed, targets = mix_batch(images, labels, MixUp(kind="mixup"))
    own = images[:, 0, 0, 0]
    other = own.roll(1)
    shares = (mixed - other.view(-1, 1, 1, 1)) / (own - other).view(-1, 1, 1, 1)
    share = shares.mean()
    torch.testing.assert_close(shares, share.expand_as(shares), atol=1e-5, rtol=1e-4)
    expected = share * torch.eye(BATCH) + (1 - share) * torch.eye(BATCH).roll(1, 0)
    torch.testing.assert_close(targets[:, :4], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(targets[:, 4], torch.ones(BATCH))  # both images have this class


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_labels_are_the_shares_of_the_pixels(seed):
    images, labels = batch()
    torch.manual_seed(seed)
    mixed, targets = mix_batch(images, labels, CutMix(kind="cutmix", probability=1.0))
    own = images[:, 0, 0, 0].view(-1, 1, 1, 1)
    kept, taken = mixed == own, mixed == own.roll(1, 0)
    assert (kept ^ taken).all()
    shares = kept.float().mean((1, 2, 3))
    torch.testing.assert_close(targets[:, :4].diagonal(), shares)
    torch.testing.assert_close(targets[range(BATCH), [3, 0, 1, 2]], 1 - shares)
    torch.testing.assert_close(targets[:, 4], torch.ones(BATCH))
    if taken.any():
        ys, xs = taken[0, 0].nonzero().T
        area = (ys.max() - ys.min() + 1) * (xs.max() - xs.min() + 1)
        assert int(taken[0, 0].sum()) == area  # one box


def test_the_shares_of_cutmix_differ_between_batches():
    images, labels = batch()
    recipe = CutMix(kind="cutmix", probability=1.0)
    torch.manual_seed(0)
    shares = [float(mix_batch(images, labels, recipe)[1][0, 0]) for _ in range(50)]
    assert min(shares) < 0.3 and max(shares) > 0.9


@pytest.mark.parametrize(("alpha", "least", "most"), [(1000.0, 0, 5), (0.01, 95, 100)])
def test_alpha_shapes_the_beta_distribution(alpha, least, most):
    images, labels = batch()
    recipe = MixUp(kind="mixup", alpha=alpha)
    torch.manual_seed(0)
    shares = torch.stack([mix_batch(images, labels, recipe)[1][0, 0] for _ in range(100)])
    extreme = int(((shares - 0.5).abs() > 0.4).sum())
    assert least <= extreme <= most
    assert 0.3 < float(shares.mean()) < 0.7


@pytest.mark.parametrize("recipe", [CutMix(kind="cutmix"), MixUp(kind="mixup", probability=0.5)])
def test_a_share_of_the_batches_stays_as_it_is(recipe):
    images, labels = batch()
    torch.manual_seed(0)
    results = [mix_batch(images, labels, recipe) for _ in range(100)]
    same = sum(mixed is images and targets is labels for mixed, targets in results)
    assert 35 < same < 65


@pytest.mark.parametrize("recipe", [CutMix(kind="cutmix", probability=1.0), MixUp(kind="mixup")])
def test_the_torch_seed_decides_and_the_batch_given_stays(recipe):
    images, labels = batch()
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(mix_batch(images, labels, recipe))
    for given, fresh in zip((images, labels), batch(), strict=True):
        assert torch.equal(given, fresh)
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[1], strict=True))
    assert not torch.equal(results[0][1], results[2][1])


def test_an_augmentation_recipe_without_anything_new_is_off():
    augment = ClassifierAugment()
    assert augment.rand_augment is None and augment.mix is None
    assert ClassifierAugment.from_json(augment.to_json()) == augment


def test_the_defaults_are_the_published_ones():
    text = '{"rand_augment": {}, "mix": {"kind": "%s"}}'
    cut, up = (ClassifierAugment.from_json(text % kind) for kind in ("cutmix", "mixup"))
    drawn = cut.rand_augment
    assert (drawn.operations, drawn.magnitude, drawn.cutout) == (2, 10, 16)
    assert (cut.mix.kind, cut.mix.probability, cut.mix.alpha) == ("cutmix", 0.5, 1.0)
    assert (up.mix.kind, up.mix.probability, up.mix.alpha) == ("mixup", 1.0, 1.0)
    assert ClassifierAugment.from_json(up.to_json()) == up


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"rand_augment": {"magnitude": 1}}', "rand_augment.magnitude: .*or equal to 2, got 1"),
        ('{"rand_augment": {"magnitude": 11}}', "rand_augment.magnitude: .*equal to 10, got 11"),
        ('{"rand_augment": {"operation": 3}}', r"rand_augment.operation: .*mean 'operations'"),
        ('{"mix": {"kind": "cut-mix"}}', r"mix.kind: 'cut-mix' .*did you mean 'cutmix'"),
        ('{"mix": {"alpha": 1.0}}', "mix.kind: missing; give cutmix or mixup"),
        ('{"mix": {"kind": "mixup", "alpha": 0.0}}', "mix.alpha: .*greater than 0, got 0.0"),
        ('{"mix": {"kind": "mixup", "probability": 0.0}}', "mix.probability: .*greater than 0"),
    ],
)
def test_mistakes_are_named(text, line):
    with pytest.raises(UserError, match=f"^--recipe: {line}"):
        ClassifierAugment.from_json(text)
