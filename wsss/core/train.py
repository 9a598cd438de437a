"""The training loop of every stage: Lightning, with exact resumption.

Epoch e of a run draws its order and augmentations from (seed, e, index) alone, and reseeds torch
when it starts, so a run that was killed and resumed from its last epoch's checkpoint ends with the
same bytes as one that was not. On several GPUs each batch holds the same images as on one.
"""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import logging
import math
import multiprocessing
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import (
    Callback,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed
from torch.utils.data import DataLoader, Dataset, Sampler
from torchmetrics import Metric

from wsss.core.atomic import replacing
from wsss.core.command import log, write_text
from wsss.core.errors import UserError
from wsss.core.gpu import claim_gpu
from wsss.core.memory import keep_freed_memory
from wsss.core.random import generator, mix
from wsss.core.ranks import rank, ranks, start_anew, wait_for_the_culprit
from wsss.core.training_recipe import Ema, Training


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index): an order that depends on the seed and the epoch only."""

    def __init__(self, length: int, seed: int):
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = generator(self.seed, "order", self.epoch).permutation(self.length)
        return ((self.epoch, int(index)) for index in order)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """What one of `ranks` processes loads of each batch of `size` images, in `parts`.

    Every `size` images of the sampler's order are a batch, and every parts-th of them a part,
    whoever computes them: of a part this process has the images rank, rank + ranks, …. What is left
    at the end makes no batch.
    """

    def __init__(
        self, sampler: EpochSampler, size: int, *, rank: int = 0, ranks: int = 1, parts: int = 1
    ):
        self.sampler, self.size = sampler, size  # Lightning sets the epoch of `sampler`
        self.rank, self.ranks, self.parts = rank, ranks, parts

    def __len__(self) -> int:
        return len(self.sampler) // self.size * self.parts

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = list(self.sampler)
        for start in range(0, len(order) - self.size + 1, self.size):
            for part in range(self.parts):
                whole = order[start + part : start + self.size : self.parts]
                yield whole[self.rank :: self.ranks]


class Seeded(Dataset):
    """Wraps a dataset so that sample (epoch, index) sees its own torch seed, in any worker."""

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]):
        epoch, index = key
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(self.seed, "sample", epoch, index))
            return self.dataset[index]


class Learner(L.LightningModule):
    """Base of the stages' learners: `loss(batch)` returns the loss and what to log.

    Subclasses implement `loss` and Lightning's `configure_optimizers`, and `validation_step` where
    they take validation data. `network` is what the training is for; `done` in [0, 1) is the share
    of the batches that are over. Where the loss is `separable`, a mean over images (or over what
    counts in them, by `wsss.nn.synchronised.mean_over_ranks`), several GPUs can share a batch.
    """

    network: torch.nn.Module
    separable = False
    done = 0.0

    def loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        """Scalar loss of a batch; detached scalars or torchmetrics of this module for the logs."""
        raise NotImplementedError

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        """One batch; stops on a loss that is not finite."""
        batches = self.trainer.num_training_batches
        self.done = (self.current_epoch * batches + index) / (self.trainer.max_epochs * batches)
        loss, logs = self.loss(batch)
        if not torch.isfinite(loss):
            raise UserError(
                f"training diverged: loss is {loss.item()} in epoch {self.current_epoch + 1}, step "
                f"{self.global_step}; lower optimizer.lr (the last good checkpoint is kept)"
            )
        shown = {"loss": loss.detach(), **logs}
        self.log_dict(shown, on_step=False, on_epoch=True, prog_bar=True, sync_dist=ranks() > 1)
        return loss


class _WholeCheckpoints(TorchCheckpointIO):
    """Lightning writes over the last checkpoint: a kill or a full disk would cost that one too."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        for name, value in checkpoint["state_dict"].items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise UserError(
                    f"training diverged: {name} is not finite after epoch "
                    f"{checkpoint['epoch'] + 1}; lower optimizer.lr (the last good checkpoint is "
                    "kept)"
                )
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class _Reseed(Callback):
    def __init__(self, seed: int):
        self.seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not the same dropout for the images of every process.
        own = [rank()] if rank() else []
        torch.manual_seed(mix(self.seed, "epoch", trainer.current_epoch, *own))


