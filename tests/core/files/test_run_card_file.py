import json
import time

from wsss.core.files.run_card_file import card_path, run_card
from wsss.core.maps import upsample


def test_run_card(tmp_path, monkeypatch):
    monkeypatch.setattr("wsss.core.files.run_card_file._STARTED", time.monotonic() - 5)
    out = tmp_path / "a.h5"
    run_card(out, upsample, '{"x":1}', note="n")
    card = json.loads(card_path(out).read_text())
    assert card_path(out) == tmp_path / "log" / "a.h5.run.json"
    assert (card["output"], card["recipe"], card["note"]) == ("a.h5", {"x": 1}, "n")
    assert card["entry"] == "wsss.core.maps" and len(card["code"]) == 12
    assert 5 <= card["seconds"] < 60


def test_processes_that_share_a_training_write_no_card(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_RANKS", "2")
    run_card(tmp_path / "a.h5", upsample, "{}")
    assert not card_path(tmp_path / "a.h5").exists()
