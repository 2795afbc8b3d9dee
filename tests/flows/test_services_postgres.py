"""`thalweg up` with Prefect's tables in PostgreSQL, where that is installed."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from waiting import free_port, free_ports

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
PASSWORD = "planted-in-the-address"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        PROGRAMS is None, reason="no PostgreSQL installed (Debian: apt-get install postgresql)"
    ),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("runuser"),
        reason="PostgreSQL is started as its own user by root",
    ),
]


@pytest.fixture
def database():
    folder = Path(tempfile.mkdtemp(prefix="thalweg-postgres-"))  # pytest's own are closed to other users
    shutil.chown(folder, "postgres")
    port = free_port()

    def as_postgres(*words):
        subprocess.run(["runuser", "-u", "postgres", "--", *map(str, words)], check=True, capture_output=True)

    as_postgres(PROGRAMS / "initdb", "-D", folder / "db", "-A", "trust")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder}"
    as_postgres(PROGRAMS / "pg_ctl", "-D", folder / "db", "-w", "-o", options, "-l", folder / "log", "start")
    try:
        as_postgres(PROGRAMS / "createdb", "-h", "127.0.0.1", "-p", port, "prefect")
        yield port
    finally:
        as_postgres(PROGRAMS / "pg_ctl", "-D", folder / "db", "-m", "fast", "stop")
        shutil.rmtree(folder)


def test_a_scheduled_ingest_finishes_and_the_password_is_written_nowhere(database, tmp_path):
    names = ("PREFECT", "RAY", "RAY_DASHBOARD", "DASHBOARD", "METRICS")
    ports = {f"THALWEG_{name}_PORT": str(port) for name, port in zip(names, free_ports(5), strict=True)}
    address = f"postgresql+asyncpg://postgres:{PASSWORD}@127.0.0.1:{database}/prefect"
    environment = {**os.environ, **ports, "PREFECT_API_DATABASE_CONNECTION_URL": address}
    (tmp_path / "examples").symlink_to(EXAMPLES)

    def thalweg(*words):
        command = [sys.executable, "-m", "thalweg.flows.cli", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        return done.returncode, done.stdout + done.stderr

    code, told = thalweg("up", "--without", "ray", "--without", "dashboard")
    try:
        assert code == 0, told
        code, told = thalweg("schedule", "examples/sample.yaml", "--ingest", "--cron", "* * * * *")
        assert code == 0, told
        deadline = time.monotonic() + 300
        while thalweg("data", "log", "data/sample.zarr")[0] != 0:
            assert time.monotonic() < deadline, thalweg("status")[1]
            time.sleep(3)
    finally:
        code, told = thalweg("down")
    assert code == 0, told
    written = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]
