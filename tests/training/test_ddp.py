"""Trainings in several processes, on CPUs: what they compute together, and how they end."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset
from torchmetrics import MeanMetric

import wsss.training.to_file
from wsss.affinity.loss import affinity_loss
from wsss.classifier.learner import ClassifierLearner
from wsss.classifier.losses import Criterion
from wsss.classifier.objective import build_objective
from wsss.classifier.recipe import parse_classifier
from wsss.classifier.train import train
from wsss.core.files.model_file import read_model
from wsss.core.random import mix
from wsss.nn.cam_network import CamNetwork
from wsss.nn.recipe import Backbone
from wsss.saliency.c2am import C2am
from wsss.saliency.c2am_learner import C2amLearner
from wsss.saliency.network_learner import saliency_loss
from wsss.saliency.recipe import C2amTrain, Hints
from wsss.segmentation.learner import cross_entropy
from wsss.training.learner import Learner
from wsss.training.loop import fit
from wsss.training.recipe import Ema, Training
from wsss.training.synchronised import synchronise_batch_norm
from wsss.training.to_file import processes

HERE = Path(__file__).parent


def script(folder, text):
    """A command of which each of two processes runs `text`; what it prints is in its output."""
    head = """
        import os, signal, sys, time
        from pathlib import Path
        from wsss.core.errors import Restart
        from wsss.core.log import log, run, start_logging
        from wsss.core.ranks import join, rank, ranks, run_ranks
        start_logging(Path("it.log"))

        def watch():
            log.info("begins")
            run_ranks(2)
            log.info("goes on")

        def restart():
            raise Restart

        if ranks() == 1:
            run(watch)
            raise SystemExit
        join()
    """
    (folder / "it.py").write_text(textwrap.dedent(head) + textwrap.dedent(text))
    return [sys.executable, "it.py"]


def lines(folder):
    """The log's, without the time."""
    return [line.split(" ", 1)[1] for line in (folder / "it.log").read_text().splitlines()]


def run(folder, text):
    return subprocess.run(script(folder, text), cwd=folder, timeout=120, check=False)


