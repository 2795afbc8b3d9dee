"""Shared by the tests of flows: one Ray, one Prefect server, one small store for all of them."""

import os
import sys
import textwrap
import uuid
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "storage")]  # helpers are imported by name

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 8, "regions": 2, "years": 3, "seed": 3}


@pytest.fixture(scope="session")
def twin_store(tmp_path_factory):
    from thalweg.storage.store import ingest

    path = tmp_path_factory.mktemp("twin") / "twin.zarr"
    ingest(path, SOURCE)
    return path


@pytest.fixture(scope="session")
def ray_cluster():
    from thalweg.flows.cluster import cluster

    with cluster():
        yield


@pytest.fixture(scope="session")
def prefect_server(pytestconfig):
    from thalweg.flows.server import server

    # kept between sessions: making the database takes most of the start
    place = pytestconfig.cache.mkdir("prefect-" + os.environ.get("PYTEST_XDIST_WORKER", "alone"))
    with server(place) as started, pytest.MonkeyPatch.context() as patch:
        # the server is gone before Prefect has sent its log: it would try for a minute
        patch.setenv("PREFECT_LOGGING_TO_API_ENABLED", "false")
        started.wait()
        yield started


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THALWEG_RUNS", raising=False)
    return tmp_path


@pytest.fixture
def content(twin_store):
    """A small experiment as the nested mappings of its file."""
    return {
        "name": "small",
        "data": {"store": str(twin_store)},
        "splits": [
            {
                "kind": "temporal",
                "train": ["2001-01-01", "2001-12-31"],
                "test": ["2002-01-01", "2002-12-31"],
                "validate": ["2000-07-01", "2000-12-31"],
            },
            {"kind": "ungauged_regions"},
        ],
        "models": {
            "physics": {"kind": "calibrated", "process": "hbv"},
            "hybrid": {"kind": "hybrid", "components": 2, "network": {"kind": "mlp", "hidden": [4]}},
            "climatology": {"kind": "climatology"},
        },
        "training": {"epochs": 2, "window": 90, "warmup": 90, "batch_sites": 4, "learning_rate": 0.02},
    }


@pytest.fixture
def write(folder):
    """Write an experiment file, from mappings or from text, and give its path."""

    def write_file(content, name="experiment.yaml"):
        text = (
            textwrap.dedent(content) if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        )
        path = Path(name)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture(autouse=True)
def _no_server_from_outside(monkeypatch):
    for key in ("PREFECT_API_URL", "RAY_ADDRESS"):
        if key in os.environ:
            monkeypatch.delenv(key)


@pytest.fixture(scope="module")
def port():
    """An S3 store on this machine."""
    from object_store import moto_server

    with moto_server() as port:
        yield port


@pytest.fixture
def place(port, folder, monkeypatch):
    """A prefix of a new bucket; we are the machine `one`."""
    from object_store import request

    bucket = f"test-{uuid.uuid4().hex[:12]}"
    assert request(port, "PUT", f"/{bucket}")[0] == 200
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("THALWEG_SCRATCH", str(folder / "one"))
    return f"s3://{bucket}/lab/runs"


@pytest.fixture
def become(monkeypatch, folder):
    """Give what makes us another machine."""
    return lambda name: monkeypatch.setenv("THALWEG_SCRATCH", str(folder / name))
