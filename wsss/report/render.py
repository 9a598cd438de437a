"""A table as CSV (raw numbers), Markdown and LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from wsss.core.files.atomic import write_text
from wsss.report.spec import TableSpec
from wsss.report.table import Cell, Table, best, make_table

BLANK = "–"
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "–": "--",
        "−": "$-$",
        **{c: f"\\{c}" for c in "&%$#_{}"},
    }
)


def write_tables(spec: TableSpec, *, csv: Path, markdown: Path, latex: Path) -> Table:
    """Make a table and write it in its three forms; errors as `make_table`."""
    table = make_table(spec)
    for out, text in ((csv, to_csv), (markdown, to_markdown), (latex, to_latex)):
        write_text(out, text(table))
    return table


def to_frame(table: Table) -> pd.DataFrame:
    """One row per cell: experiment, column, metric, mean, std, n; fractions, seconds or GiB."""
    rows = [
        (name, column, metric, cell.mean, cell.std, len(cell.values))
        for name, row in zip(table.recipe.experiments, table.cells, strict=True)
        for column, metric, cell in zip(table.columns, table.metrics, row, strict=True)
    ]
    return pd.DataFrame(rows, columns=["experiment", "column", "metric", "mean", "std", "n"])


def to_csv(table: Table) -> str:
    """`to_frame` as CSV; blank where a cell has no number."""
    return to_frame(table).to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """Title, table with aligned columns, and the footnotes."""
    header = ["", *(_markdown(heading) for heading in table.headings())]
    lines = [header, *_body(table, _markdown, "**{}**".format)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = [f"### {_markdown(table.recipe.title)}\n"] if table.recipe.title else []
    for line in [lines[0], rule, *lines[1:]]:
        first, *rest = line
        padded = [first.ljust(widths[0])]
        padded += [part.rjust(width) for part, width in zip(rest, widths[1:], strict=True)]
        text.append(f"| {' | '.join(padded)} |")
    notes = "\n".join(_markdown(note) for note in table.notes)
    return "\n".join(text) + f"\n\n{notes}\n"


def to_latex(table: Table) -> str:
    """A table environment; its preamble needs booktabs."""
    lines = [["", *(_latex(heading) for heading in table.headings())]]
    lines += _body(table, _latex, r"\textbf{{{}}}".format)
    rows = [" & ".join(line) + r" \\" for line in lines]
    text = [
        "% \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        *([f"  \\caption{{{_latex(table.recipe.title)}}}"] if table.recipe.title else []),
        f"  \\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"    \toprule",
        f"    {rows[0]}",
        r"    \midrule",
        *(f"    {row}" for row in rows[1:]),
        r"    \bottomrule",
        r"  \end{tabular}",
        "",
        r"  \smallskip\footnotesize",
        *(f"  {_latex(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(text) + "\n"


def _body(
    table: Table, escape: Callable[[str], str], bold: Callable[[str], str]
) -> list[list[str]]:
    names = table.recipe.experiments
    baseline = names.index(table.recipe.baseline) if table.recipe.baseline else None
    counts = {len(cell.values) for row in table.cells for cell in row if cell.values}
    top = [best([row[i] for row in table.cells], metric) for i, metric in enumerate(table.shown)]
    lines = []
    for r, (name, row) in enumerate(zip(names, table.cells, strict=True)):
        line = [escape(name)]
        for i, (cell, metric) in enumerate(zip(row, table.metrics, strict=True)):
            text = escape(_text(cell, metric, show_n=len(counts) > 1))
            if top[i] is not None and cell.mean is not None:
                # Cells that print the same number are equally good.
                if number(cell.mean, metric) == number(top[i], metric):
                    text = bold(text)
            if baseline not in (None, r):
                text += escape(_difference(cell, table.cells[baseline][i], metric))
            line.append(text)
        lines.append(line)
    return lines


def number(value: float, metric: str) -> str:
    """Percent with one decimal; seconds as whole numbers from 100 on; GiB with one decimal."""
    if metric == "seconds":
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
    return f"{value:.1f}" if metric == "max_rss_gib" else f"{100 * value:.1f}"


def _text(cell: Cell, metric: str, *, show_n: bool) -> str:
    if cell.mean is None:
        return BLANK
    text = number(cell.mean, metric)
    if cell.std is not None:
        text += f" ± {number(cell.std, metric)}"
    return f"{text} (n = {len(cell.values)})" if show_n else text


def _difference(cell: Cell, baseline: Cell, metric: str) -> str:
    if cell.mean is None or baseline.mean is None:
        return ""
    value = cell.mean - baseline.mean
    text = number(abs(value), metric)
    sign = "±" if float(text) == 0 else "−" if value < 0 else "+"
    return f" ({sign}{text})"


def _markdown(text: str) -> str:
    for character in "\\|*_`<":
        text = text.replace(character, f"\\{character}")
    return text


def _latex(text: str) -> str:
    return text.translate(_LATEX)
