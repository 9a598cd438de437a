"""The loaders of a training: what this process sees, in which order, from which workers."""

from __future__ import annotations

import multiprocessing
import signal

import torch
from torch.utils.data import DataLoader, Dataset

from wsss.core.random import mix
from wsss.core.ranks import rank, ranks
from wsss.training.epochs import EpochBatches, EpochSampler, SeededSamples


def build_loaders(
    dataset: Dataset,
    validation: Dataset | None,
    batch_size: int,
    *,
    parts: int,
    seed: int,
    workers: int,
) -> tuple[DataLoader, DataLoader | None]:
    """Of training and validation data: what this process sees of them.

    parts: in how many a batch is computed. workers: of the training loader.
    """
    if workers:
        # The server of the forks imports torch once, not in each worker.
        multiprocessing.set_forkserver_preload([type(dataset).__module__])
    options = {
        "persistent_workers": workers > 0,  # starting them again costs seconds every epoch
        # Not fork: the parent's threads (OpenMP, HDF5) do not survive it.
        "multiprocessing_context": "forkserver" if workers else None,
        "worker_init_fn": _leave_sigterm_alone,
    }
    order = EpochSampler(len(dataset), seed)
    loader = DataLoader(
        SeededSamples(dataset, seed),
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
        SeededSamples(validation, seed),
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
