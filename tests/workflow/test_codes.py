"""By which digest Snakemake judges the code of an output."""

import json

import pytest

from wsss.core.digest import code_digest
from wsss.core.files.run_card_file import card_path
from wsss.workflow.codes import code_of

MODULE = "wsss.crf.refine"
TODAY = code_digest(MODULE)
OLD, OLDER = "0123456789ab", "ba9876543210"
RECORDED = ["'--shard'", f"'{OLD}'", """'{"steps":10}'"""]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "a.h5"


def write_card(output, **card):
    card_path(output).parent.mkdir(exist_ok=True)
    card_path(output).write_text(
        json.dumps({"output": output.name, "entry": MODULE, "commit": "abc"} | card)
    )


def test_an_output_of_other_code_has_another_digest_than_snakemake_remembers(output):
    assert code_of(MODULE, output, RECORDED, track=True) == TODAY
    write_card(output, code=OLD)
    assert code_of(MODULE, output, RECORDED, track=True) == TODAY
    write_card(output, code=OLD, accepted=OLDER)  # accepted once, and the code changed again
    assert code_of(MODULE, output, RECORDED, track=True) == TODAY


def test_an_accepted_output_keeps_the_digest_that_snakemake_remembers(output):
    write_card(output, code=OLD, accepted=TODAY)
    assert code_of(MODULE, output, RECORDED, track=True) == OLD
    # Its module moved: the card names one that is gone.
    write_card(output, code=OLD, accepted=TODAY, entry="wsss.crf.nowhere")
    assert code_of(MODULE, output, RECORDED, track=True) == OLD


def test_a_new_output_keeps_the_digest_of_the_accepted_one_that_it_replaced(output):
    write_card(output, code=TODAY)
    assert code_of(MODULE, output, RECORDED, track=True) == OLD


def test_without_tracking_every_output_keeps_its_digest(output):
    assert code_of(MODULE, output, RECORDED, track=False) == OLD
    write_card(output, code=OLDER)
    assert code_of(MODULE, output, RECORDED, track=False) == OLD


@pytest.mark.parametrize("recorded", [None, [], ["'--shard'"]])
@pytest.mark.parametrize("track", [True, False])
def test_an_output_that_snakemake_does_not_remember_has_todays(output, recorded, track):
    write_card(output, code=OLD, accepted=TODAY)
    assert code_of(MODULE, output, recorded, track=track) == TODAY
