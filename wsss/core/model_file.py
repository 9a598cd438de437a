"""Networks on disk: safetensors with a JSON header, written atomically, never pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from wsss.core.errors import UserError


def save_model(path: str | Path, network: torch.nn.Module, about: dict[str, Any]) -> None:
    """Write the network's state, and `about` (kind, recipe, classes, …) as JSON in the header."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Copies: safetensors refuses tensors that share memory, and tied weights are legal.
    state = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(state, temporary, metadata={"wsss": json.dumps(about, sort_keys=True)})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_model(path: str | Path, kind: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State dict (CPU) and the `about` of a model file of the given kind.

    Raises UserError for a missing, damaged or foreign file, or one of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file; run the rule that trains it")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "wsss" not in metadata:
                raise UserError(
                    f"{path}: safetensors, but not written by wsss; give a model of wsss"
                )
            about = json.loads(metadata["wsss"])
            if about.get("kind") != kind:
                raise UserError(f"{path}: holds a {about.get('kind')}, but a {kind} is needed here")
            return {key: file.get_tensor(key) for key in file.keys()}, about
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run again") from None
