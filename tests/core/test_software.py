import shutil
import subprocess

import pytest

from wsss.core import software
from wsss.core.software import commit


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_package_and_not_of_the_working_folder(tmp_path, monkeypatch):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        run = ["git", "-C", tmp_path, *who, *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()

    git("init")
    (tmp_path / "wsss").mkdir()
    (tmp_path / "wsss" / "a.py").write_text("")
    git("add", "wsss/a.py")
    git("commit", "-m", "a")
    monkeypatch.chdir(tmp_path)
    installed = tmp_path / "site-packages" / "wsss"
    monkeypatch.setattr(software, "ROOT", installed)
    assert commit() == "unknown"
    monkeypatch.chdir("/")
    monkeypatch.setattr(software, "ROOT", tmp_path / "wsss")
    assert commit() == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "wsss" / "a.py").write_text("x = 1\n")
    assert commit().endswith("+")
