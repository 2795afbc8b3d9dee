"""Every deterministic metric of six models at 431 sites x 10 years, with 1,000 bootstrap samples.

    python benchmarks/skill.py [--sites 431] [--years 10] [--models 6] [--samples 1000] [--camels FOLDER]

Prints seconds (and those of the processor, which other work does not stretch) for the scores, for the
resampled scores of every site, for the comparison of every two models (blocks of water years and sites drawn
together) and for the Diebold-Mariano tests, and the largest memory. With the folder of CAMELS-US, compares
the signatures of its flow with its published table as well.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from machine import describe_machine

from thalweg.evaluation.diebold_mariano import compare_errors
from thalweg.evaluation.resampling import draw_blocks, score_intervals
from thalweg.evaluation.signatures import signatures
from thalweg.evaluation.significance import compare_series
from thalweg.evaluation.skill import METRICS, skill

PUBLISHED_DAYS = ("1989-10-01", "2009-09-30")


def rivers(sites: int, years: int, models: int) -> tuple[dict[str, xr.DataArray], xr.DataArray]:
    """Give models of random errors and observations (mm/day), with gaps, in single precision."""
    generator = np.random.default_rng(0)
    times = pd.date_range("1989-10-01", f"{1989 + years}-09-30")
    coords = {"site": [f"s{number:04d}" for number in range(sites)], "time": times}
    flow = generator.lognormal(0.0, 1.0, (sites, len(times))).astype(np.float32)
    observed = xr.DataArray(flow, coords, ("site", "time"))
    simulated = {}
    for number in range(models):
        error = generator.lognormal(0.0, 0.3 + 0.03 * number, flow.shape).astype(np.float32)
        simulated[f"model {number + 1}"] = observed * error
    return simulated, observed.where(generator.random(flow.shape) > 0.02)


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do it and print how long it took."""
    start, used = time.perf_counter(), time.process_time()
    result = work()
    passed, used = time.perf_counter() - start, time.process_time() - used
    print(f"{what}: {passed:.1f} s ({used:.1f} s of processor)", flush=True)
    return result


def discharge(folder: Path) -> xr.DataArray:
    """Read the flow of 20 water years, which the forcing ends before; of catchments of its files' areas."""
    times, rows = pd.date_range(*PUBLISHED_DAYS), {}
    for path in sorted(folder.rglob("*_streamflow_qc.txt")):
        gauge = path.name[:8]
        forcing = next(folder.rglob(f"{gauge}_lump_*_forcing_leap.txt"))
        area = float(forcing.read_text().split("\n", 3)[2])  # m2
        table = pd.read_csv(
            path, sep=r"\s+", header=None, names=["gauge", "year", "month", "day", "flow", "flag"]
        )
        series = pd.Series(table["flow"].to_numpy(), pd.to_datetime(table[["year", "month", "day"]]))
        cubic_feet = series.where(series >= 0.0).reindex(times).to_numpy()
        rows[gauge] = cubic_feet * 0.0283168466 * 86400.0 / area * 1000.0
    return xr.DataArray(np.stack(list(rows.values())), {"site": list(rows), "time": times}, ("site", "time"))


def published(folder: Path) -> pd.DataFrame:
    """Compare signatures with those of camels_hydro.txt: correlation and absolute differences over basins."""
    (table,) = folder.rglob("camels_hydro.txt")
    flow = discharge(folder)
    expected = pd.read_csv(table, sep=";", dtype={"gauge_id": str}).set_index("gauge_id")
    expected = expected.loc[flow["site"].values]
    found = signatures(flow, slope="mean")
    rows = {}
    for name in found.data_vars:
        a, b = found[name].values, expected[str(name)].to_numpy(dtype=float)
        both = ~(np.isnan(a) | np.isnan(b))
        difference = np.abs(a - b)[both]
        quantiles = np.quantile(difference, [0.5, 0.95])
        rows[name] = (both.sum(), np.corrcoef(a[both], b[both])[0, 1], *quantiles, difference.max())
    return pd.DataFrame.from_dict(rows, "index", columns=["basins", "correlation", "median", "95 %", "most"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("sites", 431), ("years", 10), ("models", 6), ("samples", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--camels", type=Path, help="folder of CAMELS-US")
    options = parser.parse_args()
    print(describe_machine())
    simulated, observed = rivers(options.sites, options.years, options.models)
    print(f"{options.sites} sites x {options.years} years, {options.models} models, {len(METRICS)} metrics")
    timed("scores", lambda: [skill(series, observed) for series in simulated.values()])
    draws = draw_blocks(observed["time"], samples=options.samples)
    first = next(iter(simulated.values()))
    timed("intervals of one model at every site", lambda: score_intervals(first, observed, draws))
    found = timed(
        f"scores, {options.samples} samples of blocks and sites, {len(METRICS)} metrics x every two models",
        lambda: compare_series(simulated, observed, samples=options.samples),
    )
    pairs = list(combinations(simulated, 2))
    timed(
        f"{len(pairs)} Diebold-Mariano tests",
        lambda: [compare_errors(simulated[a], simulated[b], observed, (a, b)) for a, b in pairs],
    )
    print(f"{sum(item.verdict == 'none' for item in found)} of {len(found)} without a clear difference")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if options.camels:
        print(published(options.camels).to_string(float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
