"""Text files of CAMELS-US: the fixed layout, any other, and what is wrong in them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.storage.errors import InputError
from thalweg.storage.sources import SourceChanged
from thalweg.storage.sources.camels_us_files import (
    _fixed_flow,
    _free_flow,
    days_of,
    outline,
    read_flow,
    read_forcing,
)

HEAD = "  45.06\n 318.00\n 771486538\n"
COLUMNS = "Year\tMnth\tDay\tHr\tdayl(s)\tprcp(mm/day)\tsrad(W/m2)\tswe(mm)\ttmax(C)\ttmin(C)\tvp(Pa)\n"


def forcing_rows(first="1999-12-30", days=5):
    dates = pd.date_range(first, periods=days)
    return [
        f"{day.year}\t{day.month}\t{day.day}\t12\t31101.64\t{row}.25\t227.29\t0.0\t{row - 2}.5\t-13.37\t207.95\n"  # noqa: E501
        for row, day in enumerate(dates)
    ]


@pytest.fixture
def forcing(tmp_path):
    """Return a function that writes a forcing file."""

    def write(rows, columns=COLUMNS, head=HEAD):
        file = tmp_path / "01031500_lump_maurer_forcing_leap.txt"
        file.write_text(head + columns + "".join(rows), newline="")
        return file

    return write


def flow_rows(values, flags, first="1980-01-01"):
    days = pd.date_range(first, periods=len(values))
    return "".join(
        f"01031500 {day:%Y %m %d} {value:8.2f} {flag}\n"
        for day, value, flag in zip(days, values, flags, strict=True)
    )


@given(
    st.lists(
        st.tuples(
            st.one_of(st.just(-999.0), st.floats(0, 99999.99).map(lambda value: round(value, 2))),
            st.sampled_from(["A", "A:e", "M", "A:<"]),
        ),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None)
def test_fixed_columns_give_exactly_what_reading_word_by_word_gives(rows):
    values, flags = zip(*rows, strict=True)
    content = flow_rows(values, flags).encode()
    fixed, free = _fixed_flow(content), _free_flow(content, "x")
    assert fixed is not None
    assert (fixed[0] == free[0]).all()
    np.testing.assert_array_equal(fixed[1], free[1])
    expected = [np.nan if value == -999 or flag == "M" else value for value, flag in rows]
    np.testing.assert_array_equal(fixed[1], expected)


@pytest.mark.parametrize(
    "text",
    [
        flow_rows([1, 2, 3], "AAA").replace("   2.00", "  -2.00"),
        flow_rows([1, 2, 3], "AAA").replace("    2.00", "1234567.00"),
        flow_rows([1, 2, 3], "AAA").replace("    2.00", "  2"),
        flow_rows([1, 2, 3], "AAA").replace("1980 01 02", "1980  1  2"),
        flow_rows([1, 2, 3], "AAA").replace("1980 01 03", "1980 01 04"),
        flow_rows([1, 2, 3], "AAA").replace(" 2.00", "2 .00"),
    ],
)
def test_other_forms_are_left_to_reading_word_by_word(text):
    assert _fixed_flow(text.encode()) is None


def test_flow_with_a_gap_and_negative_values(tmp_path):
    file = tmp_path / "flow.txt"
    file.write_text(flow_rows([1, 2], "AA") + flow_rows([-3.5, -999], "AM", "1980-01-05"))
    series = read_flow(file, "x")
    assert [str(day) for day in series.days] == ["1980-01-01", "1980-01-02", "1980-01-05", "1980-01-06"]
    np.testing.assert_array_equal(series.columns["discharge"], [1, 2, -3.5, np.nan])


def test_forcing_agrees_with_pandas(forcing):
    file = forcing(forcing_rows())
    series = read_forcing(file, "x")
    table = pd.read_csv(file, sep=r"\s+", skiprows=3)
    for name, column in (
        ("precipitation", "prcp(mm/day)"),
        ("temperature_max", "tmax(C)"),
        ("vapor_pressure", "vp(Pa)"),
    ):
        np.testing.assert_array_equal(series.columns[name], table[column])
    assert str(series.days[-1]) == "2000-01-03"
    ends = outline(file)
    assert (str(ends.first), str(ends.last), ends.extremes, ends.header.area) == (
        "1999-12-30",
        "2000-01-03",
        True,
        771486538.0,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.replace("\t", " ", 3),  # daymet: blanks in the date, then tabs
        lambda row: row.replace("\n", "\t\n"),
        lambda row: "  " + row.replace("\t", "   "),
        lambda row: row.replace("\n", "\r\n"),
    ],
)
def test_blanks_and_tabs(forcing, change):
    expected = read_forcing(forcing(forcing_rows()), "x")
    found = read_forcing(forcing([change(row) for row in forcing_rows()]), "x")
    assert (found.days == expected.days).all()
    for name, values in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], values)


def test_units_in_the_header_count(forcing):
    columns = COLUMNS.replace("prcp(mm/day)", "PRCP(cm/day)").replace("vp(Pa)", "Vp(hPa)")
    series = read_forcing(forcing(forcing_rows(), columns), "x")
    assert series.columns["precipitation"] == pytest.approx([2.5, 12.5, 22.5, 32.5, 42.5])
    assert series.columns["vapor_pressure"] == pytest.approx(20795.0)
    with pytest.raises(InputError, match=r"column 'prcp': unit 'K' cannot be converted to 'mm/day'"):
        read_forcing(forcing(forcing_rows(), COLUMNS.replace("prcp(mm/day)", "prcp(K)")), "x")


def test_unsorted_and_repeated_days_are_noted(forcing):
    rows = forcing_rows()
    series = read_forcing(forcing([rows[0], rows[3], rows[2], rows[2], rows[4]]), "site")
    assert [problem.check for problem in series.problems] == ["duplicates", "unsorted"]
    assert series.columns["precipitation"].tolist() == [0.25, 2.25, 3.25, 4.25]
    assert [str(day)[8:] for day in series.days] == ["30", "01", "02", "03"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: [*rows[:2], rows[2].replace("2.25", "x")],
            r"line 7, column 'prcp': 'x' is not a number",
        ),
        (lambda rows: [*rows[:2], "2000\t1\t1\t12\t31101\n"], r"line 7 has 5 values, 11 are needed"),
        (lambda rows: [rows[0], rows[1].replace("\t31\t", "\t32\t")], r"line 6: 1999-12-32 is no date"),
        (lambda rows: [rows[0].replace("\t12\t", "\t13\t", 1)], r"line 5: 1999-13-30 is no date"),
        (lambda rows: [], r"no days"),
    ],
)
def test_what_is_wrong_in_forcing_is_named_by_line_and_column(forcing, change, message):
    with pytest.raises(InputError, match=message):
        read_forcing(forcing(change(forcing_rows())), "x")


def test_what_is_wrong_in_flow_is_named_by_line_and_column(tmp_path):
    file = tmp_path / "flow.txt"
    file.write_text(flow_rows([1, 2, 3], "AAA").replace("2.00", "2,00"))
    with pytest.raises(InputError, match=r"line 2, column 'flow': '2,00' is not a number"):
        read_flow(file, "x")
    file.write_text(flow_rows([1, 2, 3], "AAA").replace(" A\n01031500 1980 01 03", "\n01031500 1980 01 03"))
    with pytest.raises(InputError, match="line 2 has 5 values, 6 are needed"):
        read_flow(file, "x")


def test_a_file_that_is_cut_off_is_refused(forcing):
    """Cut inside the last number, nothing but the missing end of the line tells."""
    file = forcing(forcing_rows())
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(
        SourceChanged, match=r"forcing_leap\.txt: the last line has no end, so the file is cut off"
    ):
        read_forcing(file, "x")


@pytest.mark.parametrize("first", ["1980-02-27", "1849-12-30", "2099-12-30"])
@pytest.mark.parametrize("left_out", [(), (3,), (0, 1)])
def test_days_of_columns(first, left_out, tmp_path):
    """Days in a row, with a leap day, beyond the table of days, and with gaps."""
    days = np.delete(np.datetime64(first) + np.arange(6), left_out)
    parts = np.array([str(day).split("-") for day in days], dtype=np.int16).T
    np.testing.assert_array_equal(days_of(*parts, tmp_path / "a.txt", 5), days)
    parts[2, -1] = 32
    with pytest.raises(InputError, match=rf"a.txt: line {4 + days.size}: .*-32 is no date"):
        days_of(*parts, tmp_path / "a.txt", 5)
