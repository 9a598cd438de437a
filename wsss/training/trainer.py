"""Lightning, set up the way every training here needs it."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from wsss.core.ranks import ranks
from wsss.nn.precision import Precision, usable_precision
from wsss.training.callbacks import Bar, Mortal, WholeCheckpoints
from wsss.training.recipe import Training


def build_trainer(
    training: Training, callbacks: list[Callback], out: Path, *, parts: int, batches: int
) -> L.Trainer:
    """Lightning's trainer of this process; batches: of an epoch."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
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
