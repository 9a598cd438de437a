import io
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from wsss.classifier import curve
from wsss.classifier.cli import app
from wsss.classifier.curve import curve_figure, read_history
from wsss.core.errors import UserError

HISTORY = """epoch,lr,loss,class_loss,F1,mAP,val_F1,val_mAP,val_loss
1,0.1,0.6,0.5,0.5,0.4,0.3,0.35,0.7
2,0.05,0.4,0.3,0.7,0.8,,0.6,0.5
"""


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(HISTORY)
    return path


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were made."""
    made = []
    png = curve.png

    def remember(figure: Figure) -> bytes:
        made.append(figure)
        return png(figure)

    monkeypatch.setattr(curve, "png", remember)
    return made


def panels(figure):
    titled = {panel.get_title(): panel for panel in figure.axes}
    return [
        titled[name]
        for name in ("loss and its parts", "learning rate", "scores, macro over classes")
    ]


def lines(panel, style):
    return {
        (line.get_color(), tuple(line.get_ydata()))
        for line in panel.lines
        if line.get_linestyle() == style and len(line.get_xdata())
    }


def test_every_column_has_its_line(history, drawn):
    curve_figure(history)
    losses, rate, scores = panels(drawn[0])
    (colour,) = {c for c, y in lines(losses, "--") if y == (0.6, 0.4)}
    (other,) = {c for c, y in lines(losses, "--") if y == (0.5, 0.3)}
    assert lines(losses, "-") == {(colour, (0.7, 0.5))} and other != colour
    assert {y for _, y in lines(rate, "-")} == {(0.1, 0.05)}
    train, val = lines(scores, "--"), lines(scores, "-")
    assert {c for c, _ in train} == {c for c, _ in val}  # a score has one colour
    assert {tuple(np.round(y, 6)) for _, y in train} == {(50, 70), (40, 80)}
    assert (35.0, 60.0) in {tuple(np.round(y, 6)) for _, y in val}
    assert [t.get_text() for t in scores.get_legend().get_texts()] == ["mAP", "F1", "train", "val"]


def test_without_validation_the_training_is_solid(tmp_path, drawn):
    path = tmp_path / "history.csv"
    path.write_text("epoch,lr,loss,mAP\n1,0.1,0.6,0.5\n")
    curve_figure(path)
    losses, _, scores = panels(drawn[0])
    assert lines(losses, "-") and lines(scores, "-") and not lines(scores, "--")
    assert all(line.get_marker() == "o" for line in scores.lines if len(line.get_xdata()))
    assert [text.get_text() for text in scores.get_legend().get_texts()] == ["mAP"]


def test_the_validation_loss_is_compared_with_the_classification_loss(tmp_path, drawn):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss,classification,erasing,val_loss\n1,3,1,2,1.5\n2,2,1,1,1.5\n")
    curve_figure(path)
    losses = panels(drawn[0])[0]
    (colour,) = {c for c, y in lines(losses, "--") if y == (1, 1)}
    assert lines(losses, "-") == {(colour, (1.5, 1.5))}


def test_a_blank_cell_has_no_value(history):
    read = read_history(history)
    assert np.isnan(read["val_F1"][1]) and read["val_F1"][0] == 0.3
    assert read["epoch"].tolist() == [1, 2]


def test_command_writes_the_same_picture_again(history, tmp_path):
    out = tmp_path / "history.png"
    done = CliRunner().invoke(app, ["curve", "--history", str(history), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == curve_figure(history)
    assert Image.open(io.BytesIO(out.read_bytes())).width == 1500
    card = json.loads((tmp_path / "log" / "history.png.run.json").read_text())
    assert card["entry"] == "wsss.classifier.curve"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epoch,loss\n1,nought\n", "not the history of a training .*nought"),
        ("a,b\n1,2\n", "no column epoch, or no row"),
        ("epoch,loss\n", "no column epoch, or no row"),
        ("epoch,loss\n1,2,3\n1\n", "not the history of a training"),
    ],
)
def test_what_is_no_history(tmp_path, text, says):
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        curve_figure(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such file; train the classifier"):
        curve_figure(tmp_path / "none.csv")
