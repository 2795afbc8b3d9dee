"""Page Interpretation, second question: what parameters did it learn, and do they mean anything?"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.figures.courses import courses, flood_days
from thalweg.dashboard.figures.parameters import MOST_ATTRIBUTES, correlations, parameter_map, response
from thalweg.dashboard.figures.water import words
from thalweg.dashboard.look import Look, Stroke, number, text
from thalweg.dashboard.reading import evaluated, predictions
from thalweg.dashboard.reading.attributes import Names, attribute_names
from thalweg.dashboard.reading.cards import Card
from thalweg.dashboard.reading.inside import varying_at
from thalweg.dashboard.reading.weather import weather
from thalweg.dashboard.scope import Scope
from thalweg.dashboard.sections.periods import chosen_period
from thalweg.dashboard.tables import row_of, table
from thalweg.evaluation.interpretation.identifiability import identifiability

_HEIGHT = 400
_DOUBTFUL = 0.05  # q-value above which a correlation may be chance


def parameter_view(scope: Scope, model: str, stroke: Stroke, look: Look) -> list[str]:
    """Maps, responses, correlations, courses in time, and what seeds agree on; gives what is missing."""
    runs = [run for run in scope.runs if run.model == model]
    tables = evaluated.tables(runs, "parameters")
    if tables.empty:
        parts.empty(
            "Which parameters did it learn?",
            f"{model} has parameters on this page if there is physics inside it, once they were computed by",
            f"thalweg evaluate {scope.experiment}",
        )
        return []
    spread = tables.groupby("parameter")["place"].std().sort_values(ascending=False)
    answers = evaluated.tables(runs, "parameter_response")
    known = attribute_names(runs)
    left, right = st.columns([5, 4], gap="medium")
    with left:
        name = choices.select(
            "parameter", "Parameter", list(spread.index), show=words, help="First those that differ most."
        )
        site = _map(scope, tables[tables["parameter"] == name], name, look)
    if site is not None:
        choices.tell("site", site)
    units = str(tables.loc[tables["parameter"] == name, "units"].iloc[0])
    with right:
        _response(runs, answers, name, units, known, stroke, look)
    if not answers.empty:
        parts.plot(_correlations(answers, known, look), "correlations")
        parts.note(
            f"Means over runs; the {MOST_ATTRIBUTES} attributes that tell most. Without a number: may be "
            f"chance (q above {_DOUBTFUL:g}, for so many pairs as were looked at), or runs differ in sign."
        )
    problems = _courses(scope, model, runs, stroke, look)
    _seeds(tables, model)
    return problems


def _map(scope: Scope, own: pd.DataFrame, name: str, look: Look) -> str | None:
    """The parameter at every site, mean over seeds; gives the site that was clicked anew."""
    values = own.groupby("site")["value"].mean()
    fig = parameter_map(scope.places.assign(value=values), name, str(own["units"].iloc[0]), look, _HEIGHT)
    return parts.click(fig, f"parameter-{scope.key}-{name}")


def _response(
    runs: Sequence[Card],
    answers: pd.DataFrame,
    name: str,
    units: str,
    known: Names,
    stroke: Stroke,
    look: Look,
) -> None:
    """The parameter along an attribute, first the one that goes with it most."""
    own = answers[answers["parameter"] == name] if not answers.empty else answers
    if own.empty:
        parts.note("This parameter has no attributes to go with.")
        return
    strength = own.groupby("attribute")["correlation"].mean()
    order = strength.abs().sort_values(ascending=False).index
    attribute = choices.select(
        "along",
        "Along",
        list(order),
        show=lambda each: f"{known[each].title} (ρ {number(strength[each], signed=True)})",
        help="Attributes by the size of their rank correlation with the parameter over sites.",
    )
    classes = evaluated.tables(runs, "parameter_classes")
    classes = classes[(classes["parameter"] == name) & (classes["attribute"] == attribute)]
    fig = response(classes, name, known[attribute], units, stroke.color, look, _HEIGHT - 10)
    parts.plot(fig, "response")
    many = classes["run"].nunique()
    parts.note(
        "Median and quartiles in classes of the attribute with as many sites each."
        if many == 1
        else f"Medians in classes of the attribute, a line each of {many} runs."
    )


def _correlations(answers: pd.DataFrame, known: Names, look: Look) -> object:
    pairs = answers.groupby(["parameter", "attribute"], sort=False)
    found = pairs.agg(
        mean=("correlation", "mean"),
        low=("correlation", "min"),
        high=("correlation", "max"),
        chance=("q_value", "median"),
    )
    doubtful = (found["chance"] > _DOUBTFUL) | (found["low"] * found["high"] < 0.0)
    shown = found["mean"].unstack()
    strongest = shown.abs().max().sort_values(ascending=False).index[:MOST_ATTRIBUTES]
    titles = {name: known[name] for name in strongest}
    return correlations(shown[strongest], doubtful.unstack(fill_value=True)[strongest], titles, look)


def _courses(scope: Scope, model: str, runs: Sequence[Card], stroke: Stroke, look: Look) -> list[str]:
    """Parameters that vary in time at a site, with rain, flow and floods."""
    parts.section("Through time")
    place, period = st.columns([3, 7], gap="medium")
    with place:
        site = choices.select(
            "site", "Site", list(scope.places.index), scope.typical_site, help="Or click it on the map."
        )
    run = scope.run_at(model, site, scope.seeds[0] if scope.seeds else 0)
    if run is None:
        return [f"{model}: was not tested at {site}"]
    series = varying_at(run, site)
    if series.table.empty:
        parts.note(f"{series.missing[:1].upper()}{series.missing[1:]}: they are the same on all days.")
        return []
    flows, problems = predictions.series(run.path, run.stamp, site)
    if flows is None:
        flows = pd.DataFrame({"observed": pd.Series(dtype=float)}, index=series.table.index)
    with period:
        days = chosen_period(flows).index
    sky = weather(run, site)
    rain = sky.table.get("precipitation")
    events = [pair for pair in flood_days(flows["observed"]) if pair[1] >= days[0] and pair[0] <= days[-1]]
    fig = courses(
        flows.reindex(days),
        None if rain is None else rain.reindex(days),
        series.table.reindex(days),
        series.units,
        events,
        stroke.color,
        look,
    )
    parts.plot(fig, "courses")
    less = f" No rain above: {sky.missing}." if sky.missing else ""
    parts.note(f"Shaded: observed flow above its 95 % quantile.{less}")
    return problems


def _seeds(tables: pd.DataFrame, model: str) -> None:
    """Whether seeds agree on the parameters."""
    parts.section("Do seeds find the same parameters again?")
    if tables["seed"].nunique() < 2:
        parts.note(
            f"{model} was trained with one seed: with several, such as training: {{seeds: [1, 2, 3]}}, this "
            "tells which parameters the data identify and which are one of many that fit alike."
        )
        return
    found = _identified(tables)
    head = ['<th class="l">Parameter</th>', '<th class="l">Verdict</th>']
    head += [
        f'<th title="{text(told)}">{name}</th>'
        for name, told in (
            ("ICC", "share of the variance that is between sites rather than between seeds"),
            ("Agreement", "mean rank correlation of the maps of two seeds"),
            ("Between seeds", "standard deviation, share of the range"),
            ("Between sites", "standard deviation, share of the range"),
            ("Between components", "standard deviation, share of the range"),
        )
    ]
    columns = ("icc", "agreement", "seed_spread", "site_spread", "component_spread")
    rows = []
    for row in found.to_dict("records"):
        kind = ' class="l flag"' if row["verdict"] == "not identified" else ' class="l"'
        cells = [
            f'<td class="l">{text(words(row["parameter"]))}</td>',
            f"<td{kind}>{text(row['verdict'])}</td>",
        ]
        rows.append(row_of([*cells, *[f"<td>{number(row[column])}</td>" for column in columns]]))
    parts.html(table(head, rows))
    parts.note(
        "Identified from an ICC of 0.75, weak from 0.5 (Koo and Li 2016); spreads as shares of the range."
    )


@st.cache_data(max_entries=50, show_spinner=False)
def _identified(tables: pd.DataFrame) -> pd.DataFrame:
    return identifiability(tables)
