"""Half batches, for a GPU whose memory is too small for whole ones."""

from __future__ import annotations

import gc

import torch
from torchmetrics import Metric

from wsss.core.errors import UserError
from wsss.core.log import log
from wsss.core.ranks import ranks
from wsss.training.checkpoints import Checkpoints
from wsss.training.learner import Learner


def batch_parts(batch_size: int, checkpoints: Checkpoints) -> int:
    """In how many parts to compute a batch: two if memory was short, and there are equal shares.

    On another number of GPUs than before only whole batches may have equal shares.
    """
    return 2 if checkpoints.in_halves and batch_size % (2 * ranks()) == 0 else 1


def halve(learner: Learner, parts: int, checkpoints: Checkpoints) -> None:
    """Log that batches in `parts` are too large for the GPU, and remember it with the checkpoints.

    UserError where they are half ones already, or cannot be halved.
    """
    training = learner.schedule
    size = training.batch_size // ranks() // parts
    if parts > 1 or size % 2 or size < 4:
        raise UserError(
            f"CUDA out of memory with {size} images at a time (training.batch_size "
            f"{training.batch_size}); lower it or augment.crop, or take a GPU with more memory"
        )
    message = ", and so does a loss that compares the images of a batch"
    log.info(
        "CUDA out of memory with %d images at a time: from now on %d at a time, with twice as many "
        "to a step, which stays one of %d images; BatchNorm that is trained sees %d at a time%s",
        size,
        size // 2,
        training.batch_size * training.accumulate,
        size // 2 * ranks(),
        message if learner.compares_images else "",
    )
    checkpoints.remember_halves()


def restore(learner: Learner, start: dict[str, torch.Tensor]) -> None:
    """The learner as it was before it trained, on the CPU, and the GPU's memory free."""
    learner.cpu()
    learner.zero_grad(set_to_none=True)
    learner.load_state_dict(start)
    for module in learner.modules():
        if isinstance(module, Metric):
            module.reset()
    gc.collect()
    torch.cuda.empty_cache()
