"""What Prometheus is told, and who is told."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
from waiting import until

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


@pytest.fixture
def served(folder, monkeypatch):
    """Serve metrics at a host; gives their address."""
    servers = []

    class Kept(metrics_server._Server):
        def __init__(self, *given):
            super().__init__(*given)
            servers.append(self)

    monkeypatch.setattr(metrics_server, "_Server", Kept)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def serve(host):
        Thread(target=metrics_server.serve, args=(Path("runs"), host, 0), daemon=True).start()
        until(lambda: servers)
        place = servers[-1].server_address[0]
        return f"http://{f'[{place}]' if ':' in place else place}:{servers[-1].server_port}"

    yield serve
    for each in servers:
        each.shutdown()


def code(url, **headers):
    """Give what a server answers."""
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_metrics_want_a_token_wherever_one_is_set(host, served, monkeypatch):
    monkeypatch.setenv("THALWEG_METRICS_TOKEN", "secret")
    address = served(host)
    assert code(f"{address}/metrics") == 401
    assert code(f"{address}/metrics", Host="evil.example") == 401
    assert code(f"{address}/metrics", Authorization="Bearer wrong") == 401
    assert code(f"{address}/metrics", Authorization="Bearer secret") == 200
    assert code(f"{address}/health") == 200  # probes have no token


def test_metrics_are_open_to_this_machine_where_no_token_is_set(served, monkeypatch):
    monkeypatch.delenv("THALWEG_METRICS_TOKEN", raising=False)
    assert code(f"{served('127.0.0.1')}/metrics") == 200


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("0.0.0.0", "^--host 0.0.0.0: other machines reach it: set THALWEG_METRICS_TOKEN$"),
        ("::", "^--host ::: other machines reach it: set THALWEG_METRICS_TOKEN$"),
        ("no.such.invalid", "^--host no.such.invalid: is no address of this machine$"),
        ("a..b", "^--host a..b: is no address of this machine$"),
    ],
)
def test_hosts_that_are_refused(host, said, folder, monkeypatch):
    monkeypatch.delenv("THALWEG_METRICS_TOKEN", raising=False)
    with pytest.raises(InputError, match=said):
        metrics_server.serve(Path("runs"), host, 0)
