"""The training loop on a network of three numbers: resumption, signals, divergence, memory."""

import csv
import errno
import os
import re
import signal
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from lightning import Trainer
from torch import nn
from torch.utils.data import Dataset
from torchmetrics import MeanMetric

from wsss.core.errors import Stopped, UserError
from wsss.core.files.model_file import save_model
from wsss.training.callbacks import Averaging
from wsss.training.checkpoints import Checkpoints, discard_checkpoints, fingerprint
from wsss.training.epochs import EpochBatches, EpochSampler, SeededSamples
from wsss.training.halving import batch_parts
from wsss.training.learner import Learner
from wsss.training.loop import fit
from wsss.training.recipe import Ema, Training

EPOCHS, IMAGES, BATCH = 3, 8, 4
SCHEDULE = Training(epochs=EPOCHS, batch_size=BATCH)


class Noisy(Dataset):
    """Points near a plane; the noise is drawn anew each time, as augmentations are."""

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        return torch.rand(2) + index, torch.tensor(float(index))


class Line(Learner):
    """Linear regression with dropout; `hook(learner)` is called before each batch."""

    def __init__(self, hook=None, schedule=SCHEDULE):
        torch.manual_seed(0)
        super().__init__(nn.Linear(2, 1), schedule)
        self.hook = hook
        self.steps = []

    def loss(self, batch):
        self.steps.append(self.current_epoch)
        scale = self.hook(self) if self.hook else None
        points, values = batch
        guess = self.network(nn.functional.dropout(points, 0.2))[:, 0]
        loss = ((guess - values) ** 2).mean() * (1.0 if scale is None else scale)
        return loss, {"guess": guess.mean().detach()}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9)


def train(folder, hook=None, key="key", **options):
    """Train to the end and save; the learner, and the model file."""
    torch.set_num_threads(1)
    learner = Line(hook)
    out = folder / "model.safetensors"
    defaults = {"seed": 1, "out": out, "resume_key": key, "workers": 0}
    fit(learner, Noisy(), **defaults | options)
    save_model(out, learner.network, {"kind": "line"})
    discard_checkpoints(out)
    return learner, out


def rows(out):
    with (out.parent / "log" / f"{out.name}.history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    learner, out = train(tmp_path_factory.mktemp("whole"))
    assert learner.steps == [0, 0, 1, 1, 2, 2]
    return out


def at(epoch, action):
    """A hook that acts at the second batch of an epoch."""
    return lambda learner: action() if learner.steps[-2:] == [epoch, epoch] else None


def killed():
    raise KeyError("killed")


@pytest.mark.parametrize("workers", [0, 2])  # workers fetch ahead, before an epoch is named
def test_a_killed_run_ends_with_the_same_bytes(whole, tmp_path, workers):
    with pytest.raises(KeyError, match="killed"):
        train(tmp_path, at(1, killed), workers=workers)
    assert not (tmp_path / "model.safetensors").exists()
    with pytest.raises(KeyError, match="killed"):
        train(tmp_path, at(2, killed), workers=workers)
    learner, out = train(tmp_path, workers=workers)
    assert learner.steps == [2, 2]
    assert out.read_bytes() == whole.read_bytes()
    assert rows(out) == rows(whole)
    assert {p.name for p in tmp_path.iterdir()} == {"model.safetensors", "log"}


def test_done_is_the_share_of_all_batches_that_are_over(tmp_path):
    """Every ramp of every objective goes by it; also after a resumption."""
    done = []

    def watch(learner):
        done.append(learner.done)
        if learner.steps == [0, 0, 1, 1]:
            killed()

    with pytest.raises(KeyError, match="killed"):
        train(tmp_path, watch)
    train(tmp_path, watch)
    steps = EPOCHS * IMAGES // BATCH
    assert done == [k / steps for k in (0, 1, 2, 3, 2, 3, 4, 5)] and steps == 6


def test_a_resumed_run_tells_its_seconds_from_the_start(tmp_path, caplog):
    def slow(learner):
        time.sleep(0.2)
        if learner.steps in ([0, 0, 1, 1], [1, 1, 2, 2]):
            killed()

    with caplog.at_level("INFO", logger="wsss"):
        for _ in range(2):
            with pytest.raises(KeyError, match="killed"):
                train(tmp_path, slow)
        assert "before it was resumed" not in caplog.text
        train(tmp_path)
    told = re.search(r"trained ([\d.]+) s, ([\d.]+) of them before it was resumed", caplog.text)
    whole, before = (float(seconds) for seconds in told.groups())
    assert before >= 4 * 0.2  # two epochs of two batches; the third was lost
    assert before <= whole < 60


def test_the_average_of_a_checkpoint_follows_the_network_to_its_device():
    """Checkpoints are read to the CPU; the meta device stands for a GPU here."""
    averaging = Averaging(Ema(every=1, start_epoch=0), steps_per_epoch=4)
    averaging.load_state_dict({"average": nn.Linear(2, 1).state_dict(), "seen": 4})
    learner = Line()
    learner.network = nn.Linear(2, 1, device="meta")
    averaging.on_train_batch_end(Mock(spec=Trainer, global_step=5), learner)
    assert {value.device.type for value in averaging.average.values()} == {"meta"}


def test_another_seed_is_another_network(whole, tmp_path):
    assert train(tmp_path, seed=2)[1].read_bytes() != whole.read_bytes()


def test_a_stale_checkpoint_is_deleted_and_never_resumed(whole, tmp_path):
    with pytest.raises(KeyError, match="killed"):
        train(tmp_path, at(2, killed), key="other recipe")
    learner, out = train(tmp_path)
    assert learner.steps == [0, 0, 1, 1, 2, 2]
    assert out.read_bytes() == whole.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"model.safetensors", "log"}


