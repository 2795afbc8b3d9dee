"""Make the small sample of Caravan that comes with Thalweg.

From a Caravan folder with the netCDF series of the subset ``camels`` (where to download it is in the paper,
https://doi.org/10.1038/s41597-023-01975-w)::

    python examples/make_caravan_sample.py CARAVAN_FOLDER examples/caravan_sample

Basins are chosen by rule, never by how well a model does on them:

1. discharge is known on at least 99 % of the days of 1989-2009;
2. mean discharge does not exceed mean precipitation, which no model that conserves water can simulate (in
   the Pacific Northwest ERA5-Land is far too dry for many basins);
3. in each of the 18 hydrologic regions (HUC-2) up to three basins, spread evenly over the ranks of
   HydroATLAS' aridity index.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.storage.sources import read_source

SUBSET = "camels"
VARIABLES = ("total_precipitation_sum", "temperature_2m_mean", "streamflow")
FIRST_DAY, LAST_DAY = "1989-01-01", "2009-12-31"
BASINS_PER_REGION = 3
LEAST_COMPLETE = 0.99

# Packed to 0.01 mm/day and 0.01 degC: far below the errors of the data, and a third of the size.
ENCODING = {
    "dtype": "int32",
    "scale_factor": 0.01,
    "_FillValue": np.int32(-(2**31)),
    "zlib": True,
    "complevel": 9,
    "shuffle": True,
}


def choose_basins(caravan: Path) -> pd.DataFrame:
    """Return the chosen basins: a table indexed by name with the column `region`."""
    dataset = read_source({"kind": "caravan", "path": caravan, "subsets": [SUBSET]})
    dataset = dataset.sel(time=slice(FIRST_DAY, LAST_DAY))
    discharge, precipitation = dataset["discharge"], dataset["precipitation"]
    table = pd.DataFrame(
        {
            "region": dataset["region"].values,
            "aridity": dataset["ari_ix_sav"].values,
            "complete": discharge.notnull().mean("time").values,
            "runoff_ratio": (discharge.mean("time") / precipitation.mean("time")).values,
        },
        index=pd.Index(dataset["site"].values, name="basin"),
    )
    suitable = table[(table["complete"] >= LEAST_COMPLETE) & (table["runoff_ratio"] <= 1.0)]
    chosen = []
    for _, basins in suitable[suitable["region"] != ""].groupby("region"):
        ranked = basins.sort_values(["aridity"], kind="stable")
        count = min(BASINS_PER_REGION, len(ranked))
        ranks = np.floor((np.arange(count) + 0.5) / count * len(ranked)).astype(int)
        chosen.append(ranked.iloc[ranks])
    return pd.concat(chosen).sort_index()


def copy_attributes(caravan: Path, target: Path, basins: pd.Index) -> None:
    """Copy the chosen rows of all attribute tables, byte for byte."""
    folder = Path("attributes") / SUBSET
    (target / folder).mkdir(parents=True)
    for file in sorted((caravan / folder).glob("attributes_*.csv")):
        header, *rows = file.read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if row.partition(",")[0] in basins]
        (target / folder / file.name).write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")


def copy_series(caravan: Path, target: Path, basins: pd.Index) -> None:
    """Copy precipitation, temperature and streamflow of the chosen basins and years."""
    folder = Path("timeseries") / "netcdf" / SUBSET
    (target / folder).mkdir(parents=True)
    units = {"temperature_2m_mean": "degC"}
    for basin in basins:
        with xr.open_dataset(caravan / folder / f"{basin}.nc", engine="h5netcdf") as dataset:
            part = dataset[list(VARIABLES)].sel(date=slice(FIRST_DAY, LAST_DAY)).load()
        for name in VARIABLES:
            part[name].attrs.setdefault("units", units.get(name, "mm/day"))
            part[name].encoding = dict(ENCODING)
        part["date"].encoding = {"dtype": "int32", "units": f"days since {FIRST_DAY}", "zlib": True}
        part.attrs = {
            "source": "Caravan (Kratzert et al. 2023, doi:10.1038/s41597-023-01975-w), subset camels",
            "license": "CC-BY-4.0",
            "changes": "three variables, 1989-2009, rounded to 0.01",
        }
        part.to_netcdf(target / folder / f"{basin}.nc", engine="h5netcdf")


def main() -> None:
    """Make the sample."""
    parser = argparse.ArgumentParser(description="Make the small sample of Caravan.")
    parser.add_argument("caravan", type=Path, help="folder with attributes/, timeseries/ and licenses/")
    parser.add_argument("target", type=Path, help="folder to write; its README.md is kept")
    arguments = parser.parse_args()
    basins = choose_basins(arguments.caravan)
    for name in ("attributes", "timeseries", "licenses"):
        shutil.rmtree(arguments.target / name, ignore_errors=True)
    copy_attributes(arguments.caravan, arguments.target, basins.index)
    copy_series(arguments.caravan, arguments.target, basins.index)
    (arguments.target / "licenses").mkdir()
    for file in sorted((arguments.caravan / "licenses").glob("*.md")):
        shutil.copyfile(file, arguments.target / "licenses" / file.name)
    size = sum(file.stat().st_size for file in arguments.target.rglob("*") if file.is_file())
    print(basins.groupby("region").size().to_string())
    print(f"{len(basins)} basins, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
