"""The command `wsss` where two devices can be had: both are the CPU, and processes talk by gloo.

FAULT in the environment: in the second epoch the second process has no memory for more than that
many images, and is killed when it has. Of one process: it has none for more than twice as many.
"""

import os
import signal

import torch

import wsss.training.to_file
from wsss.classifier.learner import ClassifierLearner
from wsss.cli import main
from wsss.core.ranks import rank

plain = ClassifierLearner.loss


def loss(self, batch):
    """The learner's own, but for the fault."""
    most = os.environ.get("FAULT")
    if most and rank() == 1 and self.current_epoch == 1:
        if len(batch[0]) > int(most):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, batch)


if __name__ == "__main__":
    wsss.training.to_file.claim_gpus = lambda wanted: wanted
    ClassifierLearner.loss = loss
    main()
