"""Networks on disk: safetensors with a JSON header, written atomically, never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from wsss.core.errors import UserError
from wsss.core.files.atomic import replacing


def save_model(path: str | Path, network: torch.nn.Module, about: dict[str, Any]) -> None:
    """Write the network's state, and `about` (kind, recipe, classes, …) as JSON in the header.

    Raises UserError where the file cannot be written.
    """
    # Copies: safetensors refuses tensors that share memory, and tied weights are legal.
    state = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
    content = save(state, metadata={"wsss": json.dumps(about, sort_keys=True)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)  # save_file would keep it from the user's group


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
            if not isinstance(about, dict):
                raise ValueError("its header is not an object")
            if about.get("kind") != kind:
                raise UserError(f"{path}: holds a {about.get('kind')}, but a {kind} is needed here")
            return {key: file.get_tensor(key) for key in file.keys()}, about
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run again") from None


def load_into(network: torch.nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load the state of the model file `path`; UserError if it is not the network's own."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: does not fit its own recipe ({line}); train it again") from None
