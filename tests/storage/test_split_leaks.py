"""Parts: which days count; and what would leak from a test is refused."""

from datetime import date

import numpy as np
import pytest
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.parts import Fold, Part, refuse_leaks
from thalweg.storage.statistics import fit_statistics, site_statistics

Y0, Y1, Y2 = ((date(2000 + n, 1, 1), date(2000 + n, 12, 31)) for n in range(3))
PATCHY = Part.of_periods({"s00": [Y0, Y2], "s01": [Y1], "s02": [Y0, Y1]})


def test_a_part_of_periods():
    assert PATCHY.sites == ("s00", "s01", "s02")
    assert (PATCHY.start, PATCHY.end) == (date(2000, 1, 1), date(2002, 12, 31))
    assert PATCHY.periods == ((Y0, Y2), (Y1,), ((Y0[0], Y1[1]),))
    assert PATCHY.summary() == {"sites": 3, "start": Y0[0], "end": Y2[1], "days": 609}


def test_a_part_without_holes_is_a_plain_one():
    assert Part.of_periods({"b": [Y1, Y0], "a": [Y0, Y1]}) == Part(("a", "b"), Y0[0], Y1[1])
    assert Part.of_periods({"b": [Y0, Y2], "a": [Y2, Y0], "c": []}) == Part(
        ("a", "b"), Y0[0], Y2[1], ((Y0, Y2),)
    )
    with pytest.raises(ValueError, match="needs a site"):
        Part.of_periods({"a": []})


def test_the_days_that_count():
    days = np.arange("1999-12-31", "2003-01-02", dtype="datetime64[D]")
    counted = PATCHY.counted(days)
    assert counted.shape == (1098, 3)
    assert counted.sum(0).tolist() == [366 + 365, 365, 366 + 365]
    assert not counted[[0, -1]].any()
    np.testing.assert_array_equal(PATCHY.counted(days.astype("datetime64[ns]"), ["s01"]), counted[:, 1:2])
    assert Part(("a",), *Y1).counted(days).sum() == 365


def test_a_test_is_named_by_its_sites_and_days_alone():
    one = Part(("a", "b"), *Y0)
    same = Part(("b", "a"), *Y0, store="elsewhere.zarr", version="1")
    assert one.digest("discharge") == same.digest("discharge")
    others = [Part(("a",), *Y0), Part(("a", "b"), *Y1), Part(("a", "b"), Y0[0], Y1[1], ((Y0,),))]
    found = {
        one.digest("discharge"),
        one.digest("evaporation"),
        *(each.digest("discharge") for each in others),
    }
    assert len(found) == 4  # the last one is the first, written otherwise


def fold(train, test, validate=None):
    return Fold("mine", "0", train, test, validate)


def test_a_day_of_a_site_in_two_parts_is_refused():
    every = ("s00", "s01", "s02")
    with pytest.raises(InputError, match="fold 0: site s00 on 2000-01-01 is both in train and in test"):
        refuse_leaks(fold(Part(every, Y0[0], Y1[1]), PATCHY))
    with pytest.raises(InputError, match="site s01 on 2001-06-01 is both in validate and in test"):
        refuse_leaks(fold(Part(every, *Y0), Part(every, *Y1), Part(("s01",), date(2001, 6, 1), Y2[1])))
    with pytest.raises(InputError, match="site s02 on 2001-01-01 is both in train and in validate"):
        refuse_leaks(fold(PATCHY, Part(("x",), *Y1), Part(("s02",), *Y1)))
    # the same year, of other sites; and the same sites, in turn
    refuse_leaks(fold(Part(("s00",), *Y1), Part(("s01", "s02"), *Y1)))
    refuse_leaks(fold(PATCHY, Part.of_periods({"s00": [Y1], "s01": [Y0, Y2], "s02": [Y2]})))


def test_a_score_is_of_gauged_sites_or_of_ungauged_ones():
    with pytest.raises(InputError, match="1 of the 2 sites tested are trained on too, first s00"):
        refuse_leaks(fold(Part(("s00", "s01"), *Y0), Part(("s00", "x"), *Y1)))


@pytest.fixture
def dataset(make_dataset):
    return make_dataset(sites=3, days=1200, first="2000-01-01")


def poisoned(dataset, part, names):
    """The same with nonsense on all days and sites that are not of the part."""
    counted = xr.DataArray(
        part.counted(dataset["time"].values, ["s00", "s01", "s02"]).T, dims=("site", "time")
    )
    return dataset.assign({name: dataset[name].where(counted, 1e9).astype("float32") for name in names})


def test_scaling_knows_nothing_of_other_days_and_sites(dataset):
    names = ["precipitation", "temperature"]
    clean = fit_statistics(dataset, PATCHY, names, ["area"])
    assert fit_statistics(poisoned(dataset, PATCHY, names), PATCHY, names, ["area"]).hash == clean.hash
    counted = PATCHY.counted(dataset["time"].values).T
    rain = dataset["precipitation"].values[counted].astype(float)
    np.testing.assert_allclose(
        [clean.mean["precipitation"], clean.deviation["precipitation"]], [rain.mean(), rain.std()], rtol=1e-6
    )


def test_statistics_of_sites_count_their_own_days(dataset):
    found = site_statistics(dataset, ["s01", "s00"], PATCHY.start, PATCHY.end, ["discharge"], part=PATCHY)
    assert found["count"].values.tolist() == [[365, 731]]
    flow = dataset["discharge"].sel(site="s01", time="2001").values.astype(float)
    np.testing.assert_allclose(found["mean"].values[0, 0], flow.mean())
    later = site_statistics(dataset, ["s00"], date(2002, 7, 1), PATCHY.end, ["discharge"], part=PATCHY)
    assert later["count"].values.tolist() == [[184]]
