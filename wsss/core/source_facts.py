"""What the code digest needs to know of a source file, kept from one command to the next.

Parsing the whole package takes half a second, and every job and every `snakemake` would do it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Snakemake's own folder in the working directory: never part of the results, deleted freely.
STORE = Path(".snakemake")
NAME = "wsss-sources.json"


class Facts(NamedTuple):
    """digest: of what decides numbers in the file. names: what it imports of wsss."""

    digest: str
    names: tuple[str, ...]


class SourceFacts:
    """Facts of modules by their source text; `read` finds them where they are not known.

    reader: the text of the code that `read` runs, because other code finds other facts. Nothing is
    kept where the working directory has no `.snakemake`, or where it cannot be written.
    """

    def __init__(self, read: Callable[[str], Facts], reader: str):
        self._read, self._reader = read, _sha256(reader)
        self._known: dict[str, tuple[str, Facts]] | None = None
        self._new = False

    def of(self, module: str, source: str) -> Facts:
        """The facts of a module with this source."""
        if self._known is None:
            self._known = self._load()
        key = _sha256(source)
        found, facts = self._known.get(module, ("", None))
        if found != key or facts is None:
            facts = self._read(source)
            self._known[module] = key, facts
            self._new = True
        return facts

    def save(self) -> None:
        """Keep what was found since the last time."""
        if not self._new or not STORE.is_dir():
            return
        self._new = False
        text = json.dumps({"reader": self._reader, "modules": self._known})
        temporary = STORE / f"{NAME}.{os.getpid()}"
        with suppress(OSError):
            temporary.write_text(text)
            temporary.replace(STORE / NAME)

    def _load(self) -> dict[str, tuple[str, Facts]]:
        try:
            kept = json.loads((STORE / NAME).read_text())
            if kept["reader"] != self._reader:
                return {}
            return {
                module: (key, Facts(digest, tuple(names)))
                for module, (key, (digest, names)) in kept["modules"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # absent or damaged: found again


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
