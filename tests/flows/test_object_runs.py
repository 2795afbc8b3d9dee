"""Experiments whose runs are in an object store: on one machine, on several, and after accidents."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from waiting import until

from thalweg.flows import cli, run_claim, submission, worker
from thalweg.flows.check import check
from thalweg.flows.matrix import only_runner
from thalweg.flows.plan import cells_of, make_jobs, remove_replaced
from thalweg.flows.services.processes import family
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, find_runs

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "storage")]
from cluster_host import Host  # noqa: E402


@pytest.fixture
def jobs(content, write, place, folder):
    """Give the jobs of a small experiment with runs in the object store."""
    shutil.copy(HERE / "cell_fakes.py", folder)
    content["splits"] = content["splits"][:1]
    checked = check(write(content))
    checked.raise_problems()

    def make(force=False):
        cells = cells_of(checked.experiment, checked.folds, "abc")
        return make_jobs(cells, run_sharing.opened(place), "abc", force=force)

    return make


def call(*words):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    return ended.value.code


def test_a_worker_on_another_machine_writes_what_the_driver_sees(place, jobs, become, monkeypatch):
    monkeypatch.syspath_prepend(".")
    job = jobs()[1]
    packed = worker.pack(job.cell, job.folder)
    become("two")
    worker.run_packed(packed, "cell_fakes:good")
    become("one")
    assert Run(job.folder).state == "unknown"
    (kept,) = [each for each in _pulled(jobs, place) if each.state == "kept"]
    assert kept.name == job.name
    # and a worker on a third one knows that it is done
    become("three")
    worker.run_packed(packed, "cell_fakes:never_good")


def _pulled(jobs, place):
    run_sharing.pull(run_sharing.opened(place))
    return jobs()


def test_runs_of_another_configuration_go_there_too(place, jobs, become, monkeypatch):
    monkeypatch.syspath_prepend(".")
    for job in jobs():
        worker.run_packed(worker.pack(job.cell, job.folder), "cell_fakes:good")
    first = jobs()[0].folder
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["config"]["training"]["epochs"] = 99
    (first / "manifest.json").write_text(json.dumps(manifest))
    run_sharing.push(first)
    with pytest.raises(InputError, match=rf"^{place}/small/{first.name} was made by another configuration"):
        jobs()
    remove_replaced(jobs(force=True))
    become("two")
    assert len(_pulled(jobs, place)) == 3
    assert {run.path.name for run in find_runs(run_sharing.opened(place))} == {job.name for job in jobs()[1:]}


def test_the_command_line_reads_them(place, jobs, become, monkeypatch, capsys, folder):
    monkeypatch.syspath_prepend(".")
    for job in jobs():
        worker.run_packed(worker.pack(job.cell, job.folder), "cell_fakes:good")
    become("two")
    monkeypatch.setenv("THALWEG_RUNS", place)
    assert call("runs", "--json") == 0
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["done"] * 3
    assert call("show", "small") == 0
    assert f"folder {place}/small" in capsys.readouterr().out
    assert call("show", f"{place}/small/hybrid", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == f"{place}/small/hybrid--temporal--0--s1"
    assert call("show", "small/hybird") == 2
    assert f"no run 'small/hybird' under {place}: did you mean" in capsys.readouterr().err
    assert call("runs", "--runs", "gs://bucket/runs") == 2
    assert "folders or at s3://bucket/prefix" in capsys.readouterr().err
    assert not (folder / "s3:").exists()


def test_a_job_is_told_where_its_runs_go(place, content, write):
    order = submission._order(write(content), place, {}, "run", ())
    assert order.metadata["runs"] == place
    assert submission._order(write(content), "runs", {}, "run", ()).metadata["runs"] == str(
        Path("runs").absolute()
    )


@pytest.fixture
def quick_claims(monkeypatch):
    monkeypatch.setattr(run_claim, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(run_claim, "DEAD_SECONDS", 1.5)


def test_one_driver_at_a_time_whatever_its_machine(place, become, quick_claims):
    with only_runner(run_sharing.opened(place) / "small"):
        become("two")
        there = run_sharing.opened(place) / "small"
        says = rf"^{place}/small: is being run by process {os.getpid()} on .*: wait for it or stop it first"
        with pytest.raises(InputError, match=says), only_runner(there):
            pass
        with only_runner(there.with_name("other")):
            pass
    with only_runner(there):
        pass
    with only_runner(there):
        pass


def test_the_claim_of_a_driver_that_fell_silent_is_taken_over(place, become, quick_claims, monkeypatch):
    mirror = run_sharing.mirror_of(run_sharing.opened(place))
    left = {"owner": "process 7 on far", "machine": "another", "pid": 7, "started": 3, "token": "x"}
    mirror.bucket.write("small/.claim.json", json.dumps(left).encode(), expected=None)
    started = time.monotonic()
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *ignored: interrupted.set())
    try:
        with only_runner(run_sharing.opened(place) / "small"):
            assert 1.4 < time.monotonic() - started < 15
            # and who finds it taken over stops
            found = mirror.bucket.read("small/.claim.json")[1]
            mirror.bucket.delete([found.key])
            mirror.bucket.write(found.key, json.dumps(left).encode(), expected=None)
            assert interrupted.wait(10)
    finally:
        signal.signal(signal.SIGINT, before)
    # the other's claim stays; that of a process of this machine that has ended holds nobody up
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead = {
        **left,
        "machine": run_claim._machine(),
        "pid": ended.pid,
        "started": run_claim.Process.of(ended.pid).started,
    }
    ended.kill()
    ended.communicate()
    etag = mirror.bucket.read("small/.claim.json")[1].etag
    mirror.bucket.write("small/.claim.json", json.dumps(dead).encode(), expected=etag)
    monkeypatch.setattr(run_claim, "DEAD_SECONDS", 1000)
    with only_runner(run_sharing.opened(place) / "small"):
        pass


def thalweg(*words, scratch, start=False, **more):
    command = [sys.executable, "-m", "thalweg.flows.cli", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "THALWEG_SCRATCH": str(scratch), **more}
    if start:
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def lstm(content, write):
    content["splits"] = content["splits"][:1]
    content["models"] = {"lstm": {"kind": "lstm", "hidden": 4}}
    content["training"] |= {"epochs": 150, "checkpoint_seconds": 0.0}
    write(content)
    return "lstm--temporal--0--s1"


def remote(place, key):
    found = run_sharing.mirror_of(run_sharing.opened(place)).bucket.read(key)
    return None if found is None else found[0]


def epoch_there(place, run):
    content = remote(place, f"small/{run}/status.json")
    return 0 if content is None else json.loads(content).get("epoch") or 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_machine_that_is_lost_costs_what_came_after_its_last_checkpoint(place, lstm, folder):
    thalweg("run", "experiment.yaml", "--runs", "whole", scratch=folder / "none")
    driver = thalweg("run", "experiment.yaml", "--runs", place, scratch=folder / "first", start=True)
    until(lambda: remote(place, f"small/{lstm}/checkpoint.pt") and epoch_there(place, lstm) > 5, 240)
    everything = family(driver.pid)
    for process in everything:
        process.send(signal.SIGKILL)
    driver.communicate()
    shutil.rmtree(folder / "first")
    reached = epoch_there(place, lstm)
    assert reached < 150
    said = thalweg("run", "experiment.yaml", "--runs", place, scratch=folder / "second")
    assert "1 of 1 cell run" in said.stdout
    assert f"results in {place}/small" in said.stdout
    shown = thalweg("runs", "--runs", place, "--json", scratch=folder / "third")
    assert [row["state"] for row in json.loads(shown.stdout)] == ["done"]
    os.environ["THALWEG_SCRATCH"] = str(folder / "fourth")
    run = run_sharing.opened(place) / "small" / lstm
    run_sharing.pull(run, lambda inner: True)
    whole = Path("whole/small") / lstm
    found, expected = (torch.load(each / "weights.pt", weights_only=True) for each in (run, whole))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    columns = ["epoch", "loss", "validation"]
    histories = [pd.read_csv(each / "history.csv")[columns] for each in (run, whole)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    attempts = json.loads((run / "ledger.json").read_text())["attempts"]
    assert len(attempts) == 2
    an_epoch = int(pd.read_csv(whole / "history.csv")["samples"].iloc[0])
    assert attempts[1]["samples"] < 150 * an_epoch  # it went on, and did not begin again
    assert not (run / "checkpoint.pt").exists()
    assert remote(place, f"small/{lstm}/checkpoint.pt") is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nodes_that_share_nothing_but_the_object_store(place, folder, tmp_path_factory, monkeypatch):
    for name in ("light_cells.py", "light_driver.py"):
        shutil.copy(HERE / name, folder)
    plan = {"cells": ["a", "b", "c", "d"], "epochs": 60, "step": 0.2, "root": place}
    Path("plan.json").write_text(json.dumps(plan))
    log = tmp_path_factory.mktemp("apart") / "log"
    with Host(log, include_dashboard=False) as host:
        nodes = [host.add(cpus=2, env_vars={"THALWEG_SCRATCH": str(folder / f"node{n}")}) for n in (1, 2)]
        driver = subprocess.Popen(
            [sys.executable, "light_driver.py", "plan.json"],
            env=host.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

        def reached(name):
            content = remote(place, f"light/{name}/checkpoint.txt")
            return int(content) if content else 0

        until(lambda: all(reached(name) >= 8 for name in "abcd"), 120)
        host.remove(nodes[1])
        saved = {name: reached(name) for name in "abcd"}
        out, said = driver.communicate(timeout=200)
    assert driver.returncode == 0, said
    found = json.loads(out.splitlines()[-1])
    assert {state for state, _, _ in found.values()} == {"done"}
    moved = [name for name, (_, _, attempts) in found.items() if attempts == 2]
    assert len(moved) == 2
    done = {name: lines(folder, name) for name in "abcd"}
    for name in "abcd":
        assert set(done[name]) == set(range(1, 61))
    for name in moved:
        again = lines(folder / "node1", name) if lines(folder / "node2", name) else []
        assert min(again) >= saved[name]  # from the last checkpoint that was sent
    run = run_sharing.opened(place) / "light"
    run_sharing.pull(run)
    assert {each.status["epoch"] for each in find_runs(run.parent)} == {60}


def lines(place, name):
    """Give the epochs of a cell, whatever the machine."""
    found = place.rglob(f"light/{name}.epochs")
    return [json.loads(line)["epoch"] for path in found for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_on_a_cluster_leaves_its_runs_to_all(place, lstm, folder, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    # the head and its node are another machine
    monkeypatch.setenv("THALWEG_SCRATCH", str(folder / "cluster"))
    with Host(tmp_path_factory.mktemp("jobs") / "log", include_dashboard=True, dashboard_port=0) as host:
        host.add()
        more = {"RAY_AUTH_TOKEN": host.environment["RAY_AUTH_TOKEN"]}
        words = ("submit", "experiment.yaml", "--runs", place, "--set", "training.epochs=3", "--wait")
        said = thalweg(*words, "--address", host.url, scratch=folder / "laptop", **more)
    assert f"it writes to {place}" in said.stderr
    assert f"results in {place}/small" in said.stdout
    empty = folder / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    shown = thalweg("runs", "--runs", place, "--json", scratch=empty / "scratch")
    assert [(row["run"], row["state"]) for row in json.loads(shown.stdout)] == [(f"small/{lstm}", "done")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_several_workers_of_a_model_the_first_sends(place, lstm, folder, become):
    several = ("--set", "resources.workers_per_model=2", "--set", "training.epochs=3")
    thalweg("run", "experiment.yaml", "--runs", place, *several, scratch=folder / "first")
    become("second")
    run = run_sharing.opened(place) / "small" / lstm
    run_sharing.pull(run)
    assert Run(run).state == "done"
    (attempt,) = json.loads((run / "ledger.json").read_text())["attempts"]
    assert attempt["samples"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_goes_on_on_another_machine(place, content, write, folder):
    content["splits"] = content["splits"][:1]
    content["models"] = {"lstm": {"kind": "lstm", "hidden": 4}}
    content["training"] |= {"epochs": 6}
    content["search"] = {
        "algorithm": "asha", "model": "lstm", "trials": 6,
        "space": {"training.learning_rate": {"log_uniform": [1e-3, 1e-1]}},
    }  # fmt: skip
    write(content)
    whole = thalweg("search", "experiment.yaml", "--runs", "whole", "--json", scratch=folder / "none")
    driver = thalweg("search", "experiment.yaml", "--runs", place, scratch=folder / "first", start=True)

    def ended():
        journal = remote(place, "small/search/journal.jsonl") or b""
        return journal.count(b'"ended"')

    until(lambda: ended() >= 2 or driver.poll() is not None, 240)
    for process in family(driver.pid):
        process.send(signal.SIGKILL)
    driver.communicate()
    shutil.rmtree(folder / "first")
    said = thalweg("search", "experiment.yaml", "--runs", place, "--json", scratch=folder / "second")
    found, expected = (json.loads(each.stdout)["trials"] for each in (said, whole))
    assert {row["trial"]: row["values"] for row in found} == {row["trial"]: row["values"] for row in expected}
    best = {json.dumps(rows[0]["values"]): rows[0]["score"] for rows in (found, expected)}
    assert len(best) == 1
    assert len(set(best.values())) == 1


def test_trials_hand_their_weights_on_between_machines(place, become):
    from thalweg.flows.trial_worker import take_over

    search = run_sharing.opened(place) / "small" / "search"
    source = search / "trials/0001/checkpoint-0002"
    with run_sharing.worked_on(source.parent):
        source.mkdir(parents=True)
        (source / "checkpoint.pt").write_bytes(b"weights")
    become("two")
    there = run_sharing.opened(place) / "small" / "search"
    leg = SimpleNamespace(source="trials/0001/checkpoint-0002")
    with run_sharing.worked_on(there / "trials/0004"):
        take_over(leg, there, there / "trials/0004/checkpoint-0004")
    become("three")
    third = run_sharing.opened(place) / "small" / "search" / "trials/0004"
    with run_sharing.worked_on(third):
        assert (third / "checkpoint-0004" / "checkpoint.pt").read_bytes() == b"weights"