class _Mortal(Callback):
    """One of several processes just ends by SIGTERM: the one that watches them says the rest.

    Lightning's handler would ask the others first, who may be waiting for something else.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Bar(TQDMProgressBar):
    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        return {k: v for k, v in super().get_metrics(*arguments).items() if k != "v_num"}


class _Waiting(Callback):
    """Tells which share of an epoch's time the training waited for its batches."""

    def __init__(self) -> None:
        self.waited, self.began, self.ended = 0.0, 0.0, 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.waited, self.began = 0.0, time.monotonic()
        self.ended = self.began

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.waited += time.monotonic() - self.ended

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.ended = time.monotonic()

    @property
    def share(self) -> float:
        """In [0, 1], from the epoch's start to the end of its last batch; without validation."""
        return self.waited / max(self.ended - self.began, 1e-9)


class _Averaging(Callback):
    """The exponential moving average of the network, which validation sees from its first update.

    Lightning's own averages whole learners, with the networks that only judge and their counters.
    """

    def __init__(self, ema: Ema, steps_per_epoch: int):
        self.ema, self.start = ema, ema.start_epoch * steps_per_epoch
        self.average: dict[str, torch.Tensor] = {}
        self.seen = 0
        self.current: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average, "seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average, self.seen = state_dict["average"], state_dict["seen"]

    @torch.no_grad()
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Learner, *_: Any) -> None:
        step, self.seen = self.seen, trainer.global_step
        if step == self.seen or step < self.start or (step - self.start) % self.ema.every:
            return
        for name, value in pl_module.network.state_dict().items():
            if name in self.average and value.is_floating_point():
                # A checkpoint is read to the CPU, wherever the network is.
                before = self.average[name].to(value.device)
                self.average[name] = before.lerp_(value, 1 - self.ema.decay)
            else:
                self.average[name] = value.clone()

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: Learner) -> None:
        if self.average:
            self.current = {k: v.clone() for k, v in pl_module.network.state_dict().items()}
            pl_module.network.load_state_dict(self.average)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: Learner) -> None:
        if self.average:
            pl_module.network.load_state_dict(self.current)
            self.current = {}


class _History(Callback):
    """One CSV row an epoch; the rows travel in the checkpoint, so a resumed run has them all.

    So do the seconds, which the log tells of a resumed run: a benchmark of its process would count
    the last part only.
    """

    def __init__(self, path: Path, waiting: _Waiting):
        self.path, self.waiting = path, waiting
        self.rows, self.started, self.told = [], (0, 0.0), 0.0
        self.before = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.before = list(state_dict["rows"]), state_dict["seconds"]

    @property
    def seconds(self) -> float:
        """From the training's start; of the starts before this one, up to their last checkpoint."""
        return self.before + time.monotonic() - self.started[1]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = (trainer.current_epoch, time.monotonic())
        self.told = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        if not sys.stderr.isatty() and time.monotonic() - self.told > 60:
            self.told = time.monotonic()
            of = trainer.num_training_batches
            log.info(
                "epoch %d/%d  batch %d/%d", trainer.current_epoch + 1, trainer.max_epochs, i, of
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        scalars = {k: float(v) for k, v in trainer.callback_metrics.items()}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append({"epoch": trainer.current_epoch + 1, "lr": rate, **scalars})
        if not trainer.is_global_zero:
            return
        text = io.StringIO()
        fields = dict.fromkeys(key for row in self.rows for key in row)
        writer = csv.DictWriter(text, fieldnames=list(fields), restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())
        shown = "  ".join(f"{k} {v:.4f}" for k, v in scalars.items())
        done = trainer.current_epoch + 1
        seconds = (time.monotonic() - self.started[1]) / (done - self.started[0])
        left = seconds * (trainer.max_epochs - done) / 60
        log.info(
            "epoch %d/%d  %s  %.0f s (%.0f %% waiting for data), %.1f min left",
            done,
            trainer.max_epochs,
            shown,
            seconds,
            100 * self.waiting.share,
            left,
        )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.before:
            log.info(
                "trained %.1f s, %.1f of them before it was resumed", self.seconds, self.before
            )


def fingerprint(recipe: str, seed: int, code: str, inputs: Sequence[Path]) -> str:
    """What a checkpoint must match to be resumed: recipe, seed, code, and the inputs' bytes.

    recipe: canonical JSON; code: a `code_digest`. Every input is read whole.
    """
    whole = hashlib.sha256(f"{recipe}\n{seed}\n{code}\n".encode())
    for path in inputs:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.name} {digest}\n".encode())
    return whole.hexdigest()[:24]


