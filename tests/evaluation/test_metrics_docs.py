"""The table of metrics tells of every metric there is, with its units and its best value, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thalweg.evaluation.events import EVENT_METRICS
from thalweg.evaluation.signatures import SIGNATURES
from thalweg.evaluation.skill import METRICS
from thalweg.evaluation.uncertainty.event_probability import PROBABILITY_METRICS
from thalweg.evaluation.uncertainty.score_sums import SCORES

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """Give the cells of the table under a heading, by the name in its first column."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
    return {row[0].strip("`"): row[1:] for row in cells if re.fullmatch(r"`\w+`", row[0])}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Discharge, site by site", METRICS),
        ("Hydrological signatures", SIGNATURES),
        ("Events, yes or no", EVENT_METRICS),
        ("Events, probabilities", PROBABILITY_METRICS),
        ("Distributions", SCORES),
    ],
)
def test_all_metrics_and_no_others(heading: str, names: dict[str, object]) -> None:
    assert list(rows(heading)) == list(names)


def test_units_and_best_values() -> None:
    table = rows("Discharge, site by site")
    for name, metric in METRICS.items():
        assert (float(table[name][1]), table[name][2]) == (metric.perfect, metric.units), name
    for name, signature in SIGNATURES.items():
        assert rows("Hydrological signatures")[name][1] == signature.units, name
    for name, event in EVENT_METRICS.items():
        assert float(rows("Events, yes or no")[name][1]) == event.perfect, name


def test_every_formula_of_discharge_names_its_source_in_the_code_too() -> None:
    for name, row in rows("Discharge, site by site").items():
        for doi in re.findall(r"10\.\d{4,}/[^\s,|]+", row[3]):
            assert doi in (METRICS[name].function.__doc__ or ""), (name, doi)
