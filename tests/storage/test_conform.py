"""The form of a store, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.storage.conform import conform
from thalweg.storage.errors import InputError


def raw(**changes):
    parts = {
        "rain": np.ones((4, 2)),
        "units": "mm/day",
        "sites": ["a", "b"],
        "days": pd.date_range("2000-02-27", periods=4),
    } | changes
    return xr.Dataset(
        {"precipitation": (("time", "site"), parts["rain"], {"units": parts["units"]})},
        coords={
            "site": parts["sites"],
            "time": parts["days"],
            "latitude": ("site", [45.0, 46.0]),
            "longitude": ("site", [-70.0, 250.0]),
        },
    )


def test_dims_types_and_attributes():
    result = conform(raw(units="kg m-2 s-1", rain=np.full((4, 2), 1 / 86400)))
    rain = result["precipitation"]
    assert rain.dims == ("site", "time")
    assert rain.dtype == np.float32
    assert rain.values == pytest.approx(1.0)
    assert rain.attrs["units"] == "mm/day"
    assert rain.attrs["standard_name"] == "lwe_precipitation_rate"
    assert rain.attrs["role"] == "forcing"
    assert result["latitude"].attrs["units"] == "degrees_north"
    xr.testing.assert_identical(conform(result), result)


def test_a_left_out_day_becomes_missing():
    days = pd.to_datetime(["2000-02-28", "2000-03-01", "2000-03-02", "2000-03-03"])
    result = conform(raw(days=days))
    assert result.sizes["time"] == 5
    assert np.isnan(result["precipitation"].sel(time="2000-02-29")).all()


def test_days_may_come_in_any_order():
    shuffled = raw().isel(time=[2, 0, 3, 1])
    assert conform(shuffled).indexes["time"].is_monotonic_increasing


def test_noon_is_the_day():
    days = pd.date_range("2000-02-27 12:00", periods=4)
    assert str(conform(raw(days=days))["time"].values[0])[:19] == "2000-02-27T00:00:00"


def test_text_attributes_keep_empty_for_missing():
    result = conform(raw().assign(geology=("site", np.array(["granite", None], dtype=object))))
    assert result["geology"].values.tolist() == ["granite", ""]
    assert result["geology"].attrs["role"] == "attribute"


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (raw().rename(site="basin"), "no dimension coordinate 'site'"),
        (raw().isel(time=slice(0, 0)), "empty, there is no time"),
        (raw(sites=["a", "a"]), "site 'a' occurs twice"),
        (raw(days=pd.date_range("2000-01-01", periods=4, freq="h")), "2000-01-01 occurs twice"),
        (raw().drop_vars("latitude"), "no coordinate 'latitude'"),
        (raw().assign_coords(latitude=("site", [45.0, 95.0])), "latitude of site b is 95"),
        (raw(units="degC"), "'precipitation': unit 'degC' cannot be converted to 'mm/day'"),
        (raw().assign(x=(("time", "site"), np.ones((4, 2)))), "variable 'x' has no attribute 'units'"),
        (raw().assign(x=("time", np.ones(4))), "variable 'x' has dims"),
        (raw().assign(x=("site", [1.0, 2.0], {"role": "target!"})), "has role 'target!'"),
        (raw().drop_vars("precipitation"), "no variable over"),
    ],
)
def test_refusals(dataset, message):
    with pytest.raises(InputError, match=message):
        conform(dataset)
