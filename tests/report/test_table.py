import csv
import io
import json
import shlex
import subprocess

import pytest
from typer.testing import CliRunner

from wsss.core.errors import UserError
from wsss.core.metrics import METRICS
from wsss.report.cli import app
from wsss.report.render import to_csv, to_latex, to_markdown
from wsss.report.spec import TableSpec, pack, parse
from wsss.report.table import make_table


def write_evaluation(path, miou, **more):
    document = {
        "format": "wsss evaluation",
        "version": 1,
        "evaluated": {"kind": "maps", "files": ["cam.val.h5"], "made_by": None},
        "split": "val",
        "images": 100,
        "threshold": {"value": 0.3, "how": "chosen on train", "source": "x.eval.json"},
        "tta": {"scales": [0.5, 1.0], "flip": True},
        "crf": None,
        "image_labels": "given",
        "commit": "abc",
        "recipe": {"predicted_ignore": "error"},
        "metrics": {
            **dict.fromkeys(("miou_foreground", "fn", "precision", "recall", "f1"), 0.5),
            **{"miou": miou, "fp": 1 - miou, "pixel_accuracy": 0.5},
        },
        "fixed": {"threshold": 0.25, "metrics": {"miou": miou / 2}},
        "curve": None,
    }
    path.write_text(json.dumps(document | more))
    return str(path)


def write_classification(path, f1, **more):
    document = {
        **{"format": "wsss evaluation", "version": 1, "split": "val", "images": 120},
        "evaluated": {"kind": "classifier", "files": ["model.safetensors"], "made_by": {}},
        "threshold": {"value": None, "how": "probability 0.5", "source": None},
        **dict.fromkeys(("tta", "crf", "image_labels", "recipe", "fixed", "curve")),
        **{"commit": "abc", "classes_without_image": []},
        "metrics": dict.fromkeys(METRICS["classifier"], 0.25) | {"f1": f1},
    }
    path.write_text(json.dumps(document | more))
    return str(path)


def spec(rows, **recipe):
    columns = recipe.pop("columns", ["cam", "walk"])
    recipe = {"experiments": list(rows), "columns": columns} | recipe
    listed = [{"name": name, "cells": cells} for name, cells in rows.items()]
    return parse(json.dumps({"recipe": recipe, "rows": listed}), TableSpec)


@pytest.fixture
def rows(tmp_path):
    a = [write_evaluation(tmp_path / f"a{i}.json", m) for i, m in enumerate((0.50, 0.52, 0.54))]
    b = [write_evaluation(tmp_path / f"b{i}.json", m) for i, m in enumerate((0.60, 0.61, 0.59))]
    c = [write_evaluation(tmp_path / "c0.json", 0.55)]
    return {"vanilla": {"cam": a}, "p_noc": {"cam": b, "walk": c}}


def test_csv_holds_raw_numbers(rows):
    lines = list(csv.DictReader(io.StringIO(to_csv(make_table(spec(rows))))))
    assert [(x["experiment"], x["column"], x["n"]) for x in lines] == [
        ("vanilla", "cam", "3"),
        ("vanilla", "walk", "0"),
        ("p_noc", "cam", "3"),
        ("p_noc", "walk", "1"),
    ]
    assert (float(lines[0]["mean"]), float(lines[0]["std"])) == pytest.approx((0.52, 0.02))
    assert lines[1]["mean"] == lines[1]["std"] == lines[3]["std"] == ""


def test_markdown(rows):
    text = to_markdown(make_table(spec(rows, title="Ablation", baseline="vanilla")))
    assert text.splitlines()[:6] == [
        "### Ablation",
        "",
        "|         |                           cam |         walk |",
        "| ------- | ----------------------------: | -----------: |",
        "| vanilla |            52.0 ± 2.0 (n = 3) |            – |",
        "| p\\_noc  | **60.0 ± 1.0 (n = 3)** (+8.0) | 55.0 (n = 1) |",
    ]


