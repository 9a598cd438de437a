"""Pretrained weights by timm name: the one command that uses the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsss.core.errors import UserError
from wsss.core.files.atomic import replacing
from wsss.core.files.run_card_file import run_card
from wsss.core.log import log
from wsss.core.options import OutOption

app = typer.Typer(help="Fetch pretrained weights.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `fetch` a subcommand."""


@app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="A timm name, e.g. resnet50.a1_in1k.")],
    out: OutOption,
) -> None:
    """Download a timm model's weights once, checked against the hub's checksum.

    Example: `wsss weights fetch resnet50.a1_in1k --out resnet50.safetensors`
    """
    download(model, out)
    run_card(out, download, "{}", model=model)


def download(model: str, out: Path) -> None:
    """Weights of `model` from the Hugging Face hub to `out`; UserError if they cannot be had.

    The hub names each file by the SHA-256 of its content; what was downloaded must have it.
    """
    import hashlib
    import shutil

    import timm
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not timm.is_model_pretrained(model):
        raise UserError(f"timm has no weights '{model}'; see timm.list_pretrained()")
    repository = timm.get_pretrained_cfg(model).hf_hub_id
    if not repository:
        raise UserError(f"timm's weights '{model}' are not on the hub; download them by hand")
    try:
        wanted = get_hf_file_metadata(hf_hub_url(repository, "model.safetensors")).etag
        cached = Path(hf_hub_download(repository, "model.safetensors"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"cannot download '{model}' ({type(error).__name__}); run this rule on a machine with "
            "network access, or give a local path as backbone.weights"
        ) from None
    with cached.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        cached.unlink()
        raise UserError(
            f"'{model}': checksum {found[:12]}, the hub says {str(wanted)[:12]}; run again"
        )
    with replacing(out) as temporary:
        shutil.copyfile(cached, temporary)
    log.info("%s: sha256 %s", out, found)
