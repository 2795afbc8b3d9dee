"""What `thalweg evaluate` tells of what a network uses: attributes, and days before, with checks of each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from thalweg.evaluation.interpretation.explain_lags import explain_lags
from thalweg.evaluation.interpretation.explain_sites import explain, explain_briefly
from thalweg.evaluation.interpretation.explanation import Explanation
from thalweg.evaluation.interpretation.network_questions import (
    lag_question,
    outcome_question,
    parameter_question,
)
from thalweg.evaluation.interpretation.question import Question
from thalweg.flows.preparation import Preparation, Record
from thalweg.flows.products.physics import chosen, inner_model, some
from thalweg.flows.products.run_data import RunData
from thalweg.flows.products.scores import Tables
from thalweg.models.calibrated import Calibrated
from thalweg.models.hybrids import Hybrid
from thalweg.models.model import Model
from thalweg.storage.results import Run

# Enough to see what matters, few enough for half a minute on two cores.
SITES = 60
FEWEST_SITES = 10
WARMUP, DAYS = 180, 365  # of the record that an outcome through the model is asked over
LAG_SITES, LAG_DAYS, LENGTH = 12, 3, 365
MOST_VARYING = 2
# A network over time takes long, and is asked less often.
QUICK = {"evaluations": 30, "steps": 8, "draws": 2}


def explanation(run: Run, data: RunData) -> Tables:
    """Explain a network: each parameter it gives, what comes of them, and how many days back it looks.

    Returns
    -------
    ``explanation_importance``, ``explanation_attributions``, ``explanation_curves`` and
    ``explanation_checks``, each with the column ``question``; ``explanation_lags``. None for a model
    without a network or with fewer than 10 tested sites.
    """
    model = inner_model(data)
    if model is None or isinstance(model, Calibrated) or len(data.predictions["site"]) < FEWEST_SITES:
        return {}
    record = next(iter(data.prepared.test()))
    parts: dict[str, list[pd.DataFrame]] = {}

    def add(question: str, tables: dict[str, pd.DataFrame]) -> None:
        for name, table in tables.items():
            parts.setdefault(f"explanation_{name}", []).append(table.assign(question=question))

    for question, found in _of_sites(model, data.prepared, record):
        add(question, found.tables())
    for question, found, lags in _of_lags(model, data.prepared, record):
        add(question, {**found.tables(), "lags": lags})
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def _of_sites(model: Model, prepared: Preparation, record: Record) -> Iterator[tuple[str, Explanation]]:
    attributes, sites = prepared.attributes, chosen(record, SITES)
    if not attributes:
        return
    inputs, _ = some(record, SITES, DAYS)
    if isinstance(model, Hybrid):
        for item in model.static:

            def of_parameter(model: Hybrid, name: str = item.name) -> Question:
                return parameter_question(model, inputs, name, attributes, sites)

            yield item.name, explain_briefly(model, of_parameter)
    # the last of the warm-up and the first days: networks over time take long
    first = max(0, record.warmup - WARMUP)
    places = torch.arange(len(inputs.site), device=inputs.site.device)
    length = len(inputs.sequence) - first
    short = inputs.pick(places, torch.full_like(places, first), length)
    warmup = record.warmup - first

    def of_outcome(model: Model) -> Question:
        return outcome_question(
            model, short, warmup, attributes, sites, name=f"mean {prepared.target}",
            units=prepared.units,
        )  # fmt: skip

    slow = not isinstance(model, Hybrid) or model.varying_network is not None
    yield f"mean {prepared.target}", explain(model, of_outcome, **(QUICK if slow else {}))


def _of_lags(
    model: Model, prepared: Preparation, record: Record
) -> Iterator[tuple[str, Explanation, pd.DataFrame]]:
    asked: list[tuple[str | None, str]] = [(None, prepared.units)]
    if isinstance(model, Hybrid):
        asked = [(item.name, item.units) for item in model.varying[:MOST_VARYING]]
    length = min(LENGTH, len(record.time))
    samples = _samples(record, length)
    for parameter, units in asked:

        def of_lags(model: Model, parameter: str | None = parameter, units: str = units) -> Question:
            return lag_question(
                model, record.inputs, samples, length, prepared.forcings, record.sites,
                parameter=parameter, units=units,
            )  # fmt: skip

        found, lags = explain_lags(model, of_lags, evaluations=30, steps=16)
        yield parameter or prepared.target, found, lags


def _samples(record: Record, length: int) -> list[tuple[int, int]]:
    """Draw sites, and of each the day with the highest observed flow and others after the warm-up."""
    random = np.random.default_rng(0)
    first = max(record.warmup, length - 1)
    samples = []
    for site in np.unique(np.linspace(0, len(record.sites) - 1, LAG_SITES).round().astype(int)):
        observed = record.observed[first:, site].cpu().numpy()
        days = random.integers(0, len(observed), LAG_DAYS - 1)
        highest = [int(np.nanargmax(observed))] if np.isfinite(observed).any() else []
        samples += [(int(site), first + int(day)) for day in (*highest, *days)]
    return samples