def test_a_footnote_says_which_blank_cells_no_masks_judge(rows):
    listed = [
        {"name": "vanilla", "cells": rows["vanilla"], "unjudged": ["walk", "pseudo"]},
        {"name": "p_noc", "cells": rows["p_noc"], "unjudged": ["pseudo"]},
    ]
    recipe = {"experiments": list(rows), "columns": ["cam", "walk", "pseudo"]}
    table = make_table(parse(json.dumps({"recipe": recipe, "rows": listed}), TableSpec))
    assert table.notes[-1].startswith("–: no masks judge walk (vanilla), pseudo: ")
    assert table.notes[-1] in to_markdown(table)
    assert not any("no masks" in note for note in make_table(spec(rows)).notes)


def test_the_number_of_seeds_stands_in_the_note_where_it_is_one(rows):
    text = to_markdown(make_table(spec_cam(rows)))
    assert "(n = " not in text and "mean ± standard deviation over 3 seeds" in text


def spec_cam(rows, **recipe):
    return spec({n: {"cam": c["cam"]} for n, c in rows.items()}, columns=["cam"], **recipe)


def test_lower_is_better_for_over_activation(rows):
    text = to_markdown(make_table(spec_cam(rows, metric="fp")))
    assert "**40.0 ± 1.0**" in text and "lower is better" in text


MIXED = ["cam", "cam:fp", "classifier", "classifier:map"]


@pytest.fixture
def mixed(rows, tmp_path):
    """Two experiments with three seeds: masks and image-level scores."""
    found = {}
    for name, f1s in {"vanilla": (0.7, 0.8, 0.9), "p_noc": (0.6, 0.6, 0.6)}.items():
        scores = [write_classification(tmp_path / f"{name}{i}.json", v) for i, v in enumerate(f1s)]
        cam = rows[name]["cam"]
        found[name] = dict(zip(MIXED, (cam, cam, scores, scores), strict=True))
    return found


def test_columns_with_metrics_of_their_own(mixed):
    table = make_table(spec(mixed, columns=MIXED))
    assert (table.columns, table.metrics) == (
        ["cam", "cam", "classifier", "classifier"],
        ["miou", "fp", "f1", "map"],
    )
    text = to_markdown(table)
    assert text.splitlines()[0] == (
        "|         |       cam mIoU |         cam FP |   classifier F1 | classifier mAP |"
    )
    # The best is the lowest FP, but the highest of the others; mAP is 25.0 everywhere.
    assert text.splitlines()[2:4] == [
        "| vanilla |     52.0 ± 2.0 |     48.0 ± 2.0 | **80.0 ± 10.0** | **25.0 ± 0.0** |",
        "| p\\_noc  | **60.0 ± 1.0** | **40.0 ± 1.0** |      60.0 ± 0.0 | **25.0 ± 0.0** |",
    ]
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [(x["column"], x["metric"]) for x in lines[:4]] == [
        ("cam", "miou"),
        ("cam", "fp"),
        ("classifier", "f1"),
        ("classifier", "map"),
    ]
    assert "& cam mIoU & cam FP & classifier F1 &" in to_latex(table)


def test_notes_of_several_metrics(mixed, tmp_path):
    notes = make_table(spec(mixed, columns=MIXED)).notes
    assert notes == [
        "In %, mean ± standard deviation over 3 seeds: mIoU; over-activation (FP of the "
        "foreground, lower is better); classifier: F1 of image-level labels, macro over classes; "
        "classifier: mean average precision of image-level labels, macro over classes. "
        "Bold: best of the column.",
        "Split: val; images: cam 100, classifier 120; image labels: given; "
        "TTA: scales 0.5, 1 and flip; CRF: none; threshold: chosen on train.",
        "Thresholds: cam 0.3.",
        "Commit abc.",
    ]
    few = write_classification(tmp_path / "few.json", 0.5, classes_without_image=["dog", "cat"])
    rows = {"vanilla": {"classifier": [few]}}
    notes = make_table(spec(rows, columns=["classifier"])).notes
    assert notes == [
        "classifier: F1 of image-level labels, macro over classes in %, one seed. "
        "Bold: best of the column.",
        "Split: val; images: 120.",
        "Classification without classes that no image shows: cat, dog.",
        "Commit abc.",
    ]


