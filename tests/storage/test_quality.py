"""Quality checks: each finds what it should, with site and day, and changes nothing."""

import time
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.storage.conform import conform
from thalweg.storage.errors import InputError
from thalweg.storage.quality import (
    CHECKS,
    COLUMNS,
    QualityRules,
    check_quality,
    merge_reports,
    quarantine,
    refuse_too_many,
)
from thalweg.storage.sources.problems import Problem


def spoiled(dataset, variable, site, days, value):
    result = dataset.copy(deep=True)
    result[variable].values[site, days] = value
    return result


@pytest.fixture
def clean(make_dataset):
    return make_dataset(sites=4, days=400)


def only(report, check):
    found = report[report["check"] == check]
    assert len(found) == 1, report
    return found.iloc[0]


def test_a_clean_dataset_has_no_findings(clean):
    report = check_quality(clean)
    assert report.empty
    assert tuple(report.columns) == COLUMNS


@pytest.mark.parametrize(
    ("variable", "value", "check", "severity", "message"),
    [
        (
            "discharge",
            -0.5,
            "negative",
            "error",
            "discharge is negative on 3 days, first 2000-01-04; kept as it is",
        ),
        ("precipitation", -1.0, "negative", "error", "precipitation is negative on 3 days, first 2000-01-04"),
        (
            "precipitation",
            5000.0,
            "out_of_range",
            "error",
            "outside 0..1000 mm/day on 3 days, first 2000-01-04",
        ),
        ("temperature", 280.0, "out_of_range", "error", "outside -70..55 degC on 3 days"),
        ("temperature", -300.0, "out_of_range", "error", "outside -70..55 degC on 3 days"),
        (
            "temperature",
            np.nan,
            "missing",
            "error",
            "forcing temperature is missing on 3 days, first 2000-01-04",
        ),
        ("discharge", np.nan, "missing", "info", "discharge is missing on 3 days, first 2000-01-04"),
    ],
)
def test_bad_values_are_found_by_site_and_day_and_kept(clean, variable, value, check, severity, message):
    dataset = spoiled(clean, variable, 2, slice(5, 8), value)
    before = dataset.copy(deep=True)
    finding = only(check_quality(dataset), check)
    assert finding["severity"] == severity
    assert (finding["site"], finding["variable"], finding["count"]) == ("s02", variable, 3)
    assert finding["first_day"] == pd.Timestamp("2000-01-04")
    assert message in finding["message"]
    xr.testing.assert_identical(dataset, before)


def test_infinite_values_are_absurd(clean):
    report = check_quality(spoiled(clean, "discharge", 0, 1, np.inf))
    assert only(report, "out_of_range")["count"] == 1


def test_never_observed_target(clean):
    report = check_quality(spoiled(clean, "discharge", 1, slice(None), np.nan))
    finding = only(report, "no_target")
    assert (finding["severity"], finding["site"], finding["count"]) == ("error", "s01", 400)
    assert "missing" not in set(report["check"])


@pytest.mark.parametrize(("length", "found"), [(29, 0), (30, 1), (90, 1)])
def test_flat_discharge(clean, length, found):
    report = check_quality(spoiled(clean, "discharge", 3, slice(100, 100 + length), 1.23))
    flat = report[report["check"] == "flat"]
    assert len(flat) == found
    if found:
        assert flat.iloc[0]["first_day"] == pd.Timestamp(clean["time"].values[100])
        assert flat.iloc[0]["count"] == 1


def test_zero_flow_and_missing_runs_are_not_flat(clean):
    dataset = spoiled(
        spoiled(clean, "discharge", 0, slice(0, 100), 0.0), "discharge", 1, slice(0, 100), np.nan
    )
    assert "flat" not in set(check_quality(dataset)["check"])


def test_flat_rain_at_the_end_of_the_record(clean):
    report = check_quality(spoiled(clean, "precipitation", 0, slice(-10, None), 2.0))
    assert only(report, "flat")["first_day"] == pd.Timestamp(clean["time"].values[-10])


def test_swapped_extremes(clean):
    dataset = clean.assign(temperature_min=clean["temperature"] - 3, temperature_max=clean["temperature"] + 3)
    dataset["temperature_min"].values[1, 7] += 10
    finding = only(check_quality(dataset), "extremes_swapped")
    assert (finding["site"], finding["count"], finding["severity"]) == ("s01", 1, "warning")


def test_more_discharge_than_rain_suggests_a_wrong_unit(clean):
    dataset = clean.copy(deep=True)
    dataset["discharge"].values[2] *= 30.0
    finding = only(check_quality(dataset), "water_balance")
    assert finding["site"] == "s02"
    assert "look at units, area and forcing" in finding["message"]


def test_missing_attribute_and_area(clean):
    dataset = clean.copy(deep=True)
    dataset["slope"].values[1] = np.nan
    dataset = conform(dataset.assign(area_gages2=dataset["area"] * np.float32([1, 1.05, 2, 1])))
    report = check_quality(dataset)
    assert only(report, "attribute_missing")["message"] == "attribute slope is missing"
    assert only(report, "area_mismatch")["site"] == "s02"


def test_errors_come_first_and_every_check_is_documented(clean):
    dataset = spoiled(spoiled(clean, "discharge", 0, 3, np.nan), "precipitation", 1, 4, -1.0)
    assert check_quality(dataset)["severity"].tolist() == ["error", "info"]
    assert all(check.__doc__ for check in CHECKS.values())


@pytest.mark.parametrize("days", [1, 5])
def test_very_short_records(make_dataset, days):
    assert check_quality(make_dataset(sites=1, days=days)) is not None


