"""From a learner to its model file: what every trained stage does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from wsss.core.files.model_file import save_model
from wsss.core.gpu import claim_gpus
from wsss.core.log import log
from wsss.core.ranks import join, rank, ranks, run_ranks
from wsss.core.software import software_versions
from wsss.training.checkpoint_code import checkpoint_card, checkpoint_code
from wsss.training.checkpoints import discard_checkpoints, fingerprint
from wsss.training.learner import Learner
from wsss.training.loop import fit
from wsss.training.synchronised import synchronise_batch_norm


def train_to_file(
    learner: Learner,
    dataset: Dataset,
    recipe: Any,
    *,
    kind: str,
    module: str,
    inputs: Sequence[Path | None],
    seed: int,
    threads: int,
    out: Path,
    gpus: int = 1,
    about: Callable[[], dict[str, Any]] = dict,
    **options: Any,
) -> None:
    """`fit` the learner, and write its network to `out` with its recipe.

    kind: of the model file. module: whose code decides the result. inputs: files that a checkpoint
    must have been made from; None where there is none. about: called after the training, more for
    the file's header. options: of `fit`. UserError as of `fit` and `save_model`.
    gpus: above 1 this process starts its own command again, once per GPU, and returns
    when those have written `out`; so only command lines give more than 1. Stopped where one of
    them fails.
    """
    if ranks() > 1:
        join()
    elif (number := processes(learner.schedule.batch_size, gpus)) > 1:
        run_ranks(number)
        return
    threads = max(1, threads // ranks())
    if ranks() > 1:
        torch.set_num_threads(threads)
        synchronise_batch_norm(learner)
    given = [path for path in inputs if path is not None]
    fit(
        learner,
        dataset,
        seed=seed,
        out=out,
        resume_key=fingerprint(recipe.to_json(), seed, checkpoint_code(out, module), given),
        workers=loader_workers(threads),
        **options,
    )
    if rank() > 0:
        return  # the first writes what all of them made
    header = {
        "kind": kind,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "software": software_versions(),
    }
    save_model(out, learner.network, header | about())
    discard_checkpoints(out)
    checkpoint_card(out).unlink(missing_ok=True)


def loader_workers(threads: int) -> int:
    """Processes that decode and augment next to `threads` compute threads; 0: in this process."""
    if torch.cuda.is_available():
        return max(1, threads - 1)
    return min(2, threads) if threads > 1 else 0


def processes(batch_size: int, gpus: int) -> int:
    """Claim up to `gpus` GPUs, and return in how many processes to train, a GPU each.

    The largest number up to the GPUs there are that divides the batch. Every reason for fewer than
    asked for is logged.
    """
    useful = _divisor(batch_size, gpus)
    found = claim_gpus(useful)
    number = _divisor(batch_size, max(1, found))
    if useful < gpus or number < found:
        log.info("a batch of %d has equal shares for %d GPUs at most", batch_size, number)
    if found < useful and useful > 1:
        log.info("%d GPUs were asked for, and %d can be used", gpus, found)
    if number > 1:
        log.info("on %d GPUs, %d images of each batch on each", number, batch_size // number)
    return number


def _divisor(batch_size: int, most: int) -> int:
    return max(n for n in range(1, most + 1) if batch_size % n == 0)