def test_a_column_at_a_fixed_threshold(rows):
    cam = {name: {"cam": c["cam"], "cam:fixed_miou": c["cam"]} for name, c in rows.items()}
    table = make_table(spec(cam, columns=["cam", "cam:fixed_miou"]))
    assert [cell.mean for cell in table.cells[0]] == pytest.approx([0.52, 0.26])
    assert table.headings() == ["cam mIoU", "cam mIoU, fixed threshold"]
    notes = "\n".join(table.notes)
    assert "; threshold: chosen on train; fixed threshold: 0.25, not tuned." in notes


def test_a_classifier_without_a_class_to_score_is_blank(tmp_path):
    nothing = dict.fromkeys(METRICS["classifier"])
    file = write_classification(tmp_path / "c.json", 0.5, metrics=nothing)
    table = make_table(spec({"a": {"classifier": [file]}}, columns=["classifier"]))
    assert table.cells[0][0].mean is None


def test_a_column_of_the_wrong_file(rows, tmp_path):
    scores, cam = write_classification(tmp_path / "c.json", 0.5), rows["vanilla"]["cam"][0]
    for column, file, message in [
        ("cam", scores, "evaluates classifier, the column shows cam"),
        ("classifier", cam, "evaluates maps, the column shows classifier"),
        ("cam:map", cam, "has no metric 'map'; take one of miou, "),
        ("classifier:fp", scores, "has no metric 'fp'; take one of f1, "),
    ]:
        with pytest.raises(UserError, match=message):
            make_table(spec({"a": {column: [file]}}, columns=[column]))
    with pytest.raises(UserError, match="columns: one is named twice"):
        spec({"a": {}}, columns=["cam", "cam:miou"])
    with pytest.raises(UserError, match="columns: one is named twice"):
        spec({"a": {}}, columns=["classifier", "classifier:f1"])


def test_latex_is_escaped(rows):
    text = to_latex(make_table(spec_cam(rows, title="50 % & more_", baseline="vanilla")))
    assert r"\caption{50 \% \& more\_}" in text and r"\begin{tabular}{lr}" in text
    assert r"p\_noc & \textbf{60.0 $\pm$ 1.0} (+8.0) \\" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in text
    assert "±" not in text


def test_cells_that_print_the_same_are_both_best(tmp_path):
    a, b = (write_evaluation(tmp_path / f"{i}.json", m) for i, m in enumerate((0.5001, 0.5003)))
    text = to_markdown(make_table(spec({"a": {"cam": [a]}, "b": {"cam": [b]}}, baseline="a")))
    assert text.count("**50.0**") == 2 and "(±0.0)" in text


def test_a_lone_cell_is_not_bold(rows):
    assert "**55.0" not in to_markdown(make_table(spec(rows)))


def test_fixed_threshold(rows, tmp_path):
    masks = write_evaluation(tmp_path / "masks.json", 0.7, fixed=None)
    table = make_table(spec(rows | {"masks": {"walk": [masks]}}, metric="fixed_miou"))
    assert table.cells[0][0].mean == pytest.approx(0.26)
    assert table.cells[2][1].mean is None
    assert "threshold: 0.25, not tuned" in "\n".join(table.notes)


def test_notes_say_what_is_the_same_and_what_differs(rows, tmp_path):
    notes = "\n".join(make_table(spec(rows)).notes)
    for part in (
        "Split: val",
        "images: 100",
        "TTA: scales 0.5, 1 and flip",
        "CRF: none",
        "image labels: given",
        "threshold: chosen on train",
        "Thresholds: cam 0.3, walk 0.3.",
        "Commit abc.",
    ):
        assert part in notes
    crf = {"preset": "labels", "steps": 10}
    threshold = {"value": 0.4, "how": "fixed by recipe", "source": None}
    other = write_evaluation(tmp_path / "x.json", 0.7, crf=crf, threshold=threshold, commit="def")
    predicted = write_evaluation(
        tmp_path / "y.json", 0.7, recipe={"predicted_ignore": "background"}
    )
    more = {"cam": [other], "walk": [predicted]}
    notes = "\n".join(make_table(spec(rows | {"other": more})).notes)
    assert "CRF: cam differs between rows (other labels, 10 steps / vanilla, p_noc none)" in notes
    assert "walk none" in notes and "Thresholds: cam 0.3 to 0.4, walk 0.3." in notes
    assert "Commits differ: abc, def." in notes
    assert "Predictions of 255 count as background." in notes


