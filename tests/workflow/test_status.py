"""`wsss status` lists outputs by what their run cards say, and goes on past a damaged card."""

import json

import pytest
from typer.testing import CliRunner

from wsss.core.digest import code_digest
from wsss.core.errors import UserError
from wsss.workflow.status import app, stale_outputs

ENTRY = "wsss.crf.refine"


def write(folder, name, text):
    (folder / "log").mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("made")
    (folder / "log" / f"{name}.run.json").write_text(text)


def card(name, **more):
    made = {"output": name, "entry": ENTRY, "code": code_digest(ENTRY), "commit": "abc"}
    return json.dumps(made | more)


def test_stale_gone_and_damaged(tmp_path):
    write(tmp_path / "a", "fresh.h5", card("fresh.h5"))
    write(tmp_path / "a", "stale.h5", card("stale.h5", code="0"))
    write(tmp_path / "b", "gone.h5", card("gone.h5", entry="wsss.crf.nowhere"))
    write(tmp_path / "b", "half.h5", card("half.h5")[:20])
    write(tmp_path / "b", "list.h5", "[]")
    write(tmp_path / "b", "silent.h5", "{}")
    write(tmp_path / "c", "no-output.h5", "{")
    (tmp_path / "c" / "no-output.h5").unlink()
    found = {out.name: why for out, why in stale_outputs(tmp_path)}
    assert set(found) == {"stale.h5", "gone.h5", "half.h5", "list.h5", "silent.h5"}
    assert found["stale.h5"] == f"{ENTRY} changed since commit abc"
    assert found["gone.h5"] == "wsss.crf.nowhere is gone"
    for name in ("half.h5", "list.h5", "silent.h5"):
        place = tmp_path / "b" / "log" / f"{name}.run.json"
        assert found[name] == f"card unreadable ({place}); make the output again"
    done = CliRunner().invoke(app, [str(tmp_path)], catch_exceptions=False)
    assert done.output.splitlines()[-1].startswith("5 outputs made by other code")


def test_no_results_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; give the results folder"):
        stale_outputs(tmp_path / "nowhere")
