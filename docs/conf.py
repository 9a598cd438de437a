"""Sphinx: the documentation site, built by `make docs`. A warning is an error there."""

import re
from importlib.metadata import version as installed
from typing import Any

project = "wsss"
author = "the wsss authors"
version = release = installed("wsss")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"wsss {version}"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.strikethrough"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {
    "members": True,
    "imported-members": True,
    "exclude-members": "model_config",
}


def _as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code`: nothing else in them is markup."""
    for i, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        lines[i] = "".join(
            f"`{part}`" if part.startswith("`") else re.sub(r"([*|_\\])", r"\\\1", part)
            for part in parts
        )


def setup(app: Any) -> None:
    """Register the treatment of docstrings."""
    app.connect("autodoc-process-docstring", _as_rst)
