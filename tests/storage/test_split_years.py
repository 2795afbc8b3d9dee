"""Splits by what the years were like: which are tested, that none of them trains, and what is refused."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.storage.errors import InputError
from thalweg.storage.periods import DAY, join, shared_day, without
from thalweg.storage.splits import make_folds

YEARS = 10
RAIN = np.array([3, 9, 1, 5, 7, 2, 8, 4, 6, 10.0])  # of the water years 2000 to 2009
WETTEST, DRIEST = (2009, 2001), (2002, 2005)


def water_year(number):
    return date(number, 10, 1), date(number + 1, 9, 30)


@pytest.fixture
def dataset(make_dataset):
    """Ten water years at four sites; every second site has them in the opposite order of wetness."""
    made = make_dataset(sites=4, days=365 * 11, first="2000-01-01")
    days = made["time"].values.astype("datetime64[D]")
    for number in range(YEARS):
        first, last = water_year(2000 + number)
        within = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
        for site in range(4):
            rain = RAIN[number] if site % 2 == 0 else 11 - RAIN[number]
            made["precipitation"].values[site, within] = rain
            made["temperature"].values[site, within] = RAIN[number] + site
            made["discharge"].values[site, within] = rain / 2
    return made


def folds_of(dataset, text, seed=1, target="discharge"):
    return make_folds(dataset, yaml.safe_load(text), seed, target)


def years_of(part, site):
    """The water years that a site's days lie in."""
    found = set()
    for first, last in part.periods_of([site])[0]:
        first_year, last_year = (day.year - (day.month < 10) for day in (first, last))
        found |= set(range(first_year, last_year + 1))
    return sorted(found)


def test_each_site_is_tested_in_its_own_wettest_years(dataset):
    (fold,) = folds_of(dataset, "{kind: extreme_years, extreme: wettest, share: 0.2}")
    assert years_of(fold.test, "s00") == sorted(WETTEST)
    assert years_of(fold.test, "s01") == sorted(DRIEST)  # whose order is the opposite
    assert years_of(fold.train, "s00") == sorted(set(range(2000, 2010)) - set(WETTEST))
    assert fold.train.sites == fold.test.sites


def test_the_driest_are_the_wettest_of_the_opposite_order(dataset):
    (wet,) = folds_of(dataset, "{kind: extreme_years, extreme: wettest}")
    (dry,) = folds_of(dataset, "{kind: extreme_years, extreme: driest}")
    assert years_of(dry.test, "s00") == years_of(wet.test, "s01")


def test_common_years_are_the_same_at_all_sites(dataset):
    (fold,) = folds_of(dataset, "{kind: extreme_years, extreme: driest, by: temperature, years: common}")
    assert len(fold.test.periods) == 1
    assert years_of(fold.test, "s03") == sorted(DRIEST)
    # a plain mean would be the ranking of whatever site has the largest numbers
    loud = dataset.copy(deep=True)
    loud["temperature"].values[0] = -100 * loud["temperature"].values[0]
    (same,) = folds_of(loud, "{kind: extreme_years, extreme: driest, by: temperature, years: common}")
    assert same.test == fold.test


def test_whole_years_of_any_first_month(dataset):
    (fold,) = folds_of(dataset, "{kind: extreme_years, first_month: 1}")
    assert {period[0].strftime("%m-%d") for own in fold.test.periods for period in own} == {"01-01"}
    period = "period: [2002-10-01, 2006-09-30]"
    (fold,) = folds_of(dataset, f"{{kind: extreme_years, share: 0.25, {period}}}")
    assert years_of(fold.test, "s00") == [2004]
    assert years_of(fold.train, "s00") == [2002, 2003, 2005]


def test_a_gap_and_validation_leave_the_test_as_it_is(dataset):
    spec = "{kind: extreme_years, share: 0.2, validate_share: 0.25, gap_days: 30}"
    (fold,) = folds_of(dataset, spec)
    (plain,) = folds_of(dataset, "{kind: extreme_years, share: 0.2}")
    assert fold.test == plain.test
    for site in fold.train.sites:
        parts = [part.periods_of([site])[0] for part in (fold.train, fold.validate, fold.test)]
        assert len(years_of(fold.validate, site)) == 2
        held_out = join([*parts[1], *parts[2]])
        wide = [(first - 30 * DAY, last + 30 * DAY) for first, last in held_out]
        assert shared_day(parts[0], wide) is None
        assert shared_day(parts[1], parts[2]) is None
    assert folds_of(dataset.isel(site=[2, 0, 3, 1]), spec) == [fold]


def test_floods_are_tested_in_their_years_or_in_the_days_around_them(dataset):
    day = date(2004, 4, 10)
    at = int(np.flatnonzero(dataset["time"].values == np.datetime64(day))[0])
    random = np.random.default_rng(0)
    dataset["discharge"].values[:] = 1 + 0.1 * random.random(dataset["discharge"].shape)
    dataset["discharge"].values[:3, at] = 50.0
    (fold,) = folds_of(dataset, "{kind: extreme_years, extreme: floods, return_period: 8}")
    assert [years_of(fold.test, site) for site in ("s00", "s01", "s02")] == [[2003]] * 3
    assert fold.train.sites == ("s00", "s01", "s02", "s03")
    assert 2003 not in years_of(fold.train, "s00")
    (events,) = folds_of(dataset, "{kind: extreme_years, extreme: floods, return_period: 8, event_days: 20}")
    assert events.test.periods_of(["s01"]) == [((day - 20 * DAY, day + 20 * DAY),)]
    assert events.train == fold.train  # the rest of the flood's year trains nobody


