"""What a person can take along from each page as files: made only when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd
import xarray as xr

from thalweg.dashboard.figures.hydrograph import Band
from thalweg.dashboard.figures.regimes import UNITS
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.measures import Measure
from thalweg.dashboard.reading import contents, evaluated
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.reading.comparing import series_dataset
from thalweg.dashboard.reading.weather import Weather
from thalweg.dashboard.scope import Scope
from thalweg.dashboard.sharing.share import Numbers, dataset_of
from thalweg.dashboard.sharing.table_units import evaluated_dataset
from thalweg.evaluation.signatures import SIGNATURES
from thalweg.evaluation.tables import site_values
from thalweg.flows.reporting.strata import strata_means

PLACE = {"latitude": {"units": "degrees_north"}, "longitude": {"units": "degrees_east"}, "region": {}}


def of_scope(scope: Scope, metric: str) -> Numbers:
    """The page Skill: scores by site, their medians, and the skill in parts where it was evaluated."""
    about = _about(scope.measures)

    def by_site() -> xr.Dataset:
        each = pd.concat({model: scope.by_site(model) for model in scope.models}, names=["model"])
        return _placed(dataset_of(each.reset_index(), ("model", "site"), about), scope.places)

    def medians() -> xr.Dataset:
        ends = scope.intervals(metric)[["low", "high"]].add_prefix(f"{metric}_")
        table = scope.medians()[list(scope.measures)].join(ends)
        more = {str(name): scope.measures[metric].about for name in ends}
        return dataset_of(table.reset_index(), ("model",), about | more)

    def in_parts() -> xr.Dataset:
        found = {name: strata_means(own) for name, own in strata.groupby("metric", sort=False)}
        means = pd.concat(found, names=["metric"]).reset_index("metric")
        return evaluated_dataset("strata", means, scope.runs)

    made = {"Scores by site": by_site, "Medians over sites": medians}
    strata = evaluated.tables(scope.runs, "strata")
    return made if strata.empty else made | {"Skill in parts": in_parts}


def of_site(
    scope: Scope,
    site: str,
    seed: int,
    flows: pd.DataFrame,
    weather: Weather,
    band: Band | None,
    signatures: Callable[[], pd.DataFrame],
) -> Numbers:
    """The page Site: flow with weather and interval by day, scores, and signatures."""

    def by_day() -> xr.Dataset:
        made = series_dataset(flows, site)
        for name, values in weather.table.items():
            told = {"units": weather.units.get(str(name), ""), "site": site}
            made[str(name)] = ("time", values.reindex(flows.index).to_numpy(float), told)
        if band is not None:
            for end, values in band.table[["lower", "upper"]].reindex(flows.index).items():
                told = {"units": UNITS, "site": site, "long_name": f"{end} end of {band.label}"}
                made[f"{band.model}_{end}"] = ("time", values.to_numpy(float), told)
        return made

    def scores() -> xr.Dataset:
        table = scope.at_site(site, seed).rename_axis("model").reset_index()
        return dataset_of(table, ("model",), _about(scope.measures))

    def of_river() -> xr.Dataset:
        told = {name: {"units": each.units, "long_name": each.long_name} for name, each in SIGNATURES.items()}
        return dataset_of(signatures().rename_axis("series").reset_index(), ("series",), told)

    made = {} if flows.empty else {f"Flow at {site}": by_day, f"Signatures at {site}": of_river}
    return made | {f"Scores at {site}": scores}


def of_experiment(
    trained: pd.DataFrame,
    found: Mapping[str, Measure],
    metric: str,
    gaps: pd.DataFrame,
    others: Mapping[str, tuple[str, pd.DataFrame]],
) -> Numbers:
    """The page Extrapolation: scores by site on every split, gaps, and what was evaluated.

    Parameters
    ----------
    others : what else is on the page, by its name there: the table of `thalweg evaluate` that it is made
        from, and what was made of it.
    """

    def by_site() -> xr.Dataset:
        rows = {
            (model, split): pd.DataFrame({name: site_values(own, name) for name in found})
            for (model, split), own in trained.groupby(["model", "split"], observed=True)
        }
        table = pd.concat(rows, names=["model", "split"]).reset_index()
        places = trained.groupby("site")[list(PLACE)].first()
        return _placed(dataset_of(table, ("model", "split", "site"), _about(found)), places)

    def lost() -> xr.Dataset:
        return dataset_of(
            gaps, ("model", "split"), dict.fromkeys(("inside", "outside", "gap", "low", "high"), about)
        )

    about = found[metric].about
    made: dict[str, Callable[[], xr.Dataset]] = {"Scores by site": by_site}
    if len(gaps):
        made[f"Gaps of {found[metric].short}"] = lost
    evaluations = {
        told: partial(evaluated_dataset, name, table, ())
        for told, (name, table) in others.items()
        if len(table)
    }
    return made | evaluations


def of_evaluation(runs: Sequence[Card], wanted: Mapping[str, str]) -> Numbers:
    """Tables of `thalweg evaluate`, as far as these runs have them.

    Parameters
    ----------
    wanted : the names of the tables by what they are called on the page.
    """
    found = {told: (name, evaluated.tables(runs, name)) for told, name in wanted.items()}
    return {
        told: partial(evaluated_dataset, name, table, runs)
        for told, (name, table) in found.items()
        if len(table)
    }


def of_contents(store: str, version: str, variable: str | None, site: str) -> Numbers:
    """The page Data: what is on the map, and all variables at the site that is shown.

    Parameters
    ----------
    variable : on the map, if there is any; one over time goes out as the share of days with a value, and
        its mean.
    """
    held = contents.contents(store, version)

    def by_site() -> xr.Dataset:
        name = str(variable)
        if name in held.attributes:
            table = contents.attribute(store, version, name).to_frame()
            about = {name: {"units": held.attributes[name], "long_name": held.known[name].long}}
        else:
            days = f"{name}_complete"
            table = contents.by_site(contents.completeness(store, version), held, name)
            table = table.rename(columns={"share": days, "mean": name})
            about = {name: {"units": held.series[name], "cell_methods": "time: mean"}}
            about[days] = {"units": "%", "long_name": f"share of days with a value of {name}"}
        return _placed(dataset_of(table.reset_index(), ("site",), about), held.places)

    def by_day() -> xr.Dataset:
        about = {name: {"units": units, "site": site} for name, units in held.series.items()}
        return dataset_of(contents.series(store, version, site).reset_index(), ("time",), about)

    made = {f"{words(variable)} by site": by_site} if variable else {}
    return made | ({f"Series at {site}": by_day} if held.series else {})


def _about(found: Mapping[str, Measure]) -> dict[str, dict[str, str]]:
    return {name: measure.about for name, measure in found.items()}


def _placed(dataset: xr.Dataset, places: pd.DataFrame) -> xr.Dataset:
    """The same with where each site is."""
    own = places.reindex(dataset["site"].to_numpy())
    return dataset.assign_coords(
        {name: ("site", own[name].to_numpy(), about) for name, about in PLACE.items()}
    )
