"""Each warning of `thalweg doctor`: made by what is measured on a machine, and with what to do about it."""

import os
import ssl
import sys
from collections import namedtuple
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from threading import Thread
from types import SimpleNamespace

import pytest
import torch

from thalweg.flows.services import doctor, machine_checks, server_checks

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def quiet(folder, monkeypatch):
    """An empty folder, and no servers named."""
    for name in [each for each in os.environ if each.startswith(("PREFECT_", "RAY_", "AWS_", "THALWEG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(folder))
    return folder


def wrong(check):
    """Give what is not well, as (level, found, advice); nothing may lack advice."""
    found = [each for each in check() if each.level != "ok"]
    assert all(each.advice for each in found), found
    return [(each.level, each.found, each.advice) for each in found]


@pytest.mark.parametrize("running", [(3, 10, 14), (3, 14, 0)])
def test_python(running, monkeypatch):
    monkeypatch.setattr(sys, "version_info", running)
    name = ".".join(map(str, running))
    assert wrong(machine_checks.python) == [("error", name, "use Python 3.11 to 3.13")]


def test_packages(monkeypatch):
    real = machine_checks.version

    def there(name):
        if name == "icechunk":
            raise PackageNotFoundError(name)
        return {"zarr": "2.18.0", "sqlalchemy": "2.1.3", "xarray": "2026.9.0"}.get(name.lower()) or real(name)

    monkeypatch.setattr(machine_checks, "version", there)
    monkeypatch.setattr(machine_checks.importlib.util, "find_spec", lambda name: None)
    found = wrong(machine_checks.packages)
    level, said, advice = found[0]
    assert (level, advice) == ("error", "install it again: pip install -c constraints.txt -e .")
    assert "icechunk is missing" in said
    assert "zarr 2.18.0 is not " in said
    assert [(level, said) for level, said, _ in found[1:]] == [
        ("error", "sqlalchemy 2.1.3"),
        ("error", "xarray 2026.9.0"),
        ("warning", "no dashboard"),
    ]
    assert all("pip install" in advice for _, _, advice in found)


@pytest.mark.parametrize(
    ("free", "level", "advice"),
    [
        (0.5, "error", "make room: a run that cannot write fails"),
        (5.0, "warning", "make room soon"),
        (50.0, None, None),
    ],
)
def test_the_disk(free, level, advice, quiet, monkeypatch):
    monkeypatch.setenv("THALWEG_RUNS", str(quiet / "not" / "there" / "yet"))
    usage = Usage(100 * GIB, 0, int(free * GIB))
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda place: usage)
    found = wrong(machine_checks.disk)
    if level is None:
        assert found == []
        return
    assert [(each, said) for each, _, said in found] == [(level, advice)] * 3
    for (_, said, _), name in zip(found, ("here", "temporary files", "runs"), strict=True):
        assert said.startswith(f"{free:.1f} GiB free for {name} (/")


def test_a_folder_that_cannot_be_written_to(quiet, monkeypatch):
    monkeypatch.setattr(machine_checks.os, "access", lambda place, mode: place != quiet)
    found = wrong(machine_checks.disk)
    assert ("error", f"{quiet}: cannot be written to", "work in a folder of your own") in found


@pytest.mark.parametrize(
    ("pages", "limit", "few"),
    [(2 * GIB, None, True), (64 * GIB, None, False), (64 * GIB, 3 * GIB, True), (64 * GIB, "max", False)],
)
def test_memory(pages, limit, few, tmp_path, monkeypatch):
    """The machine's, or less where a container has a limit."""
    cgroup = tmp_path / "memory.max"
    if limit is not None:
        cgroup.write_text(f"{limit}\n")
    monkeypatch.setattr(machine_checks, "MEMORY_LIMIT", cgroup)
    known = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": pages // 4096}
    monkeypatch.setattr(machine_checks.os, "sysconf", known.__getitem__)
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda place: Usage(GIB, 0, GIB))
    found = wrong(machine_checks.memory)
    if few:
        ((level, said, advice),) = found
        assert (level, advice) == ("warning", "that is little: `thalweg up` alone takes 2.5")
        assert said.startswith("2.0 GiB" if limit is None else "3.0 GiB")
    else:
        assert found == []


def test_shared_memory_of_a_container(monkeypatch):
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda place: Usage(64 << 20, 0, 64 << 20))
    ((level, said, advice),) = [each for each in wrong(machine_checks.memory) if "shared" in each[1]]
    assert (level, said) == ("warning", "64 MiB of shared memory")
    assert "--shm-size=1g" in advice


