"""Relative links in Markdown files lead to files that a clone has. Sphinx checks those in docs/."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git clone")
    return {ROOT / line for line in listed.stdout.splitlines()}


def test_relative_links_lead_to_tracked_files():
    files = tracked()
    folders = {parent for file in files for parent in file.parents}
    links = [
        (page, target)
        for page in sorted(files)
        if page.suffix == ".md"
        for line in page.read_text().splitlines()
        if not line.startswith("    ")  # code
        for target in LINK.findall(line)
        if "://" not in target
    ]
    assert len(links) > 50
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page, target in links
        if (page.parent / target).resolve() not in files | folders
    ]
    assert not dead