def alive(pid):
    """Whether a process still computes; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid):
    for _ in range(100):
        if not alive(pid):
            return True
        time.sleep(0.1)
    return False


def test_the_command_goes_on_when_all_have_ended_well(tmp_path):
    done = run(tmp_path, "log.info('rank %d', rank()); time.sleep(rank())")
    assert done.returncode == 0
    assert lines(tmp_path) == ["begins", "rank 0", "goes on"]  # the second only tells errors


@pytest.mark.parametrize(
    ("end", "status", "says"),
    [
        ("log.error('error: no'); sys.exit(1)", 1, ["error: no"]),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            137,
            ["error: process 2 of 2 was ended by SIGKILL; the next start resumes from the last"],
        ),
    ],
)
def test_the_end_of_one_is_the_end_of_all(tmp_path, end, status, says):
    text = f"""
        Path(str(rank())).write_text(str(os.getpid()))
        if rank() == 1:
            while not Path("0").exists():
                time.sleep(0.01)
            {end}
        time.sleep(100)
    """
    started = time.monotonic()
    assert run(tmp_path, text).returncode == status
    assert time.monotonic() - started < 60
    assert not alive((tmp_path / "0").read_text())
    assert [line[: len(says[0])] for line in lines(tmp_path)] == ["begins", *says]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(("by", "status"), [("SIGTERM", 143), ("SIGKILL", -9)])
def test_no_process_outlives_the_one_that_watches(tmp_path, by, status):
    text = "Path(str(rank())).write_text(str(os.getpid())); time.sleep(100)"
    watching = subprocess.Popen(script(tmp_path, text), cwd=tmp_path)
    files = [tmp_path / "0", tmp_path / "1"]
    while not all(file.exists() and file.read_text() for file in files):
        assert watching.poll() is None
        time.sleep(0.05)
    watching.send_signal(signal.Signals[by])
    assert watching.wait(60) == status
    assert all(ends(file.read_text()) for file in files)
    told = ["error: stopped by SIGTERM; the next start resumes from the last whole epoch"]
    assert lines(tmp_path) == ["begins", *(told if by == "SIGTERM" else [])]


def test_one_has_all_of_them_restarted(tmp_path):
    text = """
        if rank() == 1 and not Path("once").exists():
            Path("once").touch()
            run(restart)
        if not Path("once").exists():
            time.sleep(100)
        log.info("now")
    """
    assert run(tmp_path, text).returncode == 0
    assert lines(tmp_path) in (["begins", "now", "goes on"], ["begins", "now", "now", "goes on"])


@pytest.mark.parametrize(
    ("batch", "gpus", "found", "number", "says"),
    [
        (16, 1, 1, 1, ""),
        (16, 4, 4, 4, "on 4 GPUs, 4 images of each batch on each"),
        (16, 4, 0, 1, "4 GPUs were asked for, and 0 can be used"),
        (16, 4, 3, 2, "4 GPUs were asked for, and 3 can be used"),
        (16, 3, 3, 2, "a batch of 16 has equal shares for 2 GPUs at most"),
    ],
)
def test_how_many_processes(monkeypatch, caplog, batch, gpus, found, number, says):
    claimed = []

    def claim(wanted):
        claimed.append(wanted)
        return min(wanted, found)

    monkeypatch.setattr(wsss.training.to_file, "claim_gpus", claim)
    with caplog.at_level("INFO", logger="wsss"):
        assert processes(batch, gpus) == number
    assert says in caplog.text and bool(says) == bool(caplog.text)
    assert all(batch % n == 0 for n in claimed) and max(claimed) <= gpus


TOGETHER = """
    import torch
    from torch import distributed
    sys.path.insert(0, {here!r})
    from test_ddp import losses, network, played, values
    from wsss.training.synchronised import synchronise_batch_norm

    distributed.init_process_group("gloo", rank=rank(), world_size=2)
    made = network()
    synchronise_batch_norm(made)
    torch.save([values(made, losses(), rank(), 2), played(rank(), 2)], f"{{rank()}}.pt")
    distributed.destroy_process_group()
"""


def network():
    """BatchNorm behind a convolution, one that timm puts an activation into, and a frozen one."""
    from timm.layers import BatchNormAct2d

    from wsss.nn.folding import fold_batch_norm

    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        BatchNormAct2d(4, momentum=0.3),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, affine=False, momentum=None),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4),
    )
    for name, value in made.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + ("var" in name))
    made[8].eval()
    assert fold_batch_norm(made) == 4
    return made


def losses():
    """Losses over pixels, of which every other image has a third."""
    torch.manual_seed(7)
    masks = torch.randint(0, 2, (8, 24, 24), dtype=torch.uint8)
    masks[1::2, :, 8:] = 255
    return {
        "cross-entropy": lambda maps, own: cross_entropy(maps, masks[own]),
        "saliency": lambda maps, own: saliency_loss(maps[:, :1], masks[own]),
        "affinity": lambda maps, own: affinity_loss(
            maps[:, 0].sigmoid(), masks[own, :20, :20].contiguous(), 4
        )[0],
    }


def values(made, losses_of, rank, ranks):
    """Losses of a process's images with their gradients; buffers afterwards, and scores."""
    torch.manual_seed(5)
    images = torch.randn(8, 3, 24, 24) * torch.arange(1, 9)[:, None, None, None]
    own = slice(rank, None, ranks)
    found = {}
    for name, loss_of in losses_of.items():
        made.zero_grad()
        loss = loss_of(made(images[own]), own)
        loss.backward()
        found[name] = [loss.detach(), *(p.grad.clone() for p in made.parameters())]
    found["buffers"] = [value.clone() for value in made.buffers()]
    modes = [module.training for module in made]
    made.eval()
    found["scores"] = [made(images).detach()]
    for module, mode in zip(made, modes, strict=True):
        module.train(mode)
    return found


