"""What the pages Skill and Site look at: one split of one experiment, with all its models."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from thalweg.dashboard import choices, parts
from thalweg.dashboard.measures import Measure, measures
from thalweg.dashboard.reading import cards, skill
from thalweg.dashboard.reading.cards import Card, Stamp

_SITE = ["latitude", "longitude", "region"]


@dataclass(frozen=True)
class Scope:
    """Results of one split of one experiment.

    Attributes
    ----------
    table : one row a run and test site: the columns of `collect_metrics`.
    places : index site; latitude, longitude (degrees), region.
    models : names, trained ones first, each group sorted.
    """

    experiment: str
    split: str
    runs: tuple[Card, ...]
    table: pd.DataFrame
    places: pd.DataFrame
    measures: dict[str, Measure]
    models: list[str]
    floors: list[str]
    seeds: list[int]
    problems: list[str]

    @property
    def key(self) -> str:
        """Identity for widgets."""
        return f"{self.experiment}/{self.split}"

    @cached_property
    def typical_site(self) -> str:
        """The site at the median of the first metric, for the first model: neither the best nor the worst."""
        values = self.by_site(self.models[0])[next(iter(self.measures))].dropna().sort_values()
        return str(values.index[len(values) // 2]) if len(values) else str(self.places.index[0])

    def by_site(self, model: str) -> pd.DataFrame:
        """Metrics of a model by site, the mean over its seeds."""
        own = self.table[self.table["model"] == model]
        return own.groupby("site")[list(self.measures)].mean()

    def medians(self) -> pd.DataFrame:
        """Median of every metric: index model, one column a metric."""
        table = skill.model_medians(self._sources())
        return table[table["split"] == self.split].set_index("model").reindex(self.models)

    def intervals(self, metric: str) -> pd.DataFrame:
        """Median of a metric with its interval: index model, columns of `summarize`."""
        table = skill.summary(self._sources(), metric)
        return table[table["split"] == self.split].set_index("model").reindex(self.models)

    def _sources(self) -> tuple[tuple[str, Stamp], ...]:
        return tuple(run.source for run in self.runs)

    def at_site(self, site: str, seed: int) -> pd.DataFrame:
        """Metrics at a site with one seed (models without it: their lowest): index model, in order."""
        own = self._at(site)
        own = own.assign(other=own["seed"] != seed).sort_values(["other", "seed"])
        return own.groupby("model")[list(self.measures)].first().reindex(self.models)

    def run_at(self, model: str, site: str, seed: int) -> Card | None:
        """The run of a model that was tested at this site: with this seed, else with its lowest."""
        own = self._at(site)
        own = own[own["model"] == model].sort_values("seed")
        if own.empty:
            return None
        same = own[own["seed"] == seed]
        return self._cards.get((same if len(same) else own).iloc[0]["run"])

    def _at(self, site: str) -> pd.DataFrame:
        return self.table.iloc[self._places_in_table[site]]

    @cached_property
    def _places_in_table(self) -> dict[str, npt.NDArray[np.intp]]:
        found = self.table.groupby("site", sort=False).indices
        return {str(site): np.asarray(rows) for site, rows in found.items()}

    @cached_property
    def _cards(self) -> dict[str, Card]:
        return {run.id: run for run in self.runs}


def choose_scope(runs: Sequence[Card], first: DeltaGenerator, second: DeltaGenerator) -> Scope | None:
    """Lets a person choose an experiment and a split; None, with the reason on the page, without any."""
    own = choose_experiment(runs, first)
    if own is None:
        return None
    splits = list(dict.fromkeys(run.split for run in own))
    with second:
        split = choices.segments("split", "Split", splits)
    return load_scope(own[0].experiment, split, [run for run in own if run.split == split])


def choose_experiment(runs: Sequence[Card], place: DeltaGenerator) -> list[Card] | None:
    """Lets a person choose an experiment: its runs; None, with the reason on the page, without any."""
    if not runs:
        parts.empty(
            "Nothing to compare yet",
            f"No runs were found in {cards.root().resolve()}. Start an experiment, then come back.",
            "thalweg run examples/sample.yaml",
        )
        return None
    newest = sorted(runs, key=lambda run: -run.updated.timestamp() if run.updated is not None else 0.0)
    experiments = list(dict.fromkeys(run.experiment for run in newest))
    with place:
        default = next((run.experiment for run in newest if run.state == "done"), experiments[0])
        experiment = choices.select("experiment", "Experiment", experiments, default)
    return [run for run in runs if run.experiment == experiment]


def load_scope(experiment: str, split: str, runs: Sequence[Card]) -> Scope | None:
    """Reads the metrics of a split; None, with the reason on the page, where there are none yet."""
    found = _load(hash((experiment, split, *(run.source for run in runs))), experiment, split, tuple(runs))
    if isinstance(found, Scope):
        return found
    going = sum(run.state in ("running", "waiting") for run in runs)
    failed = sum(run.state == "failed" for run in runs)
    parts.empty(
        "No results yet",
        f"Of {len(runs)} runs in {experiment}, {split}: {going} under way, {failed} failed. "
        "The page Overview shows how far each is and why one failed.",
    )
    parts.notices(found)
    return None


@st.cache_resource(max_entries=skill.TABLES, show_spinner=False)
def _load(key: int, _experiment: str, _split: str, _runs: tuple[Card, ...]) -> Scope | list[str]:
    """One scope for all sessions; what could not be read where there are no metrics."""
    table, problems = skill.metrics(_runs)
    found = measures(table.columns)
    if table.empty or not found:
        return problems
    names = set(table["model"])
    floors = sorted({run.model for run in _runs if run.floor} & names)
    return Scope(
        experiment=_experiment,
        split=_split,
        runs=_runs,
        table=table,
        places=table.groupby("site")[_SITE].first(),
        measures=found,
        models=sorted(names - set(floors)) + floors,
        floors=floors,
        seeds=sorted(set(table.loc[~table["model"].isin(floors), "seed"])),
        problems=problems,
    )
