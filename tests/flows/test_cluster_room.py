"""How many cells a cluster takes at once, and clusters that are not there."""

import errno
import fcntl
import socket
import time

import pytest

from thalweg.flows import cluster, worker
from thalweg.flows.cluster import Head, check_fits, room
from thalweg.flows.matrix import only_runner
from thalweg.flows.search_spec import Resources
from thalweg.storage.errors import InputError, UnavailableError

CPU4, GPU2 = {"CPU": 4.0, "memory": 1e9}, {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("resources", "nodes", "count"),
    [
        ({}, [CPU4, GPU2], 12),
        ({"workers": 5}, [CPU4, GPU2], 5),
        ({"cpus_per_worker": 3}, [CPU4, CPU4], 2),  # not 8 / 3: a cell is on one node
        ({"cpus_per_worker": 0.1}, [{"CPU": 0.3}], 3),
        ({"gpus_per_worker": 1}, [CPU4, GPU2], 2),
        ({"gpus_per_worker": 0.25}, [GPU2], 8),
        ({"gpus_per_worker": 0.4}, [GPU2], 4),  # not 2 / 0.4: a cell is on one GPU
        ({"gpus_per_worker": 0.25, "cpus_per_worker": 2}, [GPU2], 4),
        ({"gpus_per_worker": 2}, [GPU2, GPU2], 2),
        ({"gpus_per_worker": 1}, [], 0),
        ({"workers_per_model": 3}, [CPU4, CPU4], 2),  # a model's workers may be on several nodes
        ({"workers_per_model": 3, "workers": 1}, [CPU4, CPU4], 1),
        ({"workers_per_model": 9}, [CPU4, CPU4], 1),  # nodes are gone: it goes on with those that are left
        ({"workers_per_model": 2}, [], 0),
    ],
)
def test_cells_are_on_one_node_and_one_gpu(resources, nodes, count):
    assert room(Resources(**resources), nodes) == count


@pytest.mark.parametrize(
    ("resources", "nodes", "said"),
    [
        ({"cpus_per_worker": 16}, [CPU4], "resources.cpus_per_worker: 16 wanted, but there is 4 CPU"),
        ({"cpus_per_worker": 16}, [CPU4, GPU2], "16 wanted, but no node has more than 8 CPU"),
        ({"gpus_per_worker": 1}, [CPU4], "resources.gpus_per_worker: 1 wanted, but there is 0 GPU"),
        ({"gpus_per_worker": 1.5}, [GPU2], "resources.gpus_per_worker: 1.5: must be whole above 1"),
        (
            {"workers_per_model": 9},
            [CPU4, CPU4],
            "resources.workers_per_model: 9 wanted, but there is room for 8",
        ),
        (
            {"gpus_per_worker": 1, "cpus_per_worker": 8},
            [{"CPU": 64.0}, {"CPU": 2.0, "GPU": 1.0}],
            "no node has both the CPUs and the GPUs",
        ),
    ],
)
def test_what_fits_nowhere_is_refused(monkeypatch, resources, nodes, said):
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    with pytest.raises(InputError, match=said):
        check_fits(Resources(**resources))


def test_a_head_that_is_silent_for_long_is_told(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = object.__new__(Head)
        head.address = f"127.0.0.1:{server.getsockname()[1]}"
        head.looked = head.heard = clock[0]
        clock[0] += 10
        assert head.check()
    clock[0] += 10
    assert not head.check()
    clock[0] += 1
    assert not head.check()  # it does not look every time
    clock[0] += 50
    with pytest.raises(UnavailableError, match=r"has not answered for 61 s: start it again"):
        head.check()


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("127.0.0.1:1", UnavailableError, "RAY_ADDRESS=127.0.0.1:1: no Ray cluster answers there"),
        ("nonsense", UnavailableError, "RAY_ADDRESS=nonsense: no Ray cluster answers there"),
        ("ray://head:10001", InputError, "use `thalweg submit EXPERIMENT --address http://HEAD:8265`"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(address, error, said):
    begun = time.monotonic()
    with pytest.raises(error, match=said):
        cluster._join(address, {})
    assert time.monotonic() - begun < 10


def test_a_file_system_without_locks_is_used_with_a_warning(folder, monkeypatch, capsys):
    def refuse(*ignored):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_runner(folder / "runs"):
        pass
    assert "cannot be locked (No locks available): run it once at a time" in capsys.readouterr().err


def test_a_node_that_does_not_see_the_folder_of_runs_says_so(folder, monkeypatch):
    monkeypatch.setattr(worker, "SEEN_SECONDS", 0.0)
    with pytest.raises(
        InputError, match=r"runs/a: is not there on node .*--runs must name a folder on storage"
    ):
        worker.check_shared(folder / "runs" / "a")
