"""A folder of PNGs, one per image id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from wsss.core.errors import UserError
from wsss.core.files.atomic import write_bytes
from wsss.core.log import progress


def write_pngs(
    out: str | Path,
    ids: Sequence[str],
    pngs: Iterable[bytes],
    *,
    source: str | Path,
    overwrite: bool = False,
) -> None:
    """Write `out`/<id>.png for each id of `source`, from its encoded bytes.

    UserError before anything is written if an id is not a file name, or if the folder holds
    anything already, unless `overwrite`: then files of the same name are replaced and others stay.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UserError(f"{out}: not empty; give an empty folder, or --overwrite")
    for name in ids:
        if Path(name).name != name:
            raise UserError(f"{source}: id '{name}' is not a file name; it cannot be exported")
    out.mkdir(parents=True, exist_ok=True)
    found = zip(ids, pngs, strict=True)
    for name, png in progress(found, total=len(ids), what="export"):
        write_bytes(out / f"{name}.png", png)
