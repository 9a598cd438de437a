"""A metric is one entry: configurations, tables, notes and docs read it from there."""

import json
import re
import subprocess
import sys
from pathlib import Path

from wsss.report.columns import columns_page

ROOT = Path(__file__).parents[2]


def test_the_columns_in_the_docs_are_in_sync():
    page = (ROOT / "docs/stages/report.md").read_text()
    block = re.search(r"<!-- columns:.*?-->\n(.*?)<!-- end of columns -->", page, re.S)
    assert block[1] == columns_page(), "run: make generated"


# The recipes are built from the metrics when they are imported, so the entry comes first.
ADD_A_METRIC = """
import json, sys
from pathlib import Path
from wsss.core.metrics import METRICS, Metric

METRICS["masks"]["dice"] = Metric("Dice", "Dice of the foreground (lower is better)", True)

from wsss.core.configfile import merge_used, read_yaml
from wsss.report.columns import columns_page
from wsss.report.render import to_latex, to_markdown
from wsss.report.spec import TableSpec, parse
from wsss.report.table import make_table
from wsss.workflow import loading
from wsss.workflow.schema import schema_text

config = merge_used(read_yaml(Path("config.yaml")), "config.yaml")
config["tables"] = {
    "own": {"experiments": ["vanilla"], "columns": ["cam", "walk:dice"]},
    "all": {"experiments": ["vanilla"], "columns": ["cam"], "metric": "dice"},
}
loading.parse(config)
table = make_table(parse(Path(sys.argv[1]).read_text(), TableSpec))
print(json.dumps({
    "table": to_markdown(table),
    "latex": to_latex(table),
    "docs": columns_page(),
    "schema": schema_text(),
}))
"""


def evaluation(path: Path, dice: float) -> str:
    metrics = dict.fromkeys(("miou", "miou_foreground", "fp", "fn", "precision", "recall"), 0.5)
    metrics |= {"f1": 0.5, "pixel_accuracy": 0.5, "dice": dice}
    document = {
        "format": "wsss evaluation",
        "version": 1,
        "evaluated": {"kind": "maps", "files": ["cam.val.h5"], "made_by": None},
        "split": "val",
        "images": 100,
        "threshold": {"value": 0.3, "how": "chosen on train", "source": "x.eval.json"},
        "recipe": {"predicted_ignore": "error"},
        "commit": "abc",
        "metrics": metrics,
        **dict.fromkeys(("tta", "crf", "image_labels", "fixed", "curve")),
    }
    path.write_text(json.dumps(document))
    return str(path)


def test_a_metric_is_one_entry(tmp_path):
    rows = [
        {"name": name, "cells": {"cam:dice": [evaluation(tmp_path / f"{name}.json", dice)]}}
        for name, dice in (("good", 0.125), ("bad", 0.75))
    ]
    recipe = {"experiments": ["good", "bad"], "columns": ["cam:dice", "cam"]}
    for row in rows:
        row["cells"]["cam"] = row["cells"]["cam:dice"]
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"recipe": recipe, "rows": rows}))
    done = subprocess.run(
        [sys.executable, "-c", ADD_A_METRIC, str(spec)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    lines = found["table"].splitlines()
    assert "cam Dice" in found["table"] and "cam Dice" in found["latex"]
    (best,) = [line for line in lines if line.startswith("| good")]
    assert "**12.5**" in best  # lower is better
    assert "Dice of the foreground" in found["table"].split("| bad")[1]  # in the notes
    assert "| `dice` | Dice | Dice of the foreground (lower is better) |" in found["docs"]
    assert '"dice"' in found["schema"]
