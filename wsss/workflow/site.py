"""What the machine or cluster says by environment variables, checked before anything is planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wsss.core.errors import UserError
from wsss.core.gpu import requires_gpu


class Site(NamedTuple):
    """gpu_env: the conda environment of GPU jobs. max_minutes: the longest job of the site."""

    gpu_env: str
    max_minutes: int


def read_site(environ: Mapping[str, str]) -> Site:
    """The settings of WSSS_ENV, WSSS_MAX_MINUTES and WSSS_GPU.

    Raises UserError for a value that none of them has.
    """
    env = environ.get("WSSS_ENV", "cuda")
    if env not in ("cuda", "cpu"):
        raise UserError(f"WSSS_ENV is '{env}'; set it to cuda or cpu")
    longest = environ.get("WSSS_MAX_MINUTES", "10000000")
    if not longest.isdecimal():
        raise UserError(f"WSSS_MAX_MINUTES is '{longest}'; set it to the minutes a job may take")
    requires_gpu()  # a value that it does not know is reported here, not by the first job
    return Site(f"../envs/wsss-{env}.yaml", int(longest))
