import numpy as np
import pandas as pd
import pytest

from wsss.core.errors import UserError
from wsss.explain.metrics.averages import (
    METRICS,
    aggregate,
    by_class,
    f_beta,
    metrics,
    read_rows,
    write_rows,
)

GOLDEN = pd.DataFrame(
    {
        "image": ["a", "a", "b"],
        "class": [0, 1, 0],
        "probability": [0.9, 0.8, 0.7],
        "detections": [2, 2, 1],
        "increase": [1, 0, 0],
        "drop": [0, 0.25, 0.2],
        "retention": [0.8, 0.5, 0.5],
        "drop_of_others": [0.75, 0.5, 0],
        "retention_of_others": [0.0, 0.0, 0.0],
    }
)


def random_rows(n=200):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "image": [f"{i // 2:06d}" for i in range(n)],
            "class": rng.integers(0, 7, n) * 3,
            "probability": rng.uniform(0.5, 1, n),
            "detections": rng.integers(1, 4, n),
            "increase": rng.integers(0, 2, n),
        }
    )
    for name in METRICS[1:]:
        rows[name] = rng.uniform(0, 1, n)
    return rows


def test_the_golden_numbers():
    table = aggregate(GOLDEN)
    micro = [100 / 3, 15, 60, 125 / 3, 0]
    macro = [25, 17.5, 57.5, 43.75, 0]
    assert table.loc["micro", list(METRICS)].tolist() == pytest.approx(micro)
    assert table.loc["macro", list(METRICS)].tolist() == pytest.approx(macro)
    assert table.loc["micro", "drop_of_others_multi"] == pytest.approx(62.5)
    assert table.loc["micro", "retention_of_others_multi"] == 0


def test_f_scores_are_of_classes_and_then_averaged():
    table, classes = aggregate(GOLDEN), by_class(GOLDEN)
    # Class 0: retention 65, drop of others 37.5; class 1: 50 and 50.
    of_0 = {0.5: 1.25 * 65 * 37.5 / (0.25 * 37.5 + 65), 1: 2 * 65 * 37.5 / 102.5}
    of_0[2] = 5 * 65 * 37.5 / (4 * 37.5 + 65)
    for beta, value in of_0.items():
        name = f"f{beta}_retention_drop_of_others"
        assert classes[name].tolist() == pytest.approx([value, 50])
        assert table.loc["macro", name] == pytest.approx((value + 50) / 2)
        assert table.loc["micro", name] == pytest.approx((2 * value + 50) / 3)
        # Retention of others is 0, so the other is 0 as well.
        assert table.loc["micro", f"f{beta}_drop_retention_of_others"] == 0


def test_f_beta_weighs_its_first_argument_more_above_1():
    a, b = pd.Series([0.2, 0.0]), pd.Series([0.8, 0.0])
    values = [f_beta(a, b, beta) for beta in (0.01, 1, 100)]
    assert [v[0] for v in values] == pytest.approx([0.8, 0.32, 0.2], rel=1e-3)
    assert [v[1] for v in values] == [0, 0, 0]


def test_micro_is_the_mean_over_rows_and_macro_over_classes_that_have_some():
    rows = random_rows()
    table = aggregate(rows)
    multi = rows[rows["detections"] >= 2]
    for name in METRICS:
        assert table.loc["micro", name] == pytest.approx(100 * rows[name].mean())
        each = [rows[rows["class"] == c][name].mean() for c in rows["class"].unique()]
        assert table.loc["macro", name] == pytest.approx(100 * np.mean(each))
    name = "drop_of_others"
    assert table.loc["micro", f"{name}_multi"] == pytest.approx(100 * multi[name].mean())


def test_areas_are_averaged_where_rows_have_them():
    rows = random_rows()
    assert "deletion" not in aggregate(rows)
    areas = rows.assign(deletion=rows["drop"] / 2, insertion=1 - rows["drop"])
    table, without = aggregate(areas), aggregate(rows)
    pd.testing.assert_series_equal(
        table["deletion"], without["drop"] / 2, check_names=False, rtol=1e-12
    )
    pd.testing.assert_series_equal(
        table["insertion"], 100 - without["drop"], check_names=False, rtol=1e-12
    )
    pd.testing.assert_frame_equal(table[list(without)], without, check_exact=True)


def test_figures_of_tables_are_those_of_the_aggregate():
    rows = random_rows().assign(deletion=0.25, insertion=0.5)
    table, found = aggregate(rows), metrics(rows)
    names = {"ic": METRICS[0], "ad": METRICS[1], "ar": METRICS[2], "ado": METRICS[3]}
    names["aro"] = METRICS[4]
    expected = {
        **{short: ("micro", name) for short, name in names.items()},
        **{f"macro_{short}": ("macro", name) for short, name in names.items()},
        "ado_multi": ("micro", "drop_of_others_multi"),
        "aro_multi": ("micro", "retention_of_others_multi"),
        "deletion": ("micro", "deletion"),
        "insertion": ("micro", "insertion"),
        "f1_of_ar_ado": ("macro", "f1_retention_drop_of_others"),
        "f1_of_ad_aro": ("macro", "f1_drop_retention_of_others"),
    }
    assert found.keys() == expected.keys()
    assert len({round(value, 9) for value in found.values()}) == len(found)  # none for another
    for name, place in expected.items():
        assert 100 * found[name] == pytest.approx(table.loc[place]), name
    assert set(metrics(rows[list(random_rows())])) == set(found) - {"deletion", "insertion"}


def test_a_class_that_is_always_alone_has_no_part_in_the_others_of_multi():
    rows = pd.concat([GOLDEN, GOLDEN.iloc[[2]].assign(**{"class": 2})])
    table, classes = aggregate(rows), by_class(rows)
    assert classes["detections_multi"].tolist() == [1, 1, 0]
    assert np.isnan(classes.loc[2, "drop_of_others_multi"])
    assert table.loc["macro", "drop_of_others_multi"] == pytest.approx(62.5)
    assert table.loc["macro", "drop_of_others"] == pytest.approx((37.5 + 50 + 0) / 3)


def test_rows_from_a_file_give_the_same_numbers_to_the_last_bit(tmp_path):
    rows = random_rows(2000).assign(name="dog, hot")
    rows["image"] = ["NA", "001", "nan", "", *rows["image"][4:].astype(str)]
    write_rows(rows, tmp_path / "rows.csv")
    again = read_rows(tmp_path / "rows.csv")
    pd.testing.assert_frame_equal(again, rows, check_exact=True)
    pd.testing.assert_frame_equal(aggregate(again), aggregate(rows), check_exact=True)


def test_rows_of_parts_concatenate():
    rows = random_rows()
    parts = pd.concat([rows[:70], rows[70:]])
    pd.testing.assert_frame_equal(aggregate(parts), aggregate(rows), check_exact=True)


def test_no_detection_at_all_is_nan_everywhere(tmp_path):
    table = aggregate(GOLDEN[:0])
    assert table.index.tolist() == ["micro", "macro"] and table.isna().all(axis=None)
    write_rows(GOLDEN[:0], tmp_path / "rows.csv")
    again = aggregate(read_rows(tmp_path / "rows.csv"))
    pd.testing.assert_frame_equal(again, table)


def test_other_files_are_refused_in_a_line(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("image,class\na,0\n")
    with pytest.raises(UserError, match=r"rows\.csv: no column 'probability'"):
        read_rows(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="no table of detections"):
        read_rows(path)
    with pytest.raises(UserError, match="no table of detections"):
        read_rows(tmp_path / "absent.csv")
