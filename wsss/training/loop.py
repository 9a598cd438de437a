"""The training loop of every stage: Lightning, with exact resumption.

Epoch e of a run draws its order and augmentations from (seed, e, index) alone, and reseeds torch
when it starts, so a run that was killed and resumed from its last epoch's checkpoint ends with the
same bytes as one that was not. On several GPUs each batch holds the same images as on one.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import math
import multiprocessing
import shutil
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed
from torch.utils.data import DataLoader, Dataset
from torchmetrics import Metric

from wsss.core.errors import UserError, cuda_out_of_memory
from wsss.core.files.atomic import write_text
from wsss.core.gpu import claim_gpu
from wsss.core.log import log
from wsss.core.memory import keep_freed_memory
from wsss.core.random import mix
from wsss.core.ranks import rank, ranks, start_anew, wait_for_the_culprit
from wsss.nn.precision import Precision, usable_precision
from wsss.training.callbacks import (
    Averaging,
    Bar,
    History,
    Mortal,
    Reseed,
    Waiting,
    WholeCheckpoints,
)
from wsss.training.epochs import EpochBatches, EpochSampler, Seeded
from wsss.training.recipe import Training


class Learner(L.LightningModule):
    """Base of the stages' learners: `loss(batch)` returns the loss and what to log.

    Subclasses implement `loss` and Lightning's `configure_optimizers`, and `validation_step` where
    they take validation data. `network` is what the training is for; `done` in [0, 1) is the share
    of the batches that are over. Several GPUs can share a batch: the loss is a mean over images,
    and what else it takes from the batch comes from all processes (`wsss.training.synchronised`).
    `compares_images`: half batches have another loss.
    """

    network: torch.nn.Module
    compares_images = False
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
        # Lightning divides by all batches of a step, of which an epoch's last may have fewer.
        whole = self.trainer.accumulate_grad_batches
        left = batches - index // whole * whole
        return loss if left >= whole else loss * (whole / left)


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
        parts = _parts(training.batch_size, halved)
        if parts == 2:
            log.info("in half batches: a GPU's memory was too small for whole ones")
        size = training.batch_size // ranks() // parts
        loader, held_out = _loaders(
            dataset, validation, training.batch_size, parts=parts, seed=seed, workers=workers
        )
        waiting = Waiting()
        averaging = keeper = None
        if training.ema is not None:
            steps = math.ceil(len(loader) / (parts * training.accumulate))
            averaging = Averaging(training.ema, steps)
        if best is not None:
            keeper = ModelCheckpoint(
                last.parent, filename="best", monitor=best, mode="max", enable_version_counter=False
            )
        trainer = _trainer(
            training,
            [
                Reseed(seed),
                waiting,
                History(history or out.parent / "log" / f"{out.name}.history.csv", waiting),
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
        except SIGTERMException:
            # Lightning would end with status 0, and Snakemake would miss the output.
            log.error("error: stopped by SIGTERM; the next start resumes from the last whole epoch")
            raise SystemExit(143) from None
        except Exception as error:
            if not cuda_out_of_memory(error):
                if ranks() > 1:
                    wait_for_the_culprit(5 * rank() if isinstance(error, UserError) else 10)
                raise
            # Its traceback keeps the batch alive: what follows stands behind it.
        if ranks() > 1:
            wait_for_the_culprit(0)
        _halve(size, training, parts, halved, compares_images=learner.compares_images)
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
            # everywhere by wsss.training.synchronised.
            "strategy": DDPStrategy(find_unused_parameters=True, broadcast_buffers=False),
            "use_distributed_sampler": False,
        }
        callbacks = [*callbacks, Mortal()]
    if sys.stderr.isatty():
        callbacks = [*callbacks, Bar()]
    return L.Trainer(
        max_epochs=training.epochs,
        precision=_lightning_precision(training.precision),
        accumulate_grad_batches=training.accumulate * parts,
        deterministic="warn",
        logger=TensorBoardLogger(out.parent / "log", name="tensorboard", version=out.stem),
        callbacks=callbacks,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        # A Slurm job step must not make Lightning wait for siblings: wsss.core.ranks starts them.
        plugins=[LightningEnvironment(), WholeCheckpoints()],
        log_every_n_steps=max(1, min(50, batches)),
        **together,
    )


def _lightning_precision(precision: Precision) -> Literal["32-true", "bf16-mixed"]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        device = "mps"
    return "32-true" if usable_precision(precision, device) == "32" else "bf16-mixed"


def _parts(batch_size: int, halved: Path) -> int:
    """In how many parts to compute a batch: two if memory was short, and there are equal shares.

    On another number of GPUs than before only whole batches may have equal shares.
    """
    return 2 if halved.exists() and batch_size % (2 * ranks()) == 0 else 1


def _halve(
    size: int, training: Training, parts: int, halved: Path, *, compares_images: bool
) -> None:
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
        ", and so does a loss that compares the images of a batch" if compares_images else "",
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