def test_many_sites_take_seconds(make_dataset):
    small = make_dataset(sites=8, days=3650)
    large = xr.concat(
        [small.assign_coords(site=[f"{i}-{s}" for s in small["site"].values]) for i in range(20)], "site"
    )
    began = time.perf_counter()
    check_quality(large)
    # 671 sites x 40 years are 17 times this
    assert time.perf_counter() - began < 3.0


def noted_in(dataset, *problems):
    return dataset.assign_attrs(problems=[asdict(problem) for problem in problems])


def test_what_a_source_noted_is_reported(clean):
    report = check_quality(
        noted_in(
            clean,
            Problem("duplicates", "s01", "", "2000-01-04", 2, "x.csv: 2000-01-04 occurs twice"),
            Problem("unsorted", "s02", "", "2000-01-05", 1, "x.csv: 2000-01-05 stands after"),
        )
    )
    assert report[["severity", "check", "site", "count"]].values.tolist() == [
        ["error", "duplicates", "s01", 2],
        ["warning", "unsorted", "s02", 1],
    ]
    assert report["first_day"].iloc[0] == pd.Timestamp("2000-01-04")


def test_an_unreadable_site_has_that_finding_alone(clean):
    dataset = spoiled(clean, "discharge", 1, slice(None), np.nan)
    dataset["precipitation"].values[1] = np.nan
    report = check_quality(noted_in(dataset, Problem("unreadable", "s01", "", "", 400, "s01.txt: line 7: x")))
    assert report["check"].tolist() == ["unreadable"]
    assert quarantine(report, 400)["reason"].tolist() == ["s01.txt: line 7: x"]


def test_a_forcing_that_is_never_there(clean):
    finding = only(check_quality(spoiled(clean, "temperature", 3, slice(None), np.nan)), "no_forcing")
    assert (finding["severity"], finding["site"], finding["count"]) == ("error", "s03", 400)


def test_flat_runs_are_found_wherever_they_lie(clean):
    """The quick look before the count overlooks no run, at any place and of any length from the limit on."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        limit = {"discharge": 30, "precipitation": 10, "temperature": 10}
        variable = rng.choice(list(limit))
        length, start = int(rng.integers(limit[variable], 60)), int(rng.integers(0, 340))
        report = check_quality(spoiled(clean, variable, 2, slice(start, start + length), 3.125))
        finding = only(report, "flat")
        assert (finding["site"], finding["variable"]) == ("s02", variable)
        assert finding["first_day"] == pd.Timestamp(clean["time"].values[start])


def test_few_impossible_values_stay_and_many_are_quarantined(clean):
    few, many = (spoiled(clean, "discharge", 2, slice(0, days), -1.0) for days in (4, 5))
    assert quarantine(check_quality(few), 400).empty
    found = quarantine(check_quality(many), 400)
    assert found[["site", "check", "variable"]].values.tolist() == [["s02", "negative", "discharge"]]
    assert "negative on 5 days" in found["reason"].iloc[0]
    assert quarantine(check_quality(many), 400, QualityRules({"negative": None})).empty
    assert len(quarantine(check_quality(few), 400, QualityRules({"negative": 0.0}))) == 1


def test_a_wrong_unit_of_discharge_is_quarantined_and_poor_forcing_is_not(clean):
    dataset = clean.copy(deep=True)
    ratio = (dataset["discharge"].mean("time") / dataset["precipitation"].mean("time")).values
    dataset["discharge"].values[1] *= 1.5 / ratio[1]
    dataset["discharge"].values[2] *= 35.3 / ratio[2]
    report = check_quality(dataset)
    balance = report[report["check"] == "water_balance"].set_index("site")["severity"]
    assert balance.to_dict() == {"s01": "warning", "s02": "error"}
    assert quarantine(report, 400)["site"].tolist() == ["s02"]


def test_a_wrong_unit_of_temperature_is_quarantined(clean):
    dataset = spoiled(clean, "temperature", 0, slice(None), clean["temperature"].values[0] + 273.15)
    assert quarantine(check_quality(dataset), 400)[["site", "check"]].values.tolist() == [
        ["s00", "out_of_range"]
    ]


def test_too_many_quarantined_sites_fail(clean):
    dataset = spoiled(clean, "discharge", slice(0, 2), slice(0, 50), -1.0)
    found = quarantine(check_quality(dataset), 400)
    refuse_too_many(found, 4, QualityRules(max_quarantined=0.5))
    with pytest.raises(
        InputError, match=r"quality: 2 of 4 sites are quarantined, .* 0.1 allows; first s00: discharge"
    ):
        refuse_too_many(found, 4)
    with pytest.raises(InputError, match="2 of 2 sites"):
        refuse_too_many(found, 2, QualityRules(max_quarantined=1.0))


def test_reports_of_blocks_make_the_report_of_all(clean):
    dataset = spoiled(spoiled(clean, "discharge", 3, 3, np.nan), "precipitation", 0, 4, -1.0)
    parts = [check_quality(dataset.isel(site=rows)) for rows in (slice(0, 1), slice(1, 2), slice(2, 4))]
    pd.testing.assert_frame_equal(merge_reports(parts), check_quality(dataset))
    assert merge_reports([]).empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"quarantine": {"negativ": 0.1}},
            "unknown check in 'quarantine' of quality: 'negativ'; did you mean 'negative'",
        ),
        ({"quarantine": {"negative": 2}}, "quality: negative is 2; a share from 0 to 1"),
        ({"max_quarantined": "all"}, "max_quarantined is 'all'; a share"),
        ({"max_quarantine": 0.1}, "unknown key in quality: 'max_quarantine'"),
        ([], "is not a mapping"),
    ],
)
def test_wrong_rules(options, message):
    with pytest.raises(InputError, match=message):
        QualityRules.from_options(options)
