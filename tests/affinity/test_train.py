import pytest
import torch
from safetensors.torch import load_file

from wsss.affinity.boundary_net import BoundaryNet
from wsss.affinity.network import load_network
from wsss.affinity.train import AffinityLearner, train
from wsss.core.errors import UserError
from wsss.core.files.store import Header, MaskReader, MaskWriter
from wsss.nn.backbones import initialise
from wsss.nn.datasets import MaskedImages
from wsss.nn.transforms import TrainTransform


def run(files, weights, out, recipe, seed=5, labels=None):
    labels = labels or files.labels
    train(recipe, files.images, labels, weights=weights, seed=seed, threads=1, out=out)
    return out.read_bytes()


def test_model_file_says_what_it_is_and_holds_the_given_backbone(trained, weights, network_recipe):
    network, recipe, about = load_network(trained)
    assert isinstance(network, BoundaryNet) and recipe == network_recipe()
    assert (about["kind"], about["seed"]) == ("affinity", 5)
    assert about["classes"] == ["cat", "dog", "cow"]
    assert "torch" in about["software"]
    state = network.state_dict()
    assert all(torch.equal(state[f"backbone.{k}"], v) for k, v in load_file(weights).items())
    history = (trained.parent / "log" / "model.safetensors.history.csv").read_text().splitlines()
    assert set(history[0].split(",")) == {"epoch", "lr", "loss", "bg", "fg", "neg"}
    assert len(history) == 3
    assert not list(trained.parent.glob(".checkpoints*"))


def test_same_seed_same_bytes_another_seed_others(
    trained, files, weights, tmp_path, network_recipe
):
    same = run(files, weights, tmp_path / "a" / trained.name, network_recipe())
    assert same == trained.read_bytes()
    assert same != run(files, weights, tmp_path / "b" / trained.name, network_recipe(), seed=6)


def test_killed_in_epoch_2_and_resumed_gives_the_same_bytes(
    trained, files, weights, tmp_path, network_recipe, monkeypatch
):
    out = tmp_path / trained.name
    whole = AffinityLearner.loss

    def killed(self, batch):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return whole(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(AffinityLearner, "loss", killed)
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            run(files, weights, out, network_recipe())
    assert not out.exists()
    assert run(files, weights, out, network_recipe()) == trained.read_bytes()


def test_the_head_learns_where_the_boundary_is(files, weights, network_recipe):
    recipe = network_recipe()
    torch.manual_seed(0)
    network = BoundaryNet(recipe.backbone)
    initialise(network.backbone, recipe.backbone, weights)
    learner = AffinityLearner(network, recipe)
    data = MaskedImages(files.images, files.labels, TrainTransform(recipe.augment, recipe.backbone))
    batch = [torch.stack(items) for items in zip(*(data[i] for i in range(9)), strict=True)]
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = learner.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_labels_are_taken_where_the_map_looks(network_recipe):
    """Map pixel i is image pixel 4i: a mask that is 1 only there trains as foreground alone."""
    learner = AffinityLearner(BoundaryNet(network_recipe().backbone), network_recipe())
    labels = torch.zeros(1, 32, 32, dtype=torch.uint8)
    labels[:, ::4, ::4] = 1
    _, logs = learner.loss((torch.randn(1, 3, 32, 32), labels))
    assert logs["fg"] > 0 and logs["bg"] == 0 and logs["neg"] == 0


@pytest.mark.parametrize(
    ("classes", "name", "message"),
    [
        (
            ("cat", "dog", "pig"),
            "scene0",
            "classes cat, dog, pig, but .* has cat, dog, cow; make the labels again",
        ),
        (("cat", "dog", "cow"), "other", "'other' has no image in"),
    ],
)
def test_labels_of_other_images_are_refused(
    files, weights, tmp_path, network_recipe, classes, name, message
):
    first, out = MaskReader(files.labels)[0], tmp_path / "model.safetensors"
    with MaskWriter(tmp_path / "labels.h5", Header("masks", "train", classes)) as writer:
        writer.add(name, first)
    with pytest.raises(UserError, match=message):
        run(files, weights, out, network_recipe(), labels=tmp_path / "labels.h5")


def test_labels_without_a_boundary_are_refused(files, weights, tmp_path, network_recipe):
    out = tmp_path / "model.safetensors"
    with MaskReader(files.labels) as labels:
        with MaskWriter(tmp_path / "labels.h5", labels.header) as writer:
            for i, (name, mask) in enumerate(labels):
                mask[mask != 0] = 255  # constant saliency gives such labels
                writer.add(name, mask * 0 + 1 if i else mask)
    with pytest.raises(UserError, match=r"labels\.h5: no image has two labels"):
        run(files, weights, out, network_recipe(), labels=tmp_path / "labels.h5")


def test_missing_weights_are_refused(files, tmp_path, network_recipe):
    with pytest.raises(UserError, match="give its file as --weights"):
        run(files, None, tmp_path / "model.safetensors", network_recipe())
