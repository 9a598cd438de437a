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
    found = {one.output.name: one.reason for one in stale_outputs(tmp_path)}
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


def command(text):
    return ["--log", "a.log", *text.split()]


def run(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0
    return done.output.splitlines()


def test_accept(tmp_path):
    maps, refined = tmp_path / "maps.h5", tmp_path / "maps.crf.h5"
    write(tmp_path, maps.name, card(maps.name, code="0", command=command("cam extract")))
    write(tmp_path, refined.name, card(refined.name, code="0", command=command("crf refine")))
    write(tmp_path, "half.h5", "{")
    cards = {out: tmp_path / "log" / f"{out.name}.run.json" for out in (maps, refined)}
    before = {out: json.loads(file.read_text()) for out, file in cards.items()}

    assert len(run(tmp_path, "--stage", "cam")) == 2
    assert json.loads(cards[maps].read_text()) == before[maps]
    assert run(tmp_path, "--stage", "cam", "--accept") == [
        # ENTRY is not what `wsss cam extract` calls: it counts as moved.
        f"{maps}\taccepted: {ENTRY} became wsss.cam.extraction after commit abc",
        "1 outputs accepted",
        "0 outputs made by other code, or with an unreadable card",
    ]
    today = code_digest("wsss.cam.extraction")
    assert json.loads(cards[maps].read_text()) == before[maps] | {"accepted": today}
    assert json.loads(cards[refined].read_text()) == before[refined]

    lines = run(tmp_path, "--accept")
    assert f"{refined}\taccepted: {ENTRY} changed since commit abc" in lines
    assert lines[-1].startswith("1 outputs made by other code")  # the card that cannot be read
    assert json.loads(cards[refined].read_text())["accepted"] == code_digest(ENTRY)
    assert [one.output.name for one in stale_outputs(tmp_path)] == ["half.h5"]

    # Code that changed after the day of acceptance is not accepted.
    write(tmp_path, refined.name, card(refined.name, code="0", accepted="1"))
    assert {one.output.name for one in stale_outputs(tmp_path)} == {"half.h5", refined.name}


def test_code_that_is_gone_cannot_be_accepted(tmp_path):
    write(tmp_path, "gone.h5", card("gone.h5", entry="wsss.crf.nowhere"))
    before = (tmp_path / "log" / "gone.h5.run.json").read_text()
    assert run(tmp_path, "--accept")[0] == f"{tmp_path / 'gone.h5'}\twsss.crf.nowhere is gone"
    assert (tmp_path / "log" / "gone.h5.run.json").read_text() == before


def test_unknown_stage(tmp_path):
    with pytest.raises(UserError, match=r"^no stage 'cams' \(did you mean 'cam'\?\)$"):
        run(tmp_path, "--stage", "cams", "--accept")


def test_checkpoints_of_an_interrupted_training(tmp_path):
    folder, file = tmp_path / ".checkpoints-model", tmp_path / ".checkpoints-model.run.json"
    stale = card("model.safetensors", code="0", command=command("classifier train"))
    file.write_text(stale)
    assert stale_outputs(tmp_path) == []  # no checkpoint was saved
    folder.mkdir()
    assert [one.output for one in stale_outputs(tmp_path, "classifier")] == [folder]
    run(tmp_path, "--accept")
    today = code_digest("wsss.classifier.train")
    assert json.loads(file.read_text()) == json.loads(stale) | {"accepted": today}