ERASE = {"weight": {"start": 0.5, "end": 1}}
OBJECTIVES = {
    "oc-cse, random": ("oc-cse", {"erase": {"sampling": "random"} | ERASE}),
    "oc-cse, focal": ("oc-cse", {"erase": {"sampling": "focal"} | ERASE}),
    "oc-cse, least-chosen": ("oc-cse", {"erase": {"sampling": "least-chosen"} | ERASE}),
    "p-noc, balanced": ("p-noc", {"erase": {"sampling": "balanced"} | ERASE}),
    "p-noc, image": ("p-noc", {"erase": {"normalise": "image"} | ERASE}),
    "cutmix": ("vanilla", {"augment": {"crop": 64, "mix": {"kind": "cutmix", "probability": 1}}}),
    "mixup": ("vanilla", {"augment": {"crop": 64, "mix": {"kind": "mixup", "probability": 1}}}),
}
COUNTED = ("sampler.drawn", "sampler.focal", "border")


def played(rank, ranks):
    """What two batches of each objective give a process.

    The loss of its images, gradients of all networks, and what is counted: for the draws of who
    erases, and C²AM's border.
    """
    torch.manual_seed(11)
    images = torch.randn(2, 8, 3, 64, 64)
    labels = (torch.rand(2, 8, 3) < 0.6).float()
    labels[:, 5] = 0  # no class to erase
    hints = torch.zeros(2, 8, 64, 64, dtype=torch.uint8)
    hints[:, ::2, 8:40] = 200  # all of one process
    learners = {}
    for name, (objective, changes) in OBJECTIVES.items():
        ordinary = None if objective == "vanilla" else {"ordinary": "one"}
        recipe = {"objective": objective, "label_smoothing": 0.1} | SMALL | changes
        recipe = parse_classifier(json.dumps(recipe | (ordinary or {})))
        torch.manual_seed(13)
        made, judge = (CamNetwork(recipe.backbone, 3, recipe.head) for _ in range(2))
        game = build_objective(recipe, Criterion(0.1), judge if ordinary else None)
        learners[name] = ClassifierLearner(made, game, recipe)
    for name, hinted in {"c2am": None, "c2am-h": Hints()}.items():
        recipe = C2amTrain(backbone=Backbone(**SMALL["backbone"]), hints=hinted)
        torch.manual_seed(13)
        learners[name] = C2amLearner(C2am(recipe.backbone), recipe)
    own = slice(rank, None, ranks)
    found = {}
    for name, learner in learners.items():
        learner.train()
        if ranks > 1:
            synchronise_batch_norm(learner.network)
        torch.manual_seed(rank)  # each draws otherwise
        values = []
        for batch in range(2):
            learner.zero_grad()
            learner.done = 0.5 + batch / 4
            more = hints if name.startswith("c2am") else labels
            loss, _ = learner.loss((images[batch, own], more[batch, own]))
            loss.backward()
            values.append(loss.detach())
            values += [p.grad.clone() for p in learner.parameters() if p.grad is not None]
        buffers = learner.named_buffers()
        counts = {key: value.clone() for key, value in buffers if key.endswith(COUNTED)}
        found[name] = {"values": values, "counts": counts}
        if isinstance(learner, ClassifierLearner):
            found[name]["scores"] = learner.training_metrics.compute()
    return found


