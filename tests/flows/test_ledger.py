"""What a run costs is kept in its folder, through accidents; the newest attempt owns the run."""

import json
import os
import time

import pytest

from thalweg.flows import experiment_view, results_view
from thalweg.flows.experiment_view import cost_text, describe_experiment, runs_of, size, total_cost
from thalweg.flows.ledger import Cost, Meter, cost_of, silent_seconds, total
from thalweg.storage import traffic
from thalweg.storage.results import write_status


def test_one_attempt_is_measured(tmp_path):
    with Meter(tmp_path, gpus=0.5) as meter:
        held = bytearray(os.urandom(2**20)) * 100  # 100 MiB that are really used
        traffic.count(1234)
        started = time.process_time()
        while time.process_time() - started < 0.2:
            pass
        meter.count(samples=64, seconds=0.5, waiting=0.1)
        meter.count(samples=64, seconds=0.5, waiting=0.0)
    del held
    cost = cost_of(tmp_path)
    assert cost.wall_seconds >= cost.cpu_seconds >= 0.2
    assert cost.gpu_seconds == pytest.approx(cost.wall_seconds / 2, abs=2e-3)
    assert cost.peak_memory > 100 * 2**20
    assert cost.bytes_read == 1234
    assert (cost.samples, cost.attempts) == (128, 1)
    assert cost.waiting_share == pytest.approx(0.1)
    assert cost.samples_per_second == pytest.approx(128)
    assert json.loads((tmp_path / "ledger.json").read_text())["total"]["samples_per_second"] == 128


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="Linux alone forgets a peak")
def test_the_peak_of_one_run_is_not_that_of_the_one_before_in_the_same_worker(tmp_path):
    with Meter(tmp_path / "large"):
        held = bytearray(os.urandom(2**20)) * 200
    del held
    with Meter(tmp_path / "small"):
        pass
    peaks = [cost_of(tmp_path / name).peak_memory for name in ("large", "small")]
    assert peaks[0] - peaks[1] > 150 * 2**20


def test_attempts_add_up_and_a_killed_one_counts_as_far_as_it_was_written(tmp_path):
    killed = Meter(tmp_path, every=0.05)
    killed.__enter__()
    killed.count(10, 1.0, 0.0)
    time.sleep(0.3)
    killed._over.set()  # as if it were gone: nothing is written at its end
    killed._thread.join()
    with Meter(tmp_path) as second:
        second.count(30, 2.0, 1.5)
    cost = cost_of(tmp_path)
    assert (cost.attempts, cost.samples, cost.training_seconds) == (2, 40, 3.0)
    assert cost.waiting_share == 0.5
    assert cost.peak_memory == max(
        each["peak_memory"] for each in json.loads((tmp_path / "ledger.json").read_text())["attempts"]
    )


def test_an_older_attempt_is_interrupted_by_a_newer_one(tmp_path):
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Meter(tmp_path, every=0.05) as lost:  # noqa: PT012
        newer = Meter(tmp_path, every=60)
        newer.__enter__()
        time.sleep(20)
    assert time.monotonic() - begun < 5
    assert lost.superseded
    newer.__exit__()
    assert not newer.superseded
    last = json.loads((tmp_path / "ledger.json").read_text())["attempts"][-1]
    assert last["id"] == newer.attempt["id"]


def test_a_ledger_that_cannot_be_read_is_begun_anew(tmp_path):
    for content in ("", "{", "[]", '{"attempts": 3}', '{"attempts": [4, null]}'):
        (tmp_path / "ledger.json").write_text(content)
        assert cost_of(tmp_path) is None
        with Meter(tmp_path):
            pass
        assert cost_of(tmp_path).attempts == 1


def test_totals():
    costs = [Cost(1.0, 2.0, 0.5, 100, 7, 5, 6, 4.0, 1.0, 1), Cost(2.0, 3.0, 0.5, 80, 9, 5, 6, 0.0, 0.0, 2)]
    assert total(costs) == Cost(3.0, 5.0, 1.0, 100, 9, 10, 12, 4.0, 1.0, 3)
    assert total([]).waiting_share is None


def test_sizes_and_costs_in_words():
    assert [size(count) for count in (12, 3.4e5, 2.5e6, 1.23e9, 4e12)] == [
        "0.012 kB", "340 kB", "2.5 MB", "1.23 GB", "4 TB",
    ]  # fmt: skip
    text = cost_text(Cost(90.0, 60.0, 45.0, int(2e9), int(1e9), int(3e6), 500, 50.0, 5.0, 1).summary())
    assert text == (
        "90 s of work, 60 s of CPU, 45 s of GPU, memory up to 2 GB, GPU memory up to 1 GB, 3 MB read, "
        "10 windows a second in training, 10% of that waiting for data"
    )


@pytest.fixture
def root(tmp_path):
    """An experiment with one run of each kind."""
    for name, status in {
        "a--temporal--0--s1": {"state": "done", "epoch": 3, "epochs": 3},
        "b--temporal--0--s1": {
            "state": "failed", "message": "the loss became nan", "error": "DivergenceError", "epoch": 2,
            "attempts": 1,
        },
        "c--temporal--0--s1": {"state": "running", "epoch": 1, "epochs": 3},
    }.items():  # fmt: skip
        folder = tmp_path / "small" / name
        with Meter(folder) as meter:
            meter.count(10, 1.0, 0.25)
        write_status(folder, status)
    return tmp_path


def test_an_experiment_is_shown_with_what_failed_and_why(root, capsys):
    runs = runs_of(root, "small")
    found = describe_experiment(runs)
    assert found["states"] == {"done": 1, "failed": 1, "running": 1}
    assert found["not_done"] == [
        {
            "run": "b--temporal--0--s1", "state": "failed", "reason": "the loss became nan",
            "error": "DivergenceError", "epoch": 2, "attempts": 1,
        }
    ]  # fmt: skip
    assert (found["cost"]["samples"], found["cost"]["attempts"]) == (30, 3)
    experiment_view.show_experiment(found)
    said = capsys.readouterr().out
    assert "small: 3 runs: 1 done, 1 failed, 1 running" in said
    assert "the loss became nan" in said
    assert "25% of that waiting for data" in said
    assert runs_of(root, f"{root}/small/") == runs
    assert runs_of(root, "nothing") == []


def test_the_list_of_runs_sums_the_cost_and_tells_who_went_silent(root, capsys):
    silent = root / "small" / "c--temporal--0--s1" / "ledger.json"
    os.utime(silent, (time.time() - 7200, time.time() - 7200))
    assert silent_seconds(silent.parent) == pytest.approx(7200, abs=60)
    assert silent_seconds(root) is None
    rows = results_view.run_rows(root, "small")
    assert [row["cost"]["samples"] for row in rows] == [10, 10, 10]
    assert rows[2]["message"] == "nothing heard of it for 2 h 0 min"
    results_view.show_rows(rows, root)
    said = capsys.readouterr().out
    assert "took 0.0 s of work" in said
    assert total_cost([root / "small" / "a--temporal--0--s1"]).samples == 10
