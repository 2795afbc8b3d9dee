"""What a file says about an ingest, and the quality report in words."""

import json

import pandas as pd
import pytest

from thalweg.flows.check import check
from thalweg.flows.experiment import Experiment
from thalweg.flows.ingestion import DATA_KEYS, KEYS, make_store, options_of, quality_lines, read_spec
from thalweg.storage.errors import InputError
from thalweg.storage.repository import Repository


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


def test_an_experiment_may_say_how_its_store_is_made(content, folder, tmp_path):
    """Its other keys of data are no reason to refuse it, a mistyped one is."""
    data = Experiment.model_fields["data"].annotation
    assert set(data.model_fields) == {*KEYS, *DATA_KEYS}
    source = {"kind": "thalweg.flows.twin:twin", "sites": 2, "regions": 2, "years": 1, "seed": 1}
    data = {"store": "new.zarr", "source": source, "quality": {"quarantine": {"missing": 0.0}}}
    content["data"] = data | {"ingest": {"late_days": 2}}
    file = tmp_path / "e.yaml"
    file.write_text(json.dumps(content))
    assert options_of(read_spec(file)).late_days == 2
    assert options_of(read_spec(file)).rules.shares["missing"] == 0.0
    content["data"] = data | {"qualty": {}}
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"e\.yaml:\d+: data\.qualty: unknown key; did you mean 'quality'"):
        read_spec(file)
    content["data"] = data | {"quality": {"max_quarantined": 2}, "ingest": {"worker": 1}}
    file.write_text(json.dumps(content))
    problems = check(file).problems
    assert any("max_quarantined is 2" in each for each in problems)
    assert any("worker: unknown key; did you mean 'workers'" in each for each in problems)


def test_the_rules_of_an_experiment_count_when_its_store_is_made(content, folder):
    source = {"kind": "thalweg.flows.twin:twin", "sites": 2, "regions": 2, "years": 1, "seed": 1}
    content["data"] = {"store": "new.zarr", "source": source, "quality": {"quarantine": {"missing": 0.0}}}
    made = Experiment.model_validate(content)
    make_store(made)
    assert json.loads(Repository.open("new.zarr").table("quarantine").attrs["rules"])["quarantine"] == {
        "missing": 0.0
    }
