"""Floods: whether models that were not trained there or then still say that they come, and how high."""

from collections.abc import Mapping, Sequence

import pandas as pd

from thalweg.dashboard.look import Stroke, number, text
from thalweg.dashboard.tables import model_cell, row_of, table

NOTE = (
    "A flood is a day above the 95 % quantile of the site's observed flow in the test. Simulated: of these "
    "days, those on which the model is above it too (POD); false alarms: of the days on which it is, those "
    "that were none (FAR); CSI: hits among all of both. Top 2 %: bias of the highest flows (FHV). Medians "
    "over sites."
)
_COLUMNS = ("pod", "far", "csi")


def floods(events: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Scores of floods by model and split, medians over sites of each site's mean over runs.

    Parameters
    ----------
    events : the table ``events`` of evaluated runs, with the columns run, model and split.
    metrics : of the same runs, for the bias of the highest flows; one without it has none.

    Returns
    -------
    Index model and split; columns ``pod``, ``far``, ``csi`` (1), ``fhv`` (%); empty where none was evaluated.
    """
    if events.empty or not set(_COLUMNS) <= set(events):
        return pd.DataFrame()
    found = _medians(events, list(_COLUMNS))
    if "fhv" in metrics:
        found = found.join(_medians(metrics[metrics["run"].isin(set(events["run"]))], ["fhv"]))
    return found.assign(fhv=found.get("fhv"))


def flood_table(found: pd.DataFrame, lines: Mapping[str, Stroke], splits: Sequence[str]) -> str:
    """One row a model and split, the splits of a model one below the other."""
    heads = ("Floods simulated", "False alarms", "CSI", "Top 2 %")
    head = [
        '<th class="l">Model</th>',
        '<th class="l">Tested on</th>',
        *(f"<th>{name}</th>" for name in heads),
    ]
    rows = []
    for model in dict.fromkeys(found.index.get_level_values("model")):
        for split in (split for split in splits if (model, split) in found.index):
            row = found.loc[(model, split)]
            shares = [_percent(row[name]) for name in ("pod", "far")]
            high = number(row["fhv"], 1, signed=True)
            cells = [*shares, number(row["csi"]), high if high == "–" else f"{high} %"]
            named = [model_cell(str(model), lines[str(model)]), f'<td class="l">{text(split)}</td>']
            rows.append(row_of([*named, *(f"<td>{cell}</td>" for cell in cells)]))
    return table(head, rows)


def _medians(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    by_site = rows.groupby(["model", "split", "site"], observed=True)[names].mean()
    return by_site.groupby(["model", "split"]).median()


def _percent(share: float) -> str:
    value = number(100.0 * share, 0)
    return value if value == "–" else f"{value} %"
