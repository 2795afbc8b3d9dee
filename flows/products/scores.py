"""What is computed of a run when it is evaluated: scores, signatures, strata, conformal intervals.

Each function takes the run and its data and gives tables by name: of pandas (one Parquet file each) or of
xarray (one Zarr each); none where it does not apply.
"""

from __future__ import annotations

import pandas as pd
import xarray as xr

from thalweg.evaluation.signatures import compare_signatures, signature_skill
from thalweg.evaluation.skill import skill
from thalweg.evaluation.stratified import flow_classes, seasons, skill_by_days, skill_by_sites
from thalweg.evaluation.uncertainty.probabilistic import probabilistic_skill
from thalweg.flows.products.run_data import RunData
from thalweg.storage.results import Run

Tables = dict[str, pd.DataFrame | xr.Dataset]

# What is shown in parts: few enough to be read, one for each way to be wrong.
STRATIFIED = ("nse", "kge_2012", "log_nse", "rmse", "bias", "fhv", "flv")


def deterministic(run: Run, data: RunData) -> Tables:
    """Give every deterministic metric of the test, a row a site."""
    scores = skill(data.predictions["simulated"], data.predictions["observed"])
    return {"skill": _by_site(scores)}


def probabilistic(run: Run, data: RunData) -> Tables:
    """Give the scores of the distribution, a row a site, and the histogram of its PIT."""
    if data.forecast is None:
        return {}
    scores = probabilistic_skill(data.forecast, data.predictions["observed"])
    histogram = scores["pit"].drop_vars([n for n in scores.coords if n not in ("site", "bin")])
    return {
        "probabilistic": _by_site(scores.drop_vars(["pit", "bin"])),
        "pit": _by_site(histogram.to_dataset()),
    }


def signatures(run: Run, data: RunData) -> Tables:
    """Give the signatures of observed and simulated discharge, and how well each is simulated."""
    if data.experiment.data.target != "discharge":
        return {}
    found = compare_signatures(
        data.predictions["simulated"], data.predictions["observed"], data.driver("precipitation")
    )
    return {"signatures": _by_site(found), "signature_skill": signature_skill(found).reset_index()}


def strata(run: Run, data: RunData) -> Tables:
    """Give medians over sites by season, by class of observed flow, by region, by class of each attribute."""
    simulated, observed = data.predictions["simulated"], data.predictions["observed"]
    of_days = {"season": seasons(observed["time"]), "flow": flow_classes(observed)}
    tables = {
        by: skill_by_sites(skill_by_days(simulated, observed, labels, metrics=STRATIFIED))
        for by, labels in of_days.items()
    }
    whole = skill(simulated, observed, metrics=STRATIFIED)
    labels = {"region": observed["region"]} if "region" in observed.coords else {}
    labels |= data.attribute_classes
    tables |= {by: skill_by_sites(whole, of_sites) for by, of_sites in labels.items()}
    return {"strata": pd.concat([table.assign(by=by) for by, table in tables.items()], ignore_index=True)}


def _by_site(scores: xr.Dataset) -> pd.DataFrame:
    table: pd.DataFrame = scores.to_dataframe().reset_index()
    return table
