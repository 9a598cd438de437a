"""The training loop of every stage: Lightning, with exact resumption.

Epoch e of a run draws its order and augmentations from (seed, e, index) alone, and reseeds torch
when it starts, so a run that was killed and resumed from its last epoch's checkpoint ends with the
same bytes as one that was not.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
import multiprocessing
import shutil
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
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, Dataset, Sampler

from wsss.core.atomic import replacing
from wsss.core.command import log, write_text
from wsss.core.errors import UserError
from wsss.core.gpu import claim_gpu
from wsss.core.memory import keep_freed_memory
from wsss.core.random import generator, mix
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
    of the batches that are over.
    """

    network: torch.nn.Module
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
        self.log_dict({"loss": loss.detach(), **logs}, on_step=False, on_epoch=True, prog_bar=True)
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
        torch.manual_seed(mix(self.seed, "epoch", trainer.current_epoch))


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
    Raises UserError if the data set has no full batch, the loss is not finite, or a checkpoint
    cannot be written (the one before it stays).
    """
    if len(dataset) < training.batch_size:
        raise UserError(
            f"{len(dataset)} training images make no full batch of {training.batch_size}; "
            "lower training.batch_size"
        )
    _quiet()
    keep_freed_memory()
    folder = _checkpoint_folder(out)
    last = folder / resume_key / "last.ckpt"
    if folder.exists() and not last.parent.exists():
        log.info("%s: checkpoint of another recipe, code or input; starting anew", out)
        shutil.rmtree(folder)
    elif last.exists():
        log.info("resuming from %s", last)
    if workers:
        # The server of the forks imports torch once, not each worker anew.
        multiprocessing.set_forkserver_preload([type(dataset).__module__])
    loader = DataLoader(
        Seeded(dataset, seed),
        batch_size=training.batch_size,
        sampler=EpochSampler(len(dataset), seed),
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        # Not fork: the parent's threads (OpenMP, HDF5) do not survive it.
        multiprocessing_context="forkserver" if workers else None,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(mix(seed, "workers")),
    )
    held_out = None
    if validation is not None:
        held_out = DataLoader(
            Seeded(validation, seed),
            batch_size=training.batch_size,
            sampler=[(0, index) for index in range(len(validation))],
            num_workers=(workers + 1) // 2,
            persistent_workers=workers > 0,  # starting them anew costs seconds every epoch
            multiprocessing_context="forkserver" if workers else None,
            # Of its own: the default would draw from torch's global generator.
            generator=torch.Generator().manual_seed(mix(seed, "validation")),
        )
    # Determinism also fills every new tensor with NaN, to show who reads what was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    L.seed_everything(mix(seed, "network") % 2**32, verbose=False)
    averaging = None
    if training.ema is not None:
        averaging = _Averaging(training.ema, math.ceil(len(loader) / training.accumulate))
    waiting = _Waiting()
    keeper = None
    if best is not None:
        keeper = ModelCheckpoint(
            last.parent, filename="best", monitor=best, mode="max", enable_version_counter=False
        )
    claim_gpu()
    trainer = L.Trainer(
        max_epochs=training.epochs,
        accelerator="auto",
        devices=1,
        precision={"32": "32-true", "bf16": "bf16-mixed"}[training.precision],
        accumulate_grad_batches=training.accumulate,
        deterministic="warn",
        logger=TensorBoardLogger(out.parent / "log", name="tensorboard", version=out.stem),
        callbacks=[
            _Reseed(seed),
            waiting,
            _History(history or out.parent / "log" / f"{out.name}.history.csv", waiting),
            *([averaging] if averaging else []),
            *([keeper] if keeper else []),
            ModelCheckpoint(
                last.parent, filename="last", save_top_k=1, enable_version_counter=False
            ),
            *([_Bar()] if sys.stderr.isatty() else []),
        ],
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        # One process: a Slurm job step must not make Lightning wait for siblings.
        plugins=[LightningEnvironment(), _WholeCheckpoints()],
        log_every_n_steps=max(1, min(50, len(loader))),
    )
    resume = str(last) if last.exists() else None
    if resume:
        # Workers fetch ahead before Lightning tells the sampler which epoch comes.
        checkpoint = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
        loader.sampler.set_epoch(checkpoint["epoch"] + 1)
    try:
        trainer.fit(learner, loader, held_out, ckpt_path=resume, weights_only=True)
    except SIGTERMException:
        # Lightning would end with status 0, and Snakemake would miss the output.
        log.error("error: stopped by SIGTERM; the next start resumes from the last whole epoch")
        raise SystemExit(143) from None
    if keeper is not None:
        log.info("keeping the epoch with %s %.4f", best, float(keeper.best_model_score))
        state = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True)
        learner.load_state_dict(state["state_dict"])
        if averaging is not None:
            averaging.load_state_dict(state["callbacks"][averaging.state_key])
    if averaging is not None and averaging.average:
        learner.network.load_state_dict(averaging.average)


def discard_checkpoints(out: Path) -> None:
    """Delete the checkpoints of a model file that is safely written."""
    shutil.rmtree(_checkpoint_folder(out), ignore_errors=True)


def _checkpoint_folder(out: Path) -> Path:
    return out.parent / f".checkpoints-{out.stem}"


def _quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
