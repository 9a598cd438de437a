"""Which software made an output: the commit of this checkout and the versions of libraries."""

from __future__ import annotations

import importlib.metadata
import subprocess

from wsss.core.digest import ROOT

_SOFTWARE = ("wsss", "torch", "timm", "numpy", "h5py", "pydensecrf2")


def commit() -> str:
    """The commit of the checkout this package lies in, followed by "+" with local changes.

    "unknown" for an installed package, wherever it is run from.
    """
    home = ROOT.parent
    if not (home / ".git").exists():
        return "unknown"
    try:
        run = ["git", f"--git-dir={home / '.git'}", f"--work-tree={home}", "describe"]
        run += ["--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def software_versions() -> dict[str, str]:
    """Versions of the packages that decide the numbers, for provenance."""
    versions = {}
    for name in _SOFTWARE:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
