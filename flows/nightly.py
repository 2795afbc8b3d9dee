"""The nightly chain: look at the newest model on the days that came after its test, and train anew in time.

.. code-block:: yaml

    nightly:
      experiment: examples/sample.yaml   # its store is brought up to date, and it is run anew in time
      model: hybrid                      # this one of its models is watched
      days: 90
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.storage.atomic import write_text
from thalweg.storage.results import Run, find_runs

if TYPE_CHECKING:
    import xarray as xr

    from thalweg.flows.experiment import Experiment
    from thalweg.flows.nightly_spec import Chain
    from thalweg.flows.products.run_data import RunData

RECORD = "nightly.json"  # in the experiment's folder
KEPT = 1000  # looks
PERIODS = ("train", "validate", "test")


@dataclass(frozen=True)
class Look:
    """What was found of a model on new days.

    Attributes
    ----------
    first, last : of the days that were compared.
    nse, nse_tested : median over sites of the Nash-Sutcliffe efficiency, of these days and of the test.
    ratio, limit, p_value, share, sites, drift : as :class:`thalweg.evaluation.drift.Drift` has them.
    """

    at: str
    run: str
    snapshot: str
    first: str
    last: str
    nse: float | None
    nse_tested: float | None
    ratio: float
    limit: float
    p_value: float
    share: float
    sites: int
    drift: bool

    def text(self) -> str:
        """Say it in words."""
        verdict = "DRIFTS" if self.drift else "does not drift"
        return (
            f"{self.run} {verdict}: errors of {self.first} to {self.last} are {self.ratio:.2f} times those "
            f"of its test (alarm above {self.limit:.2f}; p {self.p_value:.3f}; at {self.share:.0%} of "
            f"{self.sites} sites)"
        )


def newest_run(root: Path, chain: Chain, name: str) -> Run | None:
    """Give the newest run of the watched model that is done: of the experiment, or as it was retrained."""
    found = [
        run
        for run in find_runs(root)
        if (run.experiment == name or retrained_on(run.experiment, name) is not None)
        and run.model == chain.model
        and run.split == chain.split
        and run.state == "done"
        and (run.path / "weights.pt").exists()
    ]
    return max(
        found, key=lambda run: (retrained_on(run.experiment, name) or date.min, -run.seed), default=None
    )


def retrained_on(experiment: str, name: str) -> date | None:
    """Give the last day of the data that an experiment was retrained on, by its name; None for others."""
    if not experiment.startswith(f"{name}-"):
        return None
    try:
        return datetime.strptime(experiment.removeprefix(f"{name}-"), "%Y%m%d").date()
    except ValueError:
        return None


def look(run: Run, chain: Chain) -> Look | None:
    """Run a trained model over the days that came after its test, and compare its errors.

    Its scaling and its weights are those of its training; only the days are new.

    Returns
    -------
    None where there are too few new days.
    """
    from thalweg.evaluation.drift import drift
    from thalweg.flows.products.run_data import RunData
    from thalweg.storage.store import open_store

    data = RunData(run)
    store = open_store(data.experiment.data.store)
    tested = data.predictions
    recent = _recent(data, store, chain.days)
    if recent is None or recent.sizes["time"] < chain.least_days:
        return None
    found = drift(tested, recent, level=chain.level, margin=chain.margin)
    if found is None:
        return None
    first, last = (str(recent["time"].values[place])[:10] for place in (0, -1))
    return Look(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        run=run.id,
        snapshot=str(store.attrs["snapshot"]),
        first=first,
        last=last,
        nse=_median_nse(recent),
        nse_tested=_median_nse(tested),
        ratio=found.ratio,
        limit=found.limit,
        p_value=found.p_value,
        share=found.share,
        sites=found.sites,
        drift=found.drift,
    )


def _recent(data: RunData, store: xr.Dataset, days: int) -> xr.Dataset | None:
    """Give ``simulated`` and ``observed`` ``(site, time)`` of the newest days after the test."""
    import pandas as pd
    import xarray as xr

    from thalweg.flows.prediction import predict
    from thalweg.storage.parts import Part
    from thalweg.storage.sites import site_rows

    tested, prepared = data.predictions, data.prepared
    end = pd.Timestamp(store["time"].values[-1]).date()
    start = max(
        pd.Timestamp(tested["time"].values[-1]).date() + timedelta(days=1), end - timedelta(days=days - 1)
    )
    known = set(store["site"].values.astype(str))
    sites = [str(site) for site in tested["site"].values if str(site) in known]
    if start > end or not sites:
        return None
    # from the beginning of the test on, as it was simulated then: slow stores remember for years
    begun = prepared.fold.test.start
    span = slice(str(begun - timedelta(days=prepared.warmup)), str(end))
    drivers = store[prepared.forcings].isel(site=site_rows(store, sites)).sel(time=span)
    whole = drivers.to_dataarray().notnull().all(["variable", "time"]).values
    sites = [site for site, there in zip(sites, whole, strict=True) if there]
    if not sites:
        return None
    part = Part(tuple(sites), begun, end, (), data.experiment.data.store, str(store.attrs["snapshot"]))
    model = data.model
    prepared.fold = replace(prepared.fold, test=part)
    parts = []
    for record in prepared.test():
        simulated = predict(model, record).target.cpu().numpy()
        made = {"simulated": simulated, "observed": record.target.cpu().numpy()}
        coordinates = {"time": record.days, "site": list(record.sites)}
        parts.append(xr.Dataset({key: (("time", "site"), value) for key, value in made.items()}, coordinates))
    return xr.concat(parts, "site").transpose("site", "time").sel(time=slice(str(start), str(end)))


def _median_nse(series: xr.Dataset) -> float | None:
    simulated, observed = (
        series[name].transpose("site", "time").values for name in ("simulated", "observed")
    )
    there = np.isfinite(simulated) & np.isfinite(observed)
    scores = []
    for own, model, real in zip(there, simulated, observed, strict=True):
        spread = ((real[own] - real[own].mean()) ** 2).sum() if own.any() else 0.0
        if spread > 0:
            scores.append(1 - ((model[own] - real[own]) ** 2).sum() / spread)
    return float(np.median(scores)) if scores else None


def read_record(folder: Path) -> dict[str, Any]:
    """Give what earlier nights found."""
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {"looks": [], "retrained": None}


def keep_look(folder: Path, found: Look) -> None:
    """Add a look; one at the same run and version of the store takes the place of the earlier."""
    record = read_record(folder)
    same = (found.run, found.snapshot)
    looks = [each for each in record["looks"] if (each["run"], each["snapshot"]) != same]
    record["looks"] = [*looks, asdict(found)][-KEPT:]
    write_text(folder / RECORD, json.dumps(record, indent=1))


def keep_retrained(folder: Path, name: str) -> None:
    """Note that the experiment was run anew, under which name and when."""
    record = read_record(folder)
    record["retrained"] = {"experiment": name, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    write_text(folder / RECORD, json.dumps(record, indent=1))


def due(
    folder: Path, chain: Chain, experiment: Experiment, now: datetime | None = None
) -> dict[str, Any] | None:
    """Give what changes in the experiment when it is to be run anew; None when it is not.

    All periods end later by as many days as the store has gone on; training begins when it did, while
    validation and test keep their length. The name gets the newest day.
    """
    from thalweg.storage.store import open_store

    if not chain.retrain_days:
        return None
    before = read_record(folder)["retrained"]
    moment = now or datetime.now(UTC)
    if before and moment - datetime.fromisoformat(before["at"]) < timedelta(days=chain.retrain_days):
        return None
    last = date.fromisoformat(str(open_store(experiment.data.store)["time"].values[-1])[:10])
    splits = [split.model_dump(mode="json", exclude_none=True, by_alias=True) for split in experiment.splits]
    ends = [date.fromisoformat(each["test"][1]) for each in splits if each.get("test")]
    shift = (last - max(ends)).days if ends else 0
    if shift <= 0:
        return None
    name = f"{experiment.name}-{last:%Y%m%d}"
    if before and before["experiment"] == name:
        return None
    for split in splits:
        for key in PERIODS:
            if split.get(key):
                first, end = (date.fromisoformat(day) for day in split[key])
                moved = first if key == "train" else first + timedelta(days=shift)
                split[key] = [str(moved), str(end + timedelta(days=shift))]
    return {"name": name, "splits": splits}
