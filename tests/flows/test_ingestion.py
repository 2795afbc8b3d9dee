"""The quality report in words."""

import pandas as pd

from thalweg.flows.experiment import Experiment
from thalweg.flows.ingestion import make_store, quality_lines


def finding(severity, site, message, day=None):
    return {"severity": severity, "site": site, "message": message, "first_day": pd.Timestamp(day)}


def test_findings_name_their_sites_and_first_day():
    report = pd.DataFrame(
        [
            finding("error", "a", "rain is negative on 2 days, first 2000-01-03", "2000-01-03"),
            *(finding("warning", site, "attribute slope is missing", None) for site in "abcde"),
            finding("warning", "b", "flow is above rain", "2000-02-01"),
            finding("info", "c", "flow is missing", "2000-03-01"),
        ]
    )
    assert quality_lines(report, ("error", "warning")) == [
        "1 error, 6 warning, 1 info",
        "  error: a: rain is negative on 2 days, first 2000-01-03",
        "  warning: 5 sites (a, b, c, ...): attribute slope is missing",
        "  warning: b: flow is above rain (first 2000-02-01)",
    ]
    assert quality_lines(report)[-1] == "  info: c: flow is missing (first 2000-03-01)"
    assert quality_lines(report[:0]) == []


def test_many_findings_are_cut_off():
    report = pd.DataFrame([finding("error", "a", f"wrong {number}") for number in range(20)])
    lines = quality_lines(report)
    assert len(lines) == 14
    assert lines[-1] == "  and 8 more: thalweg ingest --json lists them all"


def test_making_a_store_says_what_is_wrong_with_it(content, folder, monkeypatch, capsys):
    source = {"kind": "thalweg.flows.twin:twin", "sites": 2, "regions": 2, "years": 1, "seed": 1}
    content["data"] = {"store": "new.zarr", "source": source}
    report = pd.DataFrame([finding("error", "a", "rain is negative", "2000-01-03")])
    monkeypatch.setattr("thalweg.storage.store.quality_report", lambda path: report)
    make_store(Experiment.model_validate(content))
    said = capsys.readouterr()
    assert said.out == ""
    assert "1 error\n  error: a: rain is negative (first 2000-01-03)\n" in said.err
