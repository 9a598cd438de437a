import json
import time

from wsss.core.files.run_card_file import card_path, run_card


def test_run_card(tmp_path):
    from wsss.core.maps import upsample

    out = tmp_path / "a.h5"
    run_card(out, upsample, '{"x":1}', time.monotonic(), note="n")
    card = json.loads(card_path(out).read_text())
    assert card_path(out) == tmp_path / "log" / "a.h5.run.json"
    assert (card["output"], card["recipe"], card["note"]) == ("a.h5", {"x": 1}, "n")
    assert card["entry"] == "wsss.core.maps" and len(card["code"]) == 12
    assert 0 <= card["seconds"] < 60
