"""What a table can show: its columns, and the metrics of each, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from wsss.core.metrics import METRICS, Metric
from wsss.core.outputs import OUTPUTS, REFINABLE, kind_of


def columns_page() -> str:
    """The columns of tables, then the metrics of each kind of column."""
    lines = ["| column | stage | what is evaluated | default metric |", "|---|---|---|---|"]
    for name, output in OUTPUTS.items():
        of_train = " (train only)" if output.of_train else ""
        metric = f"`{output.metric}`" if output.metric else "of the table"
        lines.append(f"| `{name}` | {output.stage} | {output.about}{of_train} | {metric} |")
    lines += [
        "",
        f"A dense CRF refines {_code_list(REFINABLE)}: `cam.crf-<recipe>` is a column, too.",
    ]
    for kind, metrics in METRICS.items():
        columns = [name for name in OUTPUTS if kind_of(name) == kind]
        lines += ["", f"Metrics of {_code_list(columns)}:", ""]
        lines += ["| metric | heading | meaning |", "|---|---|---|"]
        lines += [_row(name, metric) for name, metric in metrics.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, metric: Metric) -> str:
    only = f"; only of {_code_list(metric.only_of)}" if metric.only_of else ""
    curves = "; only where the recipe has `curves`" if metric.needs_curves else ""
    return f"| `{name}` | {metric.label} | {metric.note}{only}{curves} |"


def _code_list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
