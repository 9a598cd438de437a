"""The training loop of every stage: Lightning, with exact resumption.

Epoch e of a run draws its order and augmentations from (seed, e, index) alone, and reseeds torch
when it starts. So a run that was killed and resumed from its last epoch's checkpoint ends with the
same bytes as a run that was not. On several GPUs each batch holds the same images as on one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed
from torch.utils.data import DataLoader, Dataset

from wsss.core.errors import Restart, Stopped, UserError, cuda_out_of_memory
from wsss.core.gpu import claim_gpu
from wsss.core.log import log
from wsss.core.memory import keep_freed_memory
from wsss.core.random import mix
from wsss.core.ranks import REMEDY, rank, ranks, wait_for_the_culprit
from wsss.training.callbacks import Averaging, History, Reseed, Waiting
from wsss.training.checkpoints import Checkpoints
from wsss.training.halving import batch_parts, halve, restore
from wsss.training.learner import Learner
from wsss.training.loaders import build_loaders
from wsss.training.recipe import Training
from wsss.training.trainer import build_trainer


@dataclass
class _Run:
    """One attempt: its data, its trainer, and the callbacks that hold weights of their own."""

    loader: DataLoader
    held_out: DataLoader | None
    trainer: L.Trainer
    averaging: Averaging | None
    best: ModelCheckpoint | None


def fit(
    learner: Learner,
    dataset: Dataset,
    *,
    seed: int,
    out: Path,
    resume_key: str,
    workers: int,
    validation: Dataset | None = None,
    best: str | None = None,
    history: Path | None = None,
) -> None:
    """Train `learner` on `dataset` by its schedule; the caller saves the network afterwards.

    out: the model file to come; checkpoints lie in a hidden folder next to it and go away with
    `discard_checkpoints`, TensorBoard logs in log/tensorboard. history: one CSV row per epoch;
    log/<name>.history.csv unless given.
    best: a validation metric; the learner ends with the weights of the epoch where it is highest
    instead of the last's.
    resume_key: a `fingerprint`; a checkpoint of another one is deleted, never resumed.
    validation: goes through `learner.validation_step` after each epoch, always the same samples.
    In one of several processes (wsss.core.ranks) it computes that one's share of every batch, and
    only the first writes anything. Where CUDA is out of memory it goes on in half batches, two of
    which make a step: once, and for all starts that resume.

    Raises UserError if the data set has no full batch, or the loss is not finite. The same if a
    checkpoint cannot be written (the one before it stays), or half batches are too much for the
    GPU as well. Raises Stopped on SIGTERM, and Restart where
    several processes must go on in half batches.
    """
    training = learner.schedule
    if len(dataset) < training.batch_size:
        raise UserError(
            f"{len(dataset)} training images make no full batch of {training.batch_size}; "
            "lower training.batch_size"
        )
    keep_freed_memory()
    claim_gpu()
    # Determinism also fills every new tensor with NaN, to show who reads what was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    checkpoints = Checkpoints(out, resume_key)
    checkpoints.discard_others()
    start = {name: value.clone() for name, value in learner.state_dict().items()}
    history = history or out.parent / "log" / f"{out.name}.history.csv"
    while True:
        parts = batch_parts(training.batch_size, checkpoints)
        if parts == 2:
            log.info("in half batches: a GPU's memory was too small for whole ones")
        loader, held_out = build_loaders(
            dataset, validation, training.batch_size, parts=parts, seed=seed, workers=workers
        )
        run = _prepare(training, checkpoints, history, loader, held_out, parts, seed, best)
        L.seed_everything(mix(seed, "network") % 2**32, verbose=False)
        if _train(run, learner, checkpoints):
            break
        if ranks() > 1:
            wait_for_the_culprit(0)
        halve(learner, parts, checkpoints)
        if ranks() > 1:
            raise Restart
        del run, loader, held_out
        restore(learner, start)
    if ranks() > 1:
        distributed.destroy_process_group()
    _keep(run, learner, checkpoints)


def _prepare(
    training: Training,
    checkpoints: Checkpoints,
    history: Path,
    loader: DataLoader,
    held_out: DataLoader | None,
    parts: int,
    seed: int,
    best: str | None,
) -> _Run:
    """The trainer and its callbacks. Lightning calls them in this order."""
    waiting = Waiting()
    averaging = keeper = None
    if training.ema is not None:
        averaging = Averaging(training.ema, math.ceil(len(loader) / (parts * training.accumulate)))
    options = {"enable_version_counter": False}
    if best is not None:
        keeper = ModelCheckpoint(
            checkpoints.folder, filename="best", monitor=best, mode="max", **options
        )
    last = ModelCheckpoint(checkpoints.folder, filename="last", save_top_k=1, **options)
    callbacks = [Reseed(seed), waiting, History(history, waiting), averaging, keeper, last]
    trainer = build_trainer(
        training,
        [callback for callback in callbacks if callback is not None],
        checkpoints.out,
        parts=parts,
        batches=len(loader),
    )
    return _Run(loader, held_out, trainer, averaging, keeper)


def _train(run: _Run, learner: Learner, checkpoints: Checkpoints) -> bool:
    """Train to the end; False where CUDA is out of memory.

    Stopped on SIGTERM: Lightning would end with status 0, and Snakemake would miss the output.
    """
    resume = None
    if checkpoints.last.exists():
        log.info("resuming from %s", checkpoints.last)
        resume = str(checkpoints.last)
        # Loader workers are given their first batches before Lightning names the epoch.
        run.loader.batch_sampler.sampler.set_epoch(checkpoints.epochs())
    try:
        run.trainer.fit(learner, run.loader, run.held_out, ckpt_path=resume, weights_only=True)
        return True
    except SIGTERMException:
        raise Stopped(143, f"stopped by SIGTERM; {REMEDY}") from None
    except Exception as error:
        if cuda_out_of_memory(error):
            return False  # the error's traceback kept the batch alive: it ends here
        if ranks() > 1:
            wait_for_the_culprit(5 * rank() if isinstance(error, UserError) else 10)
        raise


def _keep(run: _Run, learner: Learner, checkpoints: Checkpoints) -> None:
    """Give the learner the weights that the recipe asks for: the best epoch's, or the average."""
    if run.best is not None and rank() == 0:
        score = float(run.best.best_model_score)
        log.info("keeping the epoch with %s %.4f", run.best.monitor, score)
        state = checkpoints.state(run.best.best_model_path)
        learner.load_state_dict(state["state_dict"])
        if run.averaging is not None:
            run.averaging.load_state_dict(state["callbacks"][run.averaging.state_key])
    if run.averaging is not None and run.averaging.average:
        learner.network.load_state_dict(run.averaging.average)