def write_benchmark(path, seconds, mib):
    path.write_text(f"s\th:m:s\tmax_rss\tmax_vms\n{seconds}\t0:00:01\t{mib}\t1\n")
    return str(path)


def test_seconds(tmp_path):
    def file(name, seconds, mib):
        return write_benchmark(tmp_path / name, seconds, mib)

    rows = {
        "a": {
            "cam": [[file("a", 10, 512), file("b", 5, 2048)], [file("c", 17, 1024)]],
            "walk": [[file("d", 100, 0)], [file("e", 200, "-")]],
        },
        "b": {"cam": [[file("f", 1.5, 3072)], [file("g", 2.5, 1024)]]},
    }
    table = make_table(spec(rows, kind="seconds"))
    assert table.columns == ["cam", "walk", "total", "peak memory, GiB"]
    assert [cell.values for cell in table.cells[0]] == [(15, 17), (100, 200), (115, 217), (2, 1)]
    assert [cell.values for cell in table.cells[1]] == [(1.5, 2.5), (), (1.5, 2.5), (3, 1)]
    text = to_markdown(table)
    assert "**2.0 ± 0.7**" in text and "150 ± 70.7" in text and "1.5 ± 0.7" in text
    assert "total,seconds,166" in to_csv(table)


def test_mistakes(rows, tmp_path):
    for path, message in [
        (tmp_path / "absent.json", "no such file"),
        (
            write_evaluation(tmp_path / "t.json", 0.5, split="train"),
            "is of split train, but val is needed",
        ),
        (write_evaluation(tmp_path / "v.json", 0.5, version=2), "no evaluation of this version"),
    ]:
        with pytest.raises(UserError, match=message):
            make_table(spec({"a": {"cam": [str(path)]}}))
    with pytest.raises(UserError, match="no benchmark of Snakemake"):
        make_table(spec({"a": {"cam": [[rows["vanilla"]["cam"][0]]]}}, kind="seconds"))
    with pytest.raises(UserError, match=r"--spec: .*baseline 'x' is none of the experiments"):
        spec({"a": {}}, baseline="x")
    with pytest.raises(UserError, match="'pseudo' is none of the columns"):
        spec({"a": {"pseudo": []}})
    with pytest.raises(UserError, match="give a list of paths for each seed"):
        spec({"a": {"cam": ["x"]}}, kind="seconds")
    with pytest.raises(UserError, match="columns: one is named twice"):
        spec({"a": {}}, columns=["cam", "cam"])


def test_command_writes_three_files_and_their_cards(rows, tmp_path):
    outs = [tmp_path / f"t.{kind}" for kind in ("csv", "md", "tex")]
    arguments = ["table", "--spec", spec(rows).to_json()]
    for out in outs:
        arguments += [f"--out-{out.suffix[1:]}", str(out)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    table = make_table(spec(rows))
    assert [out.read_text() for out in outs] == [to_csv(table), to_markdown(table), to_latex(table)]
    card = json.loads((tmp_path / "log" / "t.md.run.json").read_text())
    assert card["recipe"]["metric"] == "miou"


def test_a_long_spec_goes_through_a_command():
    columns = ["cam", "walk", "pseudo", "prediction", "labels", "cam.crf-labels"]
    names = [f"sweep-{i}" for i in range(1000)]
    cells = {
        c: [f"results/voc12/seed{s}/NAME/tta/{c}.eval.json" for s in range(5)] for c in columns
    }
    rows = [
        {"name": n, "cells": {c: [f.replace("NAME", n) for f in cells[c]] for c in cells}}
        for n in names
    ]
    text = json.dumps({"recipe": {"experiments": names, "columns": columns}, "rows": rows})
    assert len(text) > 10 * 2**17  # of which one argument of a command has at most one
    command = ["bash", "-c", f"printf %s {shlex.quote(pack(text))}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert parse(done.stdout, TableSpec) == parse(text, TableSpec)
    short = json.dumps({"recipe": {"experiments": [], "columns": []}, "rows": []})
    assert pack(short) == short


@pytest.mark.parametrize("broken", ["bz2:!", "bz2:QUJD"])
def test_a_broken_packed_spec_is_one_line(broken):
    with pytest.raises(UserError, match=r"^--spec: no base64 of bz2 after bz2:.*$"):
        parse(broken, TableSpec)