def test_a_year_of_which_little_is_known_is_in_no_part(dataset):
    first, last = water_year(2009)
    dataset["discharge"].loc[{"site": "s00", "time": slice(str(first + 100 * DAY), str(last))}] = np.nan
    (fold,) = folds_of(dataset, "{kind: extreme_years, by: discharge, share: 0.2}")
    assert years_of(fold.test, "s00") == [2001, 2006]
    assert 2009 not in years_of(fold.train, "s00")


def test_a_site_that_cannot_be_ranked_is_left_out(dataset):
    dataset["discharge"].values[0] = np.nan
    (fold,) = folds_of(dataset, "{kind: extreme_years, by: discharge}")
    assert fold.train.sites == fold.test.sites == ("s01", "s02", "s03")


def test_differential_tests_both_ways(dataset):
    to_wet, to_dry = folds_of(dataset, "{kind: differential}")
    assert (to_wet.split, to_dry.split) == ("differential-dry-to-wet", "differential-wet-to-dry")
    assert (to_wet.train, to_wet.test) == (to_dry.test, to_dry.train)
    assert years_of(to_wet.test, "s00") == [2001, 2004, 2006, 2008, 2009]
    assert len(years_of(to_wet.train, "s00")) == 5


def test_differential_without_the_years_in_between(dataset):
    to_warm, to_cold = folds_of(dataset, "{kind: differential, name: heat, by: temperature, share: 0.2}")
    assert (to_warm.split, to_cold.split) == ("heat-cold-to-warm", "heat-warm-to-cold")
    assert years_of(to_warm.train, "s03") == sorted(DRIEST)
    assert years_of(to_warm.test, "s03") == sorted(WETTEST)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: extreme_years, extreme: wetest}", "extreme is 'wetest'; did you mean 'wettest'"),
        ("{kind: extreme_years, by: rain}", "unknown variable in 'by' of split extreme_years: 'rain'"),
        ("{kind: extreme_years, by: area}", "unknown variable in 'by'"),
        ("{kind: extreme_years, share: 0}", "share is 0; a number from above 0 to below 1"),
        ("{kind: extreme_years, share: 1}", "share is 1"),
        ("{kind: extreme_years, return_period: 5}", "return_period has no effect with extreme: wettest"),
        ("{kind: extreme_years, extreme: floods, share: 0.1}", "share has no effect with extreme: floods"),
        ("{kind: extreme_years, extreme: floods, years: own}", "years has no effect with extreme: floods"),
        ("{kind: extreme_years, extreme: floods, return_period: 1}", "return_period is 1; a number above 1"),
        (
            "{kind: extreme_years, extreme: floods, return_period: 1.0e+9}",
            "no year has discharge above the level of 1e\\+09 years",
        ),
        ("{kind: extreme_years, first_month: 13}", "first_month is 13; a whole number from 1 to 12"),
        ("{kind: extreme_years, gap_days: -1}", "gap_days is -1; a whole number of at least 0"),
        ("{kind: extreme_years, gap_days: 4000}", "no site has days both to train and to test on"),
        (
            "{kind: extreme_years, period: [2001-01-01, 2003-12-31]}",
            "2001-01-01 to 2003-12-31 has 2 whole water years; at least 4",
        ),
        (
            "{kind: extreme_years, period: [1990-01-01, 2003-12-31]}",
            "period: 1990-01-01 is outside the store",
        ),
        ("{kind: extreme_years, years: all}", "years is 'all'; known: common, own"),
        ("{kind: differential, share: 0.6}", "share is 0.6; at most 0.5"),
        ("{kind: differential, extreme: floods}", "unknown key of split differential: 'extreme'"),
    ],
)
def test_refusals(dataset, text, message):
    with pytest.raises(InputError, match=message):
        folds_of(dataset, text)


def test_nothing_is_known_of_what_ranks(dataset):
    dataset["discharge"].values[:] = np.nan
    with pytest.raises(InputError, match="no site has 4 water years with 90% of discharge observed"):
        folds_of(dataset, "{kind: extreme_years, by: discharge}", target=None)
    with pytest.raises(InputError, match="the flood of 5 years cannot be estimated"):
        folds_of(dataset, "{kind: extreme_years, extreme: floods}", target=None)


days = st.integers(0, 400).map(lambda number: date(2000, 1, 1) + number * DAY)
periods = st.lists(st.tuples(days, st.integers(0, 60)).map(lambda p: (p[0], p[0] + p[1] * DAY)), max_size=5)


def days_of(found):
    return {first + n * DAY for first, last in found for n in range((last - first).days + 1)}


@settings(max_examples=60, deadline=None)
@given(periods, periods, st.integers(0, 10))
def test_periods_are_sets_of_days(some, others, gap):
    assert days_of(join(some)) == days_of(some)
    assert (shared_day(some, others) is not None) == bool(days_of(some) & days_of(others))
    near = days_of([(first - gap * DAY, last + gap * DAY) for first, last in others])
    assert days_of(without(some, others, gap)) == days_of(some) - near
    found = join(some)
    assert all(after[0] - before[1] > DAY for before, after in pairwise(found))