def fit(
    learner: Learner,
    dataset: Dataset,
    training: Training,
    *,
    seed: int,
    out: Path,
    resume_key: str,
    workers: int,
    validation: Dataset | None = None,
    best: str | None = None,
    history: Path | None = None,
) -> None:
    """Train `learner` on `dataset`; the caller saves the network afterwards.

    out: the model file to come; checkpoints lie in a hidden folder beside it and go away with
    `discard_checkpoints`, TensorBoard logs in log/tensorboard. history: one CSV row an epoch;
    log/<name>.history.csv unless given.
    best: a validation metric; the learner ends with the weights of the epoch where it is highest
    instead of the last's.
    resume_key: a `fingerprint`; a checkpoint of another one is deleted, never resumed.
    validation: goes through `learner.validation_step` after each epoch, always the same samples.
    In one of several processes (wsss.core.ranks) it computes that one's share of every batch, and
    only the first writes anything. Where CUDA is out of memory it goes on in half batches, two of
    which make a step: once, and for all starts that resume.
    Raises UserError if the data set has no full batch, the loss is not finite, a checkpoint cannot
    be written (the one before it stays), or half batches are too much for the GPU as well.
    """
    if len(dataset) < training.batch_size:
        raise UserError(
            f"{len(dataset)} training images make no full batch of {training.batch_size}; "
            "lower training.batch_size"
        )
    _quiet()
    keep_freed_memory()
    claim_gpu()
    folder = _checkpoint_folder(out)
    last = folder / resume_key / "last.ckpt"
    if folder.exists() and not last.parent.exists() and rank() == 0:
        log.info("%s: checkpoint of another recipe, code or input; starting anew", out)
        shutil.rmtree(folder)
    if workers:
        # The server of the forks imports torch once, not each worker anew.
        multiprocessing.set_forkserver_preload([type(dataset).__module__])
    # Determinism also fills every new tensor with NaN, to show who reads what was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    halved = last.parent / "halved"
    start = {name: value.clone() for name, value in learner.state_dict().items()}
    while True:
        parts = 2 if halved.exists() else 1
        if parts == 2:
            log.info("in half batches: a GPU's memory was too small for whole ones")
        size = training.batch_size // ranks() // parts
        loader, held_out = _loaders(
            dataset, validation, training.batch_size, parts=parts, seed=seed, workers=workers
        )
        waiting = _Waiting()
        averaging = keeper = None
        if training.ema is not None:
            steps = math.ceil(len(loader) / (parts * training.accumulate))
            averaging = _Averaging(training.ema, steps)
        if best is not None:
            keeper = ModelCheckpoint(
                last.parent, filename="best", monitor=best, mode="max", enable_version_counter=False
            )
        trainer = _trainer(
            training,
            [
                _Reseed(seed),
                waiting,
                _History(history or out.parent / "log" / f"{out.name}.history.csv", waiting),
                *([averaging] if averaging else []),
                *([keeper] if keeper else []),
                ModelCheckpoint(
                    last.parent, filename="last", save_top_k=1, enable_version_counter=False
                ),
            ],
            out,
            parts=parts,
            batches=len(loader),
        )
        resume = None
        if last.exists():
            log.info("resuming from %s", last)
            resume = str(last)
            # Loader workers are given their first batches before Lightning names the epoch.
            done = torch.load(last, map_location="cpu", weights_only=True, mmap=True)["epoch"]
            loader.batch_sampler.sampler.set_epoch(done + 1)
        L.seed_everything(mix(seed, "network") % 2**32, verbose=False)
        try:
            trainer.fit(learner, loader, held_out, ckpt_path=resume, weights_only=True)
            break
        except torch.cuda.OutOfMemoryError:
            pass  # its traceback keeps the batch alive: what follows stands behind it
        except SIGTERMException:
            # Lightning would end with status 0, and Snakemake would miss the output.
            log.error("error: stopped by SIGTERM; the next start resumes from the last whole epoch")
            raise SystemExit(143) from None
        except Exception as error:
            if ranks() > 1:
                wait_for_the_culprit(5 * rank() if isinstance(error, UserError) else 10)
            raise
        if ranks() > 1:
            wait_for_the_culprit(0)
        _halve(size, training, parts, halved, separable=learner.separable)
        if ranks() > 1:
            start_anew()
        del trainer, loader, held_out
        _restore(learner, start)
    if ranks() > 1:
        distributed.destroy_process_group()
    if keeper is not None and rank() == 0:
        log.info("keeping the epoch with %s %.4f", best, float(keeper.best_model_score))
        state = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True)
        learner.load_state_dict(state["state_dict"])
        if averaging is not None:
            averaging.load_state_dict(state["callbacks"][averaging.state_key])
    if averaging is not None and averaging.average:
        learner.network.load_state_dict(averaging.average)


