"""The metrics of the rows that `wsss.explain.metrics.detections` makes, and the rows in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from wsss.core.errors import UserError

METRICS = ("increase", "drop", "retention", "drop_of_others", "retention_of_others")
OTHERS = ("drop_of_others", "retention_of_others")
AREAS = ("deletion", "insertion")  # in rows whose recipe has curves
BETAS = (0.5, 1, 2)
# The metrics as tables call them.
SHORT = {
    "ic": "increase",
    "ad": "drop",
    "ar": "retention",
    "ado": "drop_of_others",
    "aro": "retention_of_others",
}
COLUMNS = ("image", "class", "probability", "detections", *METRICS)


def aggregate(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of `by_class` averaged, in percent: a row "micro", a row "macro".

    micro: every detection counts once; macro: every class with detections does. Of the columns
    `*_multi` a detection counts where its image has others, and a class where it has such
    detections. F-scores are of each class, then averaged, so they are not the F-score of the
    averages. Without rows, NaN.
    """
    classes = by_class(rows)
    counts = classes[["detections", "detections_multi"]]
    averaged = classes.drop(columns=counts.columns)
    table = pd.DataFrame(index=["micro", "macro"], columns=averaged.columns, dtype=np.float64)
    for name, values in averaged.items():
        support = counts["detections_multi" if name.endswith("_multi") else "detections"]
        has = support > 0
        table.loc["micro", name] = _weighted_mean(values[has], support[has])
        table.loc["macro", name] = values[has].mean()
    return table


def metrics(rows: pd.DataFrame) -> dict[str, float]:
    """What tables show of `aggregate`, by their names for it, as fractions; NaN without rows.

    ic, ad, ar, ado, aro: micro; macro_ic, …: macro; ado_multi, aro_multi: micro, of images with two
    or more detections; deletion, insertion: micro, where rows have them; f1_of_ar_ado,
    f1_of_ad_aro: macro.
    """
    table = aggregate(rows) / 100
    micro, macro = table.loc["micro"], table.loc["macro"]
    found = {short: micro[name] for short, name in SHORT.items()}
    found |= {f"macro_{short}": macro[name] for short, name in SHORT.items()}
    found |= {f"{short}_multi": micro[f"{SHORT[short]}_multi"] for short in ("ado", "aro")}
    found |= {name: micro[name] for name in AREAS if name in table}
    found["f1_of_ar_ado"] = macro["f1_retention_drop_of_others"]
    found["f1_of_ad_aro"] = macro["f1_drop_retention_of_others"]
    return found


def by_class(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each class with detections, by its index.

    Columns: detections, and detections_multi, those in images with two or more; the means of the
    five metrics over the detections, in percent, and of the areas of deletion and insertion where
    the rows have them; `drop_of_others_multi` and
    `retention_of_others_multi` over detections_multi (NaN without any), since a class that is alone
    counts 0 otherwise; F_β, β of ½, 1 and 2, of two that should be high, as
    `f1_retention_drop_of_others`, and of two that should be low, as
    `f1_drop_retention_of_others`.
    """
    multi = rows[rows["detections"] >= 2].groupby("class")
    groups = rows.groupby("class")
    averaged = [*METRICS, *(name for name in AREAS if name in rows)]
    table = 100 * groups[averaged].mean().astype(np.float64)
    for name in OTHERS:
        table[f"{name}_multi"] = 100 * multi[name].mean()
    for beta in BETAS:
        table[f"f{beta}_retention_drop_of_others"] = f_beta(
            table["retention"], table["drop_of_others"], beta
        )
        table[f"f{beta}_drop_retention_of_others"] = f_beta(
            table["drop"], table["retention_of_others"], beta
        )
    table.insert(0, "detections", groups.size())
    table.insert(1, "detections_multi", multi.size().reindex(table.index, fill_value=0))
    return table


def f_beta(a: pd.Series, b: pd.Series, beta: float | int) -> pd.Series:
    """(1 + β²) a b / (β² b + a); 0 where both are 0. A β above 1 weighs a more."""
    below = beta**2 * b + a
    return (1 + beta**2) * a * b / below.where(below > 0, 1)


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """As CSV, every digit of the numbers; further columns, such as classes' names, as well."""
    rows.to_csv(path, index=False)


def read_rows(path: Path) -> pd.DataFrame:
    """Rows as `write_rows` wrote them, to the last bit; names of images are text.

    Raises UserError for a file that is not such a table.
    """
    try:
        # "NA" is a name, too.
        blank = {name: [""] for name in (*COLUMNS, *AREAS) if name != "image"}
        rows = pd.read_csv(path, dtype={"image": str}, keep_default_na=False, na_values=blank)
    except (OSError, ValueError) as error:
        line = str(error).partition("\n")[0]
        raise UserError(f"{path}: no table of detections ({line}); make it again") from None
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise UserError(f"{path}: no column '{missing[0]}'; make it again")
    return rows


def _weighted_mean(values: pd.Series, weights: pd.Series) -> float:
    return float((values * weights).sum() / weights.sum()) if len(values) else float("nan")
