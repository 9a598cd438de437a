"""What a training does around its steps: logs, averages, checkpoints."""

from __future__ import annotations

import csv
import io
import signal
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO

from wsss.core.errors import UserError
from wsss.core.files.atomic import replacing, write_text
from wsss.core.log import log
from wsss.core.random import mix
from wsss.core.ranks import rank
from wsss.training.recipe import Ema


class Reseed(Callback):
    """Each epoch's random numbers depend on the seed and the epoch alone."""

    def __init__(self, seed: int):
        self.seed = seed

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not the same dropout for the images of every process.
        own = [rank()] if rank() else []
        torch.manual_seed(mix(self.seed, "epoch", trainer.current_epoch, *own))


class Mortal(Callback):
    """One of several processes just ends by SIGTERM: the one that watches them says the rest.

    Lightning's handler would ask the others first, who may be waiting for something else.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Bar(TQDMProgressBar):
    """Lightning's, without the number of the TensorBoard log."""

    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        return {k: v for k, v in super().get_metrics(*arguments).items() if k != "v_num"}


class Waiting(Callback):
    """Measures the share of an epoch's time in which the training waited for its batches."""

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


class Averaging(Callback):
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
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
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

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.average:
            self.current = {k: v.clone() for k, v in pl_module.network.state_dict().items()}
            pl_module.network.load_state_dict(self.average)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.average:
            pl_module.network.load_state_dict(self.current)
            self.current = {}


class History(Callback):
    """One CSV row per epoch; the rows travel in the checkpoint, so a resumed run has them all.

    So do the seconds, which the log of a resumed run states: a benchmark of its process would count
    the last part only.
    """

    def __init__(self, path: Path, waiting: Waiting):
        self.path, self.waiting = path, waiting
        self.rows, self.started, self.logged = [], (0, 0.0), 0.0
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
        self.logged = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        if not sys.stderr.isatty() and time.monotonic() - self.logged > 60:
            self.logged = time.monotonic()
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


class WholeCheckpoints(TorchCheckpointIO):
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