def _loaders(
    dataset: Dataset,
    validation: Dataset | None,
    batch_size: int,
    *,
    parts: int,
    seed: int,
    workers: int,
) -> tuple[DataLoader, DataLoader | None]:
    """Of training and validation data: what this process sees of them."""
    options = {
        "persistent_workers": workers > 0,  # starting them anew costs seconds every epoch
        # Not fork: the parent's threads (OpenMP, HDF5) do not survive it.
        "multiprocessing_context": "forkserver" if workers else None,
        "worker_init_fn": _leave_sigterm_alone,
    }
    order = EpochSampler(len(dataset), seed)
    loader = DataLoader(
        Seeded(dataset, seed),
        batch_sampler=EpochBatches(order, batch_size, rank=rank(), ranks=ranks(), parts=parts),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(mix(seed, "workers")),
        **options,
    )
    if validation is None:
        return loader, None
    # A process without any would not take part in the metrics, and the others would wait for it.
    seen = range(rank(), len(validation), ranks()) or range(len(validation))
    held_out = DataLoader(
        Seeded(validation, seed),
        batch_size=batch_size // ranks() // parts,
        sampler=[(0, index) for index in seen],
        num_workers=(workers + 1) // 2,
        # Of its own: the default would draw from torch's global generator.
        generator=torch.Generator().manual_seed(mix(seed, "validation")),
        **options,
    )
    return loader, held_out


def _leave_sigterm_alone(worker: int) -> None:
    """Slurm sends it to every process of a job; without its workers the training fails instead."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _trainer(
    training: Training, callbacks: list[Callback], out: Path, *, parts: int, batches: int
) -> L.Trainer:
    """Lightning's trainer of this process."""
    together: dict[str, Any] = {"accelerator": "auto", "devices": 1}
    if ranks() > 1:
        together = {
            "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
            "devices": ranks(),
            # Parameters that a network does not use are its own affair, and buffers are the same
            # everywhere by wsss.nn.synchronised.
            "strategy": DDPStrategy(find_unused_parameters=True, broadcast_buffers=False),
            "use_distributed_sampler": False,
        }
        callbacks = [*callbacks, _Mortal()]
    if sys.stderr.isatty():
        callbacks = [*callbacks, _Bar()]
    return L.Trainer(
        max_epochs=training.epochs,
        precision={"32": "32-true", "bf16": "bf16-mixed"}[training.precision],
        accumulate_grad_batches=training.accumulate * parts,
        deterministic="warn",
        logger=TensorBoardLogger(out.parent / "log", name="tensorboard", version=out.stem),
        callbacks=callbacks,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        # A Slurm job step must not make Lightning wait for siblings: wsss.core.ranks starts them.
        plugins=[LightningEnvironment(), _WholeCheckpoints()],
        log_every_n_steps=max(1, min(50, batches)),
        **together,
    )


def _halve(size: int, training: Training, parts: int, halved: Path, *, separable: bool) -> None:
    """Say that batches of `size` are too large for the GPU, and remember it beside the checkpoint.

    UserError where they are half ones already, or cannot be halved.
    """
    if parts > 1 or size % 2 or size < 4:
        raise UserError(
            f"CUDA out of memory with {size} images at a time (training.batch_size "
            f"{training.batch_size}); lower it or augment.crop, or take a GPU with more memory"
        )
    log.info(
        "CUDA out of memory with %d images at a time: from now on %d at a time, with twice as many "
        "to a step, which stays one of %d images; BatchNorm that is trained sees %d at a time%s",
        size,
        size // 2,
        training.batch_size * training.accumulate,
        size // 2 * ranks(),
        "" if separable else ", and so does a loss that compares the images of a batch",
    )
    write_text(halved, "")


def _restore(learner: Learner, start: dict[str, torch.Tensor]) -> None:
    """The learner as it was before it trained, on the CPU, and the GPU's memory free."""
    learner.cpu()
    learner.zero_grad(set_to_none=True)
    learner.load_state_dict(start)
    for module in learner.modules():
        if isinstance(module, Metric):
            module.reset()
    gc.collect()
    torch.cuda.empty_cache()


def discard_checkpoints(out: Path) -> None:
    """Delete the checkpoints of a model file that is safely written."""
    shutil.rmtree(_checkpoint_folder(out), ignore_errors=True)


def _checkpoint_folder(out: Path) -> Path:
    return out.parent / f".checkpoints-{out.stem}"


def _quiet() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
