"""From a learner to its model file: what every trained stage does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from wsss.core.digest import code_digest
from wsss.core.model_file import save_model
from wsss.core.store import software_versions
from wsss.core.train import Learner, discard_checkpoints, fingerprint, fit
from wsss.nn.datasets import loader_workers


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
    about: Callable[[], dict[str, Any]] = dict,
    **options: Any,
) -> None:
    """`fit` the learner by recipe.training, and write its network to `out` with its recipe.

    kind: of the model file. module: whose code decides the result. inputs: files that a checkpoint
    must have been made from; None where there is none. about: called after the training, more for
    the file's header. options: of `fit`. UserError as of `fit` and `save_model`.
    """
    given = [path for path in inputs if path is not None]
    fit(
        learner,
        dataset,
        recipe.training,
        seed=seed,
        out=out,
        resume_key=fingerprint(recipe.to_json(), seed, code_digest(module), given),
        workers=loader_workers(threads),
        **options,
    )
    header = {
        "kind": kind,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "software": software_versions(),
    }
    save_model(out, learner.network, header | about())
    discard_checkpoints(out)
