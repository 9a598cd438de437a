import io
import json

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.report import curves
from wsss.report.cli import app
from wsss.report.curves import curves_figure
from wsss.report.spec import CurvesSpec, parse

THRESHOLDS = [0.1, 0.3, 0.5, 0.7]


def write_evaluation(path, miou, reported=0.3, thresholds=THRESHOLDS, **more):
    """Maps whose mIoU is `miou` at each threshold; fp and fn share the rest."""
    metrics = ("miou", "miou_foreground", "fp", "fn", "precision", "recall", "f1")
    document = {
        **{"format": "wsss evaluation", "version": 1, "split": "val", "images": 9},
        "evaluated": {"kind": "maps", "files": [], "made_by": None},
        "threshold": {"value": reported, "how": "chosen on train", "source": None},
        **{"tta": None, "crf": None, "image_labels": None, "commit": "abc"},
        "recipe": {"predicted_ignore": "error"},
        "metrics": dict.fromkeys((*metrics, "pixel_accuracy"), 0.5),
        "fixed": None,
        "curve": {
            "thresholds": thresholds,
            "miou": miou,
            "fp": [None if m is None else 0.75 * (1 - m) for m in miou],
            "fn": [None if m is None else 0.25 * (1 - m) for m in miou],
        },
    }
    path.write_text(json.dumps(document | more))
    return str(path)


def spec(rows, **recipe):
    recipe = {"experiments": list(rows), "columns": ["cam"]} | recipe
    listed = [{"name": name, "files": files} for name, files in rows.items()]
    return parse(json.dumps({"recipe": recipe, "rows": listed}), CurvesSpec)


@pytest.fixture
def rows(tmp_path):
    a = [
        write_evaluation(tmp_path / "a0.json", [0.2, 0.4, 0.6, 0.4], reported=0.5),
        write_evaluation(tmp_path / "a1.json", [0.4, 0.6, 0.8, 0.2], reported=0.3),
    ]
    b = [write_evaluation(tmp_path / "b0.json", [0.1, 0.2, 0.3, None])]
    return {"vanilla": {"cam": a}, "p-noc": {"cam": b, "walk": b}}


@pytest.fixture
def drawn(monkeypatch):
    made = []
    png = curves.png

    def remember(figure):
        made.append(figure)
        return png(figure)

    monkeypatch.setattr(curves, "png", remember)
    return made


def long_lines(panel):
    return {line.get_label(): line for line in panel.lines if len(line.get_xdata()) > 1}


def dots(panel):
    found = [line for line in panel.lines if line.get_marker() == "o" and len(line.get_xdata())]
    return [
        (to_hex(d.get_color()), float(d.get_xdata()[0]), float(d.get_ydata()[0])) for d in found
    ]


def test_mean_band_and_reported_thresholds(rows, drawn):
    curves_figure(spec(rows, title="Ablation"))
    (figure,) = drawn
    assert len(figure.axes) == 6  # cam and walk, each with mIoU, FP and FN
    miou, fp, fn, walk = figure.axes[:4]
    assert [panel.get_title()[:5] for panel in (miou, fp, fn, walk)] == [
        "mIoU",
        "over-",
        "under",
        "",
    ]
    assert (miou.get_ylabel(), walk.get_ylabel()) == ("cam, %", "walk, %")
    lines = long_lines(miou)
    assert list(lines) == ["vanilla", "p-noc"]
    assert lines["vanilla"].get_xdata().tolist() == THRESHOLDS
    assert lines["vanilla"].get_ydata() == pytest.approx([30, 50, 70, 30])
    assert long_lines(fp)["vanilla"].get_ydata() == pytest.approx([52.5, 37.5, 22.5, 52.5])
    assert long_lines(fn)["vanilla"].get_ydata() == pytest.approx([17.5, 12.5, 7.5, 17.5])
    (band,) = miou.collections  # one seed has none
    edge = band.get_paths()[0].vertices
    std = np.std([60, 80], ddof=1)
    assert edge[:, 1].max() == pytest.approx(70 + std)
    colours = [to_hex(lines[name].get_color()) for name in ("vanilla", "p-noc")]
    assert dots(miou) == [
        (colours[0], 0.5, pytest.approx(60)),
        (colours[0], 0.3, pytest.approx(60)),
        (colours[1], 0.3, pytest.approx(20)),
    ]
    assert list(long_lines(walk)) == ["p-noc"]
    assert to_hex(long_lines(walk)["p-noc"].get_color()) == colours[1]
    assert "Ablation" in figure.get_suptitle() and "over 2 seeds" in figure.get_suptitle()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["vanilla", "p-noc", "reported threshold, of each seed"]


def test_panels_of_a_column_share_an_axis_that_holds_every_line(rows, tmp_path, drawn):
    high = write_evaluation(tmp_path / "high.json", [0.5, 0.95, 0.9, 0.8])
    curves_figure(spec({"vanilla": {"cam": rows["vanilla"]["cam"], "walk": [high]}}))
    cam, walk = drawn[0].axes[0], drawn[0].axes[3]
    assert cam.get_ylim() == walk.get_ylim()
    assert cam.get_ylim()[0] == 0 and cam.get_ylim()[1] > 95


def test_thresholds_that_one_seed_tried_alone_are_left_out(rows, tmp_path, drawn):
    more = [0.1, 0.3, 0.42, 0.5, 0.7]
    other = write_evaluation(
        tmp_path / "c.json", [0.2, 0.4, 0.9, 0.6, 0.4], reported=0.42, thresholds=more
    )
    curves_figure(spec({"vanilla": {"cam": [rows["vanilla"]["cam"][0], other]}}))
    miou = drawn[0].axes[0]
    assert long_lines(miou)["vanilla"].get_xdata().tolist() == THRESHOLDS
    assert dots(miou)[1][1:] == (0.42, pytest.approx(90))  # its own curve has it
    alone = write_evaluation(tmp_path / "d.json", [0.5], thresholds=[0.33])
    with pytest.raises(UserError, match="share no threshold; evaluate them with one recipe"):
        curves_figure(spec({"vanilla": {"cam": [other, alone]}}))


def test_more_experiments_than_colours_are_told_apart(rows, drawn):
    many = {f"e{i}": rows["vanilla"] for i in range(9)}
    curves_figure(spec(many))
    lines = long_lines(drawn[0].axes[0]).values()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


def test_mistakes(rows, tmp_path):
    masks = write_evaluation(tmp_path / "m.json", [0.5] * 4, curve=None)
    train = write_evaluation(tmp_path / "t.json", [0.5] * 4, split="train")
    for files, message in [
        ({"cam": [masks]}, "has no curve, it is of maps"),
        ({"cam": [train]}, "is of split train, but val is needed"),
        ({}, "no row has maps; evaluate one of cam, c2am, "),
    ]:
        with pytest.raises(UserError, match=message):
            curves_figure(spec({"a": files}))
    with pytest.raises(UserError, match="--spec: "):
        spec({"a": {"pseudo": [masks]}})


def test_command(rows, tmp_path):
    wanted, out = spec(rows), tmp_path / "t.curves.png"
    arguments = ["curves", "--spec", wanted.to_json(), "--out", str(out)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert out.read_bytes() == curves_figure(wanted)
    assert Image.open(io.BytesIO(out.read_bytes())).width == 1800
    card = json.loads((tmp_path / "log" / "t.curves.png.run.json").read_text())
    assert card["entry"] == "wsss.report.curves"