def test_sigterm_is_status_143_and_keeps_the_checkpoint(whole, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="stopped by SIGTERM; the next start resumes") as caught:
        train(tmp_path, at(1, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert caught.value.status == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert (tmp_path / ".checkpoints-model" / "key" / "last.ckpt").is_file()
    learner, out = train(tmp_path)
    assert 0 not in learner.steps
    assert out.read_bytes() == whole.read_bytes()


def test_a_disk_that_fills_up_leaves_the_checkpoint_before(whole, tmp_path, monkeypatch):
    write = Path.write_bytes
    written = []

    def fills_up(path, data):
        if ".ckpt." in path.name:
            written.append(path)
            if len(written) == 2:
                write(path, bytes(data)[:100])
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fills_up)
        with pytest.raises(UserError, match=r"last\.ckpt: cannot be written \(No space left"):
            train(tmp_path)
    folder = tmp_path / ".checkpoints-model" / "key"
    assert [p.name for p in folder.iterdir()] == ["last.ckpt"]
    learner, out = train(tmp_path)
    assert learner.steps == [1, 1, 2, 2]
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_one_line(tmp_path, scale):
    with pytest.raises(UserError, match=r"training diverged: loss is (nan|inf) in epoch 2") as e:
        train(tmp_path, at(1, lambda: scale))
    assert "\n" not in str(e.value) and "lower optimizer.lr" in str(e.value)
    assert not (tmp_path / "model.safetensors").exists()
    assert (tmp_path / ".checkpoints-model" / "key" / "last.ckpt").is_file()


def test_too_few_images_for_a_batch(tmp_path):
    with pytest.raises(UserError, match="8 training images make no full batch of 16"):
        fit(
            Line(schedule=Training(batch_size=16)),
            Noisy(),
            seed=0,
            out=tmp_path / "m.safetensors",
            resume_key="key",
            workers=0,
        )
    assert list(tmp_path.iterdir()) == []


def test_order_and_samples_depend_on_seed_epoch_and_index_alone():
    def order(seed, epoch):
        sampler = EpochSampler(50, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 3) == order(1, 3)
    assert sorted(order(1, 3)) == [(3, i) for i in range(50)]
    assert len({tuple(i for _, i in order(s, e)) for s in (1, 2) for e in (0, 1)}) == 4
    samples = SeededSamples(Noisy(), 1)
    first = samples[(0, 5)][0]
    state = torch.get_rng_state()
    assert not torch.equal(first, samples[(1, 5)][0])
    assert torch.equal(first, samples[(0, 5)][0])
    assert torch.equal(torch.get_rng_state(), state)


def test_processes_and_parts_share_out_the_same_batches():
    sampler = EpochSampler(21, seed=1)
    sampler.set_epoch(2)
    order = list(sampler)
    whole = list(EpochBatches(sampler, 8))
    assert whole == [order[:8], order[8:16]]
    for ranks, parts in ((2, 1), (1, 2), (2, 2), (4, 2)):
        each = [EpochBatches(sampler, 8, rank=r, ranks=ranks, parts=parts) for r in range(ranks)]
        assert {len(batches) for batches in each} == {2 * parts}
        steps = list(zip(*each, strict=True))  # what all processes compute at the same time
        assert {len(own) for step in steps for own in step} == {8 // ranks // parts}
        for i, batch in enumerate(whole):
            for part in range(parts):
                seen = [image for own in steps[i * parts + part] for image in own]
                assert sorted(seen) == sorted(batch[part::parts])


class Small(Line):
    """Without dropout; CUDA has no memory for more than `most(learner)` images."""

    def __init__(self, most, schedule):
        super().__init__(schedule=schedule)
        self.most = most
        self.seen = []
        self.error = MeanMetric()

    def loss(self, batch):
        points, values = batch
        if len(points) > self.most(self):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.seen.append((self.current_epoch, len(points)))
        error = ((self.network(points)[:, 0] - values) ** 2).mean()
        self.error.update(error.detach())
        return error, {"error": self.error}

    def validation_step(self, batch, _):
        self.log("val", self.network(batch[0]).mean())


def small(folder, most, **options):
    torch.set_num_threads(1)
    out = folder / "model.safetensors"
    learner = Small(most, Training(epochs=EPOCHS, batch_size=BATCH, **options.pop("training", {})))
    defaults = {"seed": 1, "out": out, "resume_key": "key", "workers": 0}
    fit(learner, Noisy(), **defaults | options)
    return learner, out


def late(learner):
    """Memory gets short in the second epoch, after a batch of it."""
    return BATCH if learner.current_epoch == 0 or learner.seen[-1][0] == 0 else BATCH // 2


@pytest.mark.parametrize(
    ("most", "seen"),
    [
        (lambda _: BATCH // 2, [(epoch, 2) for epoch in (0, 1, 2) for _ in range(4)]),
        (late, [(0, 4)] * 2 + [(1, 4)] + [(epoch, 2) for epoch in (1, 2) for _ in range(4)]),
    ],
)
@pytest.mark.parametrize("options", [{}, {"validation": Noisy()}])
def test_out_of_memory_goes_on_in_half_batches(tmp_path, caplog, most, seen, options):
    average = {"training": {"accumulate": 2, "ema": Ema(every=1, start_epoch=1)}}
    for more in ({}, average):
        whole, expected = small(tmp_path / f"whole{len(more)}", lambda _: BATCH, **options, **more)
        caplog.clear()
        with caplog.at_level("INFO", logger="wsss"):
            learner, out = small(tmp_path / f"half{len(more)}", most, **options, **more)
        assert learner.seen == seen
        torch.testing.assert_close(learner.network.state_dict(), whole.network.state_dict())
        assert [line.message[:63] for line in caplog.records if " memory " in line.message] == [
            "CUDA out of memory with 4 images at a time: from now on 2 at a ",
            "in half batches: a GPU's memory was too small for whole ones",
        ]
        for got, row in zip(rows(out), rows(expected), strict=True):
            same = {name: pytest.approx(float(value)) for name, value in row.items()}
            assert {name: float(value) for name, value in got.items()} == same


@pytest.mark.parametrize("says", ["out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling `c`"])
def test_memory_is_short_in_other_words_too(tmp_path, monkeypatch, says):
    told = RuntimeError(f"CUDA error: {says}")
    monkeypatch.setattr(torch.cuda, "OutOfMemoryError", lambda _: told)
    learner, _ = small(tmp_path, lambda _: BATCH // 2)
    assert {images for _, images in learner.seen} == {BATCH // 2}


def test_half_batches_last_through_a_resumption(tmp_path):
    whole, _ = small(tmp_path / "whole", lambda _: 2)

    def killed_later(learner):
        return 2 if learner.current_epoch < 1 else killed()

    with pytest.raises(KeyError, match="killed"):
        small(tmp_path / "killed", killed_later)
    learner, out = small(tmp_path / "killed", lambda _: BATCH)  # memory for whole ones again
    assert learner.seen == [(epoch, 2) for epoch in (1, 2) for _ in range(4)]
    for name, value in learner.network.state_dict().items():
        assert torch.equal(value, whole.network.state_dict()[name])
    discard_checkpoints(out)
    assert {p.name for p in out.parent.iterdir()} == {"log"}


@pytest.mark.parametrize(
    ("batch", "number", "parts"), [(12, 1, 2), (12, 2, 2), (12, 4, 1), (20, 4, 1), (4, 4, 1)]
)
def test_half_batches_have_equal_shares_or_are_whole_ones(
    tmp_path, monkeypatch, batch, number, parts
):
    monkeypatch.setenv("WSSS_RANKS", str(number))
    checkpoints = Checkpoints(tmp_path / "model.safetensors", "key")
    assert batch_parts(batch, checkpoints) == 1
    checkpoints.folder.mkdir(parents=True)
    checkpoints.remember_halves()
    assert batch_parts(batch, checkpoints) == parts
    for process in range(number):
        batches = EpochBatches(
            EpochSampler(batch, 0), batch, rank=process, ranks=number, parts=parts
        )
        assert {len(each) for each in batches} == {batch // number // parts}


@pytest.mark.parametrize(("batch", "most", "at_last"), [(4, 1, 2), (2, 1, 2), (5, 4, 5)])
def test_out_of_memory_for_half_batches_too_is_one_line(tmp_path, batch, most, at_last):
    schedule = Training(epochs=EPOCHS, batch_size=batch)
    with pytest.raises(UserError, match=rf"CUDA out of memory with {at_last} images at a .*lower"):
        fit(
            Small(lambda _: most, schedule),
            Noisy(),
            seed=1,
            out=tmp_path / "m.safetensors",
            resume_key="key",
            workers=0,
        )


def test_fingerprint_sees_every_byte(tmp_path):
    path = tmp_path / "train.h5"
    size = 70 << 20

    def written(position):
        with path.open("wb") as file:
            file.truncate(size)
            file.seek(position)
            file.write(b"\x01")
        return fingerprint("{}", 0, "abc", [path])

    places = [0, size // 3 + 1, size // 3 + 2, size - 1]
    seen = [written(place) for place in places]
    assert len(set(seen)) == len(places) and written(0) == seen[0]


def test_fingerprint_sees_recipe_seed_code_and_files(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    made = [
        fingerprint("{}", 0, "c", [a, b]),
        fingerprint('{"x":1}', 0, "c", [a, b]),
        fingerprint("{}", 1, "c", [a, b]),
        fingerprint("{}", 0, "d", [a, b]),
        fingerprint("{}", 0, "c", [a]),
        fingerprint("{}", 0, "c", []),
    ]
    assert len(set(made)) == len(made)


class Sum(Learner):
    """A number whose gradient is the mean of a batch's values; a step of SGD shows it."""

    def __init__(self, schedule):
        super().__init__(nn.Linear(1, 1, bias=False), schedule)
        self.network.weight.data.zero_()
        self.steps = []

    def loss(self, batch):
        return self.network(batch[1][:, None]).mean(), {}

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1)
        optimizer.register_step_post_hook(
            lambda *_: self.steps.append(float(self.network.weight.detach()))
        )
        return optimizer


@pytest.mark.parametrize("accumulate", [1, 3, 8])
def test_the_last_step_of_an_epoch_is_of_the_mean_of_its_batches_too(tmp_path, accumulate):
    """Four batches of two an epoch: of three in a step one is left over, of eight all make one."""
    learner, values = Sum(Training(epochs=2, batch_size=2, accumulate=accumulate)), []
    loss = learner.loss
    learner.loss = lambda batch: (values.append(float(batch[1].mean())), loss(batch))[1]
    fit(
        learner,
        Noisy(),
        seed=1,
        out=tmp_path / "m.safetensors",
        resume_key="k",
        workers=0,
    )
    expected, at = [], 0.0
    for epoch in (values[:4], values[4:]):
        for first in range(0, 4, accumulate):
            step = epoch[first : first + accumulate]
            at -= sum(step) / len(step)
            expected.append(at)
    assert learner.steps == pytest.approx(expected)