def test_two_processes_compute_what_one_does(tmp_path):
    """The mean of both losses and gradients, with masks of which one process sees more."""
    assert run(tmp_path, TOGETHER.format(here=str(HERE))).returncode == 0
    each = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    expected = values(network(), losses(), 0, 1)
    for name, tensors in expected.items():
        for i, value in enumerate(tensors):
            a, b = (found[name][i].float() for found, _ in each)
            if name in ("buffers", "scores"):
                assert torch.equal(a, b), (name, i)
            torch.testing.assert_close((a + b) / 2, value.float(), rtol=1e-4, atol=1e-5)
    assert not torch.equal(each[0][0]["cross-entropy"][0], each[1][0]["cross-entropy"][0])
    for name, alone in played(0, 1).items():
        one, other = (found[name] for _, found in each)
        both = zip(one["values"], other["values"], strict=True)
        off = [
            float(((a + b) / 2 - value).norm() / value.norm().clamp(min=1e-6))
            for (a, b), value in zip(both, alone["values"], strict=True)
        ]
        # Rounding may turn a ReLU over, which the gradients of all layers before it show.
        assert all(share < 0.05 for share in off), (name, off)
        assert len(off) > 20 and sorted(off)[len(off) // 2] < 1e-3, (name, off)
        # All pairs of images: C²AM's own loss is that of the batch in every process.
        assert torch.equal(one["values"][0], other["values"][0]) == (name == "c2am")
        torch.testing.assert_close(one["counts"], other["counts"], rtol=0, atol=0)
        torch.testing.assert_close(one["counts"], alone["counts"], rtol=1e-4, atol=1e-4)
        for scores in (one, other):
            torch.testing.assert_close(scores.get("scores"), alone.get("scores"))
        counted = "erase" in OBJECTIVES.get(name, (0, {}))[1]
        assert len(one["counts"]) == (2 if counted else int(name.startswith("c2am")))
        if counted:
            assert one["counts"]["objective.erasing.sampler.drawn"].sum() == 12


class Points(Dataset):
    """A plane's; of five for validation one process has three, the other two."""

    def __init__(self, number):
        self.points = torch.randn(number, 2, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index], self.points[index].sum()


class Plane(Learner):
    """Validation likes the second of three epochs best."""

    def __init__(self, schedule):
        torch.manual_seed(0)
        super().__init__(nn.Linear(2, 1), schedule)
        self.score = MeanMetric()

    def loss(self, batch):
        points, values = batch
        return ((self.network(points)[:, 0] - values) ** 2).mean(), {}

    def validation_step(self, batch, _):
        loss, _ = self.loss(batch)
        self.score.update(loss + 100 * (self.current_epoch == 1), len(batch[0]))
        self.log("val", self.score)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


def fitted(folder):
    """The weights of a training that keeps the best epoch's average."""
    torch.set_num_threads(1)
    ema = Ema(decay=0.5, every=1, start_epoch=0)
    learner = Plane(Training(epochs=3, batch_size=4, ema=ema))
    options = {"seed": 1, "out": folder / "model.safetensors", "resume_key": "key", "workers": 0}
    fit(learner, Points(16), validation=Points(5), best="val", **options)
    return learner.network.state_dict()


BEST = """
    import torch
    sys.path.insert(0, {here!r})
    from test_ddp import fitted
    found = fitted(Path("two"))
    if rank() == 0:
        torch.save(found, "two.pt")
"""


def test_two_processes_keep_the_average_of_the_same_epoch(tmp_path):
    assert run(tmp_path, BEST.format(here=str(HERE))).returncode == 0
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    one = fitted(tmp_path / "one")
    torch.testing.assert_close(two, one)
    a, b = (history(tmp_path / folder / "model.safetensors") for folder in ("one", "two"))
    assert float(a[1]["val"]) > 100 > float(a[2]["val"])
    for row, expected in zip(b, a, strict=True):
        same = {name: pytest.approx(float(value), rel=1e-4) for name, value in expected.items()}
        assert {name: float(value) for name, value in row.items()} == same
    assert len([*tmp_path.glob("two/log/tensorboard/*/events*")]) == 1


SMALL = {"backbone": {"name": "resnet10t", "output_stride": 16}, "augment": {"crop": 64}}
ORDINARY = """{"objective": "vanilla", "backbone": {"name": "resnet10t", "output_stride": 16},
 "augment": {"crop": 32}, "training": {"epochs": 1, "batch_size": 8}}"""
RECIPE = """{"objective": "p-noc", "backbone": {"name": "resnet10t", "output_stride": 16},
 "ordinary": "one", "erase": {"sampling": "balanced"},
 "augment": {"crop": 32, "resize": {"kind": "long-side", "min": 28, "max": 44}},
 "training": {"epochs": 2, "batch_size": 8, "optimizer": {"lr": 0.01}}}"""


def write_images(path):
    """20 images of noise with a square whose colour is the class."""
    import io

    import numpy as np
    from PIL import Image

    from wsss.core.files.store import Header, ImageRecord, ImageWriter

    rng = np.random.default_rng(0)
    with ImageWriter(path, Header("images", "train", ("red", "green"))) as writer:
        for i in range(20):
            labels = np.array([i % 2, 1 - i % 2], np.uint8)
            data = io.BytesIO()
            image = rng.integers(60, 140, (48, 40, 3), dtype=np.uint8)
            y, x = rng.integers(4, 24, 2)
            image[y : y + 12, x : x + 12, i % 2] = 255
            Image.fromarray(image).save(data, format="PNG")
            writer.add(ImageRecord(f"i{i}", data.getvalue(), (48, 40), labels))
    return path


def weights(out):
    return read_model(out, "classifier")[0]


def history(out):
    with (out.parent / "log" / f"{out.name}.history.csv").open() as file:
        return list(csv.DictReader(file))


def untrained(recipe):
    torch.manual_seed(mix(1, "initialise"))
    return CamNetwork(recipe.backbone, 2, recipe.head).state_dict()


def distance(one, other):
    assert one.keys() == other.keys()
    return sum(float((one[name] - other[name]).double().pow(2).sum()) for name in one) ** 0.5


def test_two_processes_train_as_one_does_also_with_faults(tmp_path, monkeypatch):
    """Memory gets short for one of two processes, all begin anew, one is killed, all resume."""
    images = write_images(tmp_path / "train.h5")
    ordinary = tmp_path / "ordinary" / "model.safetensors"
    options = {"weights": None, "seed": 1, "threads": 1, "validation": images}
    train(parse_classifier(ORDINARY), images, out=ordinary, **options)
    out = tmp_path / "two" / "model.safetensors"
    command = [sys.executable, str(HERE / "two_devices.py"), "--log", str(out.parent / "it.log")]
    command += ["classifier", "train", "--recipe", RECIPE, "--images", str(images), "--gpus", "2"]
    command += ["--validation", str(images), "--ordinary", str(ordinary)]
    command += ["--seed", "1", "--out", str(out)]
    plain = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    killed = subprocess.run(command, env=plain | {"FAULT": "2"}, timeout=500, check=False)
    assert killed.returncode == 137 and not out.exists()
    told = lines(out.parent)
    assert told[0] == "on 2 GPUs, 4 images of each batch on each"
    assert told[1].startswith("epoch 1/2")
    assert told[2:] == [
        "in half batches: a GPU's memory was too small for whole ones",
        f"resuming from {next(out.parent.glob('.checkpoints-model/*/last.ckpt'))}",
        "error: process 2 of 2 was ended by SIGKILL; the next start resumes from the last whole "
        "epoch",
    ]
    shutil.copytree(out.parent, tmp_path / "then-one")
    assert subprocess.run(command, env=plain, timeout=500, check=False).returncode == 0
    written = {str(p.relative_to(out.parent)) for p in out.parent.rglob("*") if p.is_file()}
    assert {name for name in written if "tensorboard" not in name} == {
        "it.log",
        "model.safetensors",
        "log/model.safetensors.run.json",
        "log/model.safetensors.history.csv",
    }

    def without_memory(self, batch):
        if self.current_epoch == 1 and len(batch[0]) > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return loss(self, batch)

    loss = ClassifierLearner.loss
    monkeypatch.setattr(ClassifierLearner, "loss", without_memory)
    recipe = parse_classifier(RECIPE)
    for folder in ("one", "then-one"):
        alone = tmp_path / folder / "model.safetensors"
        train(recipe, images, ordinary=ordinary, out=alone, **options)
        # Rounding turns a ReLU or a maximum over now and then: a share of the way, not the digits.
        way = distance(weights(alone), untrained(recipe))
        assert distance(weights(alone), weights(out)) < 0.01 * way
        for row, expected in zip(history(out), history(alone), strict=True):
            for name in ("epoch", "lr", "loss", "val_loss", "classification"):
                assert float(row[name]) == pytest.approx(float(expected[name]), rel=0.01)
