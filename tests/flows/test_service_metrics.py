"""What Prometheus is told, and who is told."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from thalweg.flows.services import metrics, metrics_server
from thalweg.storage.errors import InputError, UnavailableError


def test_metrics_are_as_prometheus_reads_them(folder, twin_store):
    from prometheus_client.parser import text_string_to_metric_families

    run_folder = folder / "runs" / 'my "rivers"\n' / "lstm--temporal--0--s1"
    run_folder.mkdir(parents=True)
    (run_folder / "status.json").write_text(json.dumps({"state": "done"}))
    config = {"config": {"data": {"store": str(twin_store)}}}
    (run_folder / "manifest.json").write_text(json.dumps({"format": 1, **config}))
    look = {"at": "2026-01-01T03:00:00+00:00", "run": "a/b", "ratio": 1.5, "limit": 1.1, "drift": True}
    (run_folder.parent / "nightly.json").write_text(json.dumps({"looks": [look]}))
    found = {
        sample.name: (sample.labels, sample.value)
        for family in text_string_to_metric_families(metrics.text(metrics.collect(Path("runs"))))
        for sample in family.samples
    }
    assert found["thalweg_runs"] == ({"experiment": 'my "rivers"\n', "state": "done"}, 1.0)
    day = datetime(2002, 12, 31, tzinfo=UTC).timestamp()
    assert found["thalweg_store_last_day_timestamp_seconds"] == ({"store": str(twin_store)}, day)
    assert found["thalweg_store_sites"][1] == 8
    assert found["thalweg_drift"][1] == 1
    assert found["thalweg_drift_statistic"][1] == 1.5
    assert found["thalweg_drift_limit"][1] == 1.1
    assert found["thalweg_collect_failures"][1] == 0


def test_what_is_here_is_told_where_the_object_store_is_away(folder, monkeypatch):
    def away(runs):
        raise UnavailableError("s3://lab/runs: did not answer")

    run_folder = folder / "runs" / "rivers" / "lstm--temporal--0--s1"
    run_folder.mkdir(parents=True)
    (run_folder / "status.json").write_text(json.dumps({"state": "done"}))
    (run_folder / "manifest.json").write_text(json.dumps({"format": 1}))
    monkeypatch.setattr(metrics.run_sharing, "pull", away)
    told = metrics.text(metrics.collect(Path("runs")))
    assert 'thalweg_runs{experiment="rivers",state="done"} 1\n' in told
    assert 'thalweg_collect_failures{part="pull"} 1\n' in told
    assert 'thalweg_collect_failures{part="runs"} 0\n' in told


def test_metrics_want_a_token_where_others_reach_them(folder, monkeypatch):
    monkeypatch.delenv("THALWEG_METRICS_TOKEN", raising=False)
    with pytest.raises(InputError, match="set THALWEG_METRICS_TOKEN"):
        metrics_server.serve(Path("runs"), "0.0.0.0", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), metrics_server._handler(Path("runs"), "secret"))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
    for header in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, headers=header), timeout=10)
    asked = urllib.request.Request(url, headers={"Authorization": "Bearer secret"})
    assert urllib.request.urlopen(asked, timeout=10).status == 200
    server.shutdown()
    server.server_close()
