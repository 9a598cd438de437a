from pathlib import Path

import pytest

from wsss.core.environment import expand
from wsss.core.errors import UserError


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("ABSENT", raising=False)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("parts", "parts"),
        ("${DATA}/parts", "/data/parts"),
        ("${DATA}${DATA}", "/data/data"),
        ("~/parts", "/home/me/parts"),
        ("a~b", "a~b"),
        ("cash$", "cash$"),
    ],
)
def test_variables_and_home(text, path):
    assert expand(text, "root") == Path(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("${ABSENT}/x", "root: environment variable ABSENT is not set; export ABSENT=…"),
        ("${EMPTY}/x", "root: environment variable EMPTY is not set; export EMPTY=…"),
        ("$DATA/x", "root: '$DATA/x': write an environment variable as ${DATA}"),
        ("${DATA}/$DATA", "root: '${DATA}/$DATA': write an environment variable as ${DATA}"),
        ("${DATA/x", "root: '${DATA/x': write an environment variable as ${NAME}"),
        ("~nobody-of-this-name/x", "no such home folder"),
    ],
)
def test_what_cannot_be_expanded_is_one_line(text, line):
    with pytest.raises(UserError) as caught:
        expand(text, "root")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
