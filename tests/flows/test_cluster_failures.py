"""Cells on a cluster of several nodes, and all that can befall them: nothing finished is lost or repeated."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from waiting import until

HERE = Path(__file__).parent
sys.path.append(str(HERE))
from cluster_host import Host  # noqa: E402


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A head without CPUs and one node with two."""
    # a full object store goes to the disk else
    settings = {"automatic_object_spilling_enabled": False, "local_fs_capacity_threshold": 0.001}
    with Host(
        tmp_path_factory.mktemp("cluster") / "log", include_dashboard=False, settings=settings
    ) as started:
        started.add()
        yield started


@pytest.fixture
def place(folder):
    for name in ("light_cells.py", "light_driver.py"):
        shutil.copy(HERE / name, folder)
    return folder


def drive(host, cells, **plan):
    """Start a driver, and wait until it is connected."""
    Path("plan.json").write_text(json.dumps({"cells": cells, **plan}))
    process = subprocess.Popen(
        [sys.executable, "light_driver.py", "plan.json"],
        env=host.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line == "ready\n":
            return process
    raise AssertionError(process.communicate()[1])


def result(process):
    """Give state, message and attempts of each cell when the driver has ended."""
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return json.loads(out)


def run(host, cells, **plan):
    return result(drive(host, cells, **plan))


def epochs(name):
    path = Path("runs") / f"{name}.epochs"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def repeated(name):
    """Count the epochs that were done more than once."""
    return sum(count - 1 for count in Counter(line["epoch"] for line in epochs(name)).values())


def states(found):
    return {name: state for name, (state, _, _) in found.items()}


def test_a_node_that_goes_away_costs_one_checkpoint_interval(host, place):
    lost = host.add()
    driver = drive(host, ["a", "b", "c", "d"], epochs=12, step=0.2)
    until(lambda: all(len(epochs(name)) >= 5 for name in "abcd"))
    nodes = {name: epochs(name)[-1]["node"] for name in "abcd"}
    host.remove(lost)
    found = result(driver)
    assert set(states(found).values()) == {"done"}
    moved = [name for name in "abcd" if len({line["node"] for line in epochs(name)}) > 1]
    assert len(moved) == 2, nodes
    for name in "abcd":
        assert {line["epoch"] for line in epochs(name)} == set(range(1, 13))
        assert repeated(name) <= (name in moved)
        assert found[name][2] == 1 + (name in moved)


def test_a_worker_that_is_killed_goes_on_from_its_checkpoint(host, place):
    found = run(host, ["killed", "other"], runner="killed", resources={"retries": 0}, step=0.2)
    assert states(found) == {"killed": "done", "other": "done"}
    assert found["killed"][2] == 2  # it had got further: that is no retry
    assert repeated("killed") <= 1
    assert len(epochs("other")) == 10


def test_a_driver_that_is_killed_and_started_again(host, place):
    cells = ["a", "b", "c", "d"]
    driver = drive(host, cells, epochs=10, step=0.15)
    until(lambda: any(len(epochs(name)) >= 4 for name in "cd"))
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    found = states(run(host, cells, epochs=10, step=0.15))
    assert set(found.values()) == {"kept", "done"}
    for name in cells:
        assert {line["epoch"] for line in epochs(name)} == set(range(1, 11))
        assert repeated(name) <= (found[name] != "kept")


def test_a_cell_without_memory_leaves_the_others(host, place):
    found = run(host, ["greedy", "other"], runner="out_of_memory", resources={"retries": 1})
    assert states(found) == {"greedy": "failed", "other": "done"}
    assert found["greedy"][1:] == ["MemoryError", 2]
    assert "light_cells.py" in Path("runs/greedy/error.txt").read_text()
    status = json.loads(Path("runs/greedy/status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", "MemoryError")


@pytest.mark.slow
def test_a_full_object_store_is_no_obstacle_and_who_needs_it_is_told(host, place):
    # a cell of 400 kB, as one with thousands of sites is, goes by no object store either
    driver = drive(host, ["large"], fill_store=True, filler=50_000)
    assert states(result(driver)) == {"large": "done"}
    found = run(host, ["greedy", "other"], runner="fills_the_object_store", resources={"retries": 0})
    assert states(found) == {"greedy": "failed", "other": "done"}
    assert "object store is full" in found["greedy"][1]


@pytest.mark.slow
def test_ray_stops_a_worker_that_takes_all_the_memory(tmp_path_factory, place):
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = 1024 * int(told["MemAvailable"].split()[0])
    settings = {
        "memory_usage_threshold": min(0.95, (total - free + 3.5 * 2**30) / total),
        "memory_monitor_refresh_ms": 100,
    }
    with Host(tmp_path_factory.mktemp("memory") / "log", include_dashboard=False, settings=settings) as host:
        host.add()
        found = run(host, ["greedy", "other"], runner="hungry", resources={"retries": 3}, epochs=100)
    assert states(found) == {"greedy": "failed", "other": "done"}  # Ray may stop either of them at first
    assert "its node ran out of memory, even with no other beside it" in found["greedy"][1]
    assert found["greedy"][2] in (4, 5)  # once beside the other, or not, and then alone


@pytest.mark.slow
def test_the_head_goes_away_and_another_one_goes_on(tmp_path_factory, place):
    logs = tmp_path_factory.mktemp("heads")
    cells = ["a", "b", "c", "d"]
    with Host(logs / "first", include_dashboard=False) as first:
        first.add()
        driver = drive(first, cells, epochs=30, step=0.2, head_silent=3, head_look=1)
        until(lambda: len(epochs("c")) >= 4)
        first.remove("head")
        said = driver.communicate(timeout=60)[1]
        assert driver.returncode == 1
        assert "has not answered for" in said
        with Host(logs / "second", include_dashboard=False) as second:
            second.add()
            found = run(second, cells, epochs=30, step=0.2)
    assert states(found) == {"a": "kept", "b": "kept", "c": "done", "d": "done"}
    for name in cells:
        assert {line["epoch"] for line in epochs(name)} == set(range(1, 31))
        assert repeated(name) <= 1 + (name in "cd")


@pytest.mark.slow
def test_with_no_node_left_the_driver_waits_for_one(tmp_path_factory, place):
    with Host(tmp_path_factory.mktemp("alone") / "log", include_dashboard=False) as host:
        only = host.add()
        driver = drive(host, ["a", "b"], epochs=12, step=0.2)
        until(lambda: len(epochs("b")) >= 4)
        host.remove(only)
        assert "no node has room for a cell: waiting for one" in driver.stderr.readline()
        host.add()
        found = result(driver)
    assert states(found) == {"a": "done", "b": "done"}
    assert max(repeated(name) for name in "ab") <= 1
