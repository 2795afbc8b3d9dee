"""Two rivers as text files, of which one is still being copied while it is read for the first time."""

import shutil
from pathlib import Path

import xarray as xr

SAMPLE = Path(__file__).parents[2] / "examples" / "caravan_sample"


def write_rivers(folder):
    """Write two rivers as Caravan's text below `folder/sample`; gives their tables, by name."""
    shutil.copytree(SAMPLE / "attributes", folder / "sample" / "attributes")
    tables = folder / "sample/timeseries/csv/camels"
    tables.mkdir(parents=True)
    for each in sorted(SAMPLE.rglob("*.nc"))[:2]:
        with xr.open_dataset(each, engine="h5netcdf") as series:
            series.to_dataframe().to_csv(tables / f"{each.stem}.csv")
    return sorted(tables.iterdir())


def cut_until_it_failed(file, monkeypatch):
    """Cut off the end of a file until a task has failed of it, which then begins anew at once.

    Gives the list of what tasks failed of.
    """
    from thalweg.flows.services import retrying

    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    passes, failed = retrying.passes, []

    def copied_meanwhile(task, run, state):
        failed.append(str(state.data))
        file.write_bytes(whole)
        return passes(task, run, state)

    monkeypatch.setattr(retrying, "passes", copied_meanwhile)
    monkeypatch.setattr(retrying, "RETRY_SECONDS", (0.1,))
    return failed