@pytest.mark.parametrize(
    ("devices", "built", "sees", "said", "advice"),
    [
        (1, None, False, "is built without CUDA", "install torch for CUDA: https://pytorch.org"),
        (2, "12.8", False, "for CUDA 12.8, does not see it", "see that nvidia-smi works"),
        (0, "12.8", False, None, None),
        (0, None, False, None, None),
        (1, "12.8", True, None, None),
    ],
)
def test_a_gpu(devices, built, sees, said, advice, tmp_path, monkeypatch):
    """A driver shows its devices; torch has CUDA built in, or not, and sees them, or not."""
    for name in ("nvidiactl", "nvidia-uvm", *(f"nvidia{each}" for each in range(devices))):
        (tmp_path / name).touch()
    monkeypatch.setattr(machine_checks, "DEVICES", tmp_path)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: sees)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: "A100")
    found = wrong(machine_checks.gpu)
    if said is None:
        assert found == []
        (well,) = machine_checks.gpu()
        assert well.found == ("A100; CUDA 12.8" if sees else "none; everything runs on processors")
    else:
        ((level, shown, what),) = found
        assert level == "warning"
        assert said in shown
        assert what.startswith(advice)


def test_certificates(tmp_path, monkeypatch):
    monkeypatch.setattr(ssl, "create_default_context", lambda: SimpleNamespace(get_ca_certs=list))
    paths = SimpleNamespace(cafile=None, capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert wrong(machine_checks.certificates) == [
        ("warning", "none", "install ca-certificates: https will fail")
    ]
    (tmp_path / "ca.pem").touch()
    assert wrong(machine_checks.certificates) == []


@pytest.fixture
def port_of():
    """Start a server that answers with a code to everything; gives its port."""
    servers = []

    def start(code, date=None):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response_only(code)
                self.send_header("Date", date or self.date_time_string())
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


@pytest.mark.parametrize("code", [200, 403])
def test_the_clock(code, quiet, port_of, monkeypatch):
    """By the date that a server gives, also with a refusal."""
    now = datetime.now(UTC)
    past = "Thu, 01 Jan 2026 00:00:00 GMT"
    url = f"http://127.0.0.1:{port_of(code, past)}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    ((level, said, advice),) = wrong(server_checks.clock)
    apart = abs((now - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds())
    assert level == "error"
    assert abs(float(said.split()[0].replace(",", "")) - apart) < 60
    assert said.endswith(f"s apart from {url}")
    assert advice.startswith("set it by NTP")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port_of(code)}")
    assert wrong(server_checks.clock) == []


def test_ports_that_are_taken(quiet, port_of, monkeypatch):
    taken = port_of(200)
    monkeypatch.setenv("THALWEG_METRICS_PORT", str(taken))
    monkeypatch.setattr(server_checks, "port_is_free", lambda host, port: port != taken)
    ((level, said, advice),) = wrong(server_checks.ports)
    assert level == "warning"
    assert said.startswith(f"port {taken}, for metrics, is taken (PID {os.getpid()}, ")
    assert advice == "set THALWEG_METRICS_PORT to another before `thalweg up`"


def test_an_address_that_others_reach(quiet, monkeypatch):
    monkeypatch.setenv("THALWEG_HOST", "0.0.0.0")
    monkeypatch.setattr(server_checks, "port_is_free", lambda host, port: True)
    assert wrong(server_checks.ports) == [
        (
            "warning",
            "THALWEG_HOST=0.0.0.0: other machines reach it",
            "put a proxy with TLS in front: tokens travel in the clear",
        )
    ]


def state(rows, alive):
    """What `thalweg up` has written down."""
    return SimpleNamespace(
        process=SimpleNamespace(alive=lambda: alive), current=lambda: {"services": rows}, services=[]
    )


def test_services_that_are_not_well(quiet, monkeypatch):
    row = {"name": "ray", "state": "failing", "message": "8265 does not answer", "log": "logs/ray.log"}
    rows = [{**row, "pid": 7}, {"name": "worker", "state": "healthy", "message": "", "log": "", "pid": 8}]
    monkeypatch.setattr(server_checks, "read_state", lambda home: state(rows, False))
    assert wrong(server_checks.services) == [
        ("warning", "ray: failing: 8265 does not answer", "see logs/ray.log")
    ]
    ((level, said, advice),) = wrong(server_checks.ports)
    assert (level, advice) == ("warning", "`thalweg up` ends it and starts anew")
    assert "its supervisor has gone" in said
    monkeypatch.setattr(server_checks, "read_state", lambda home: state(rows, True))
    assert wrong(server_checks.ports) == []


@pytest.mark.parametrize(
    ("variable", "path", "check", "code", "advice"),
    [
        ("PREFECT_API_URL", "/api", "prefect", 401, "set PREFECT_API_AUTH_STRING"),
        ("PREFECT_API_URL", "/api", "prefect", 500, "start it, or unset PREFECT_API_URL"),
        ("RAY_API_SERVER_ADDRESS", "", "ray", 401, "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"),
        ("RAY_API_SERVER_ADDRESS", "", "ray", 403, "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"),
        ("RAY_API_SERVER_ADDRESS", "", "ray", 503, "start it, or name another"),
    ],
)
def test_servers_that_refuse(variable, path, check, code, advice, quiet, port_of, monkeypatch):
    monkeypatch.setenv(variable, f"http://127.0.0.1:{port_of(code)}{path}")
    ((level, said, told),) = wrong(getattr(server_checks, check))
    assert (level, told) == ("error", advice)
    assert str(code) in said


def test_an_object_store_without_keys(quiet, port_of, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port_of(403)}")
    ((level, said, advice),) = wrong(server_checks.object_store)
    assert (level, advice) == ("warning", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    assert said.endswith("answers")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    assert wrong(server_checks.object_store) == []


def test_what_was_given_wrong_is_an_error_and_no_mistake_of_ours(quiet, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "foo")
    assert wrong(server_checks.prefect) == [
        (
            "error",
            "foo is no address of a web server: write one such as http://host:4200",
            "start it, or unset PREFECT_API_URL",
        )
    ]
    assert wrong(server_checks.clock) == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://a b")
    assert [level for level, _, _ in wrong(server_checks.object_store)] == ["error"]
    monkeypatch.setenv("THALWEG_HOST", "banana")
    said = "THALWEG_HOST=banana: is no address: write one such as 127.0.0.1"
    for check in (server_checks.ports, server_checks.services):
        assert wrong(lambda check=check: doctor._safely(check)) == [("error", said, "correct it")]


def test_a_check_that_fails_itself_does_not_stop_the_others(quiet, monkeypatch, capsys):
    def broken():
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(doctor, "CHECKS", (broken, machine_checks.python))
    assert doctor.doctor(SimpleNamespace(json=False)) == 0
    assert "ZeroDivisionError" in capsys.readouterr().out
    ((level, said, _),) = wrong(lambda: doctor._safely(broken))
    assert (level, said) == ("warning", "could not be checked: ZeroDivisionError: a mistake")
