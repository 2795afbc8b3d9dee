"""The pages that want `thalweg up` are run in the lab that it starts, with an S3 store beside it.

operations.md comes first, with its backup; then what README.md, cluster.md, guide.md, storage.md,
dashboard.md and operators.md do with a server or a cluster. `http://head:8265` is the lab's Ray, and
`/shared` a folder of its own.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from doc_blocks import ROOT, blocks_of, words_of
from doc_runs import EXPERIMENT, other_words, run
from doc_ways import LAB, run_by
from own_services import own_services

from thalweg.flows.services.catalogue import ray_folder
from thalweg.flows.services.ports import port_is_free
from thalweg.flows.services.settings import SERVICES
from thalweg.flows.services.state import read_state

sys.path.append(str(ROOT / "tests" / "storage"))
from object_store import moto_server, request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RAY_CLIENT = 10001  # Ray's usual port for its client, which nobody here uses
SMALL = {
    **EXPERIMENT,
    "models": {"lstm": {"kind": "lstm", "hidden": 4}, "climatology": {"kind": "climatology"}},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with what the pages speak of, and `thalweg up` in it as operations.md has it."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "examples").symlink_to(ROOT / "examples")
    for name in ("experiment", "first", "my-rivers"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**SMALL, "name": name}))
    for name in ("runs", "data"):
        (folder / name).mkdir()
    with moto_server() as store, pytest.MonkeyPatch.context() as patch:
        ports = own_services(patch)
        for bucket in ("lab", "bucket"):
            assert request(store, "PUT", f"/{bucket}")[0] == 200
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        given = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{store}", **keys, "BROWSER": "true"}
        for name, value in {**given, "THALWEG_SCRATCH": folder / "scratch"}.items():
            patch.setenv(name, str(value))
        made = SimpleNamespace(
            folder=folder, home=folder / ".thalweg/services", store=given["AWS_ENDPOINT_URL"]
        )
        made.ray = f"http://127.0.0.1:{ports['THALWEG_RAY_DASHBOARD_PORT']}"
        try:
            made.before = port_is_free("127.0.0.1", RAY_CLIENT)
            made.said = [(each, run(each, folder)) for each in commands("operations.md")]
            exports = run("thalweg status --env", folder).splitlines()
            made.clients = dict(shlex.split(each)[1].split("=", 1) for each in exports)
            yield made
        finally:
            run("thalweg down", folder)


def commands(page, containing=""):
    """Give the commands of a page that are run here, of the blocks that have a text in them."""
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    blocks = [block for block in blocks_of(path) if block.kind == "commands" and containing in block.text]
    return [command for block in blocks for command in run_by(LAB, block)]


def well(lab):
    return {each["name"] for each in read_state(lab.home).current()["services"] if each["state"] == "healthy"}


def follow(lab, page, containing="", replaced=None, environment=None):
    """Run commands; what they export is there for the next, and ID is the job that was submitted last."""
    around, said, job = dict(environment or {}), [], "ID"
    for command in commands(page, containing):
        command = re.sub(r"\bID$", job, other_words(command, replaced))
        if command.startswith("export"):
            exported, _ = words_of(command)
            around |= {name: os.path.expanduser(value) for name, value in exported.items()}
        elif command == "thalweg dashboard":
            said.append((command, shown(lab, command, around)))
        else:
            said.append((command, run(command, lab.folder, **around)))
            found = re.search(r"\b([\w-]+-[0-9a-f]{10}-\d+)\b", said[-1][1])
            job = found[1] if found and " submit " in command else job
    return said


def shown(lab, command, around):
    """Start the dashboard, see that it answers, and end it with Ctrl-C."""
    log = lab.folder / "dashboard.log"
    program = Path(sys.executable).with_name("thalweg")
    with log.open("w") as stream:
        process = subprocess.Popen(
            [program, *command.split()[1:]],
            cwd=lab.folder,
            env={**os.environ, **around, "PYTHONUNBUFFERED": "1"},
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert urllib.request.urlopen(f"{found[0]}/_stcore/health", timeout=60).status == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    return log.read_text()


def cluster(lab):
    """Give what stands for a cluster of the pages, and what its clients have in their environment."""
    token = lab.clients["RAY_AUTH_TOKEN_PATH"]
    replaced = {
        "http://head:8265": lab.ray,
        "~/.lab-token": token,
        "/shared/runs": str(lab.folder / "shared"),
    }
    return replaced, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token}


def test_operations_from_up_to_a_backup(lab):
    said = dict(lab.said)
    assert list(said)[:4][0] == "thalweg up"
    assert all(name in said["thalweg status"] for name in SERVICES)
    assert re.search(
        r"thalweg/experiment-[\w-]+: first at .* 03:00",
        next(text for command, text in lab.said if command.startswith("thalweg schedule")),
    )
    assert well(lab) == set(SERVICES)
    assert port_is_free("127.0.0.1", RAY_CLIENT) is lab.before


def test_the_page_of_prefect_asks_the_address_that_it_came_from(lab):
    found = urllib.request.urlopen(lab.clients["PREFECT_API_URL"].replace("/api", "/ui-settings"), timeout=60)
    assert '"api_url":"/api"' in found.read().decode()


def test_operations_restored_in_the_same_folder(lab):
    """Schedules and tokens are there again; and `down` leaves nothing of Ray's in the temporary folder."""
    run("thalweg down", lab.folder)
    assert not ray_folder(lab.home).exists()
    token = (lab.home / "tokens" / "ray").read_text()
    for name in (".thalweg", "runs", "data"):
        shutil.rmtree(lab.folder / name)
    run("tar --extract --gzip --file=backup.tar.gz", lab.folder)
    assert (lab.home / "tokens" / "ray").read_text() == token
    run("thalweg up", lab.folder)
    assert well(lab) == set(SERVICES)
    assert "deleted thalweg/experiment-" in run("thalweg schedule experiment.yaml --remove", lab.folder)


def test_the_readme(lab):
    replaced, environment = cluster(lab)
    said = follow(lab, "README.md", "thalweg check", replaced, environment)
    assert len(said) == 15
    assert (lab.folder / "runs/my-rivers/report.html").exists()
    assert (lab.folder / "runs/quick").exists()


def test_jobs_on_the_cluster(lab):
    replaced, environment = cluster(lab)
    said = follow(lab, "cluster.md", "thalweg jobs", replaced, environment)
    assert [command.split()[1] for command, _ in said] == ["submit", "jobs", "logs", "cancel"]
    assert "lstm--temporal--0--s1" in run(f"thalweg runs --runs {lab.folder / 'shared'}", lab.folder)
    said = follow(lab, "guide.md", "thalweg jobs", replaced, {"RAY_AUTH_MODE": "token"})
    assert len(said) == 4
    follow(lab, "guide.md", "thalweg dashboard")


def test_runs_in_an_object_store(lab):
    replaced, environment = cluster(lab)
    replaced |= {"https://s3.lab:9000": lab.store, "=...": "=test"}
    follow(lab, "cluster.md", "s3://lab/runs", replaced, environment)
    job = re.search(r"experiment-[0-9a-f]{10}-\d+", run("thalweg jobs", lab.folder, **lab.clients))[0]
    run(f"thalweg logs -f {job}", lab.folder, **lab.clients)


def test_stores(lab):
    """In an object store, by the clock, and a run again on the version that it had read."""
    rivers = {"store": "s3://bucket/rivers", "source": EXPERIMENT["data"]["source"]}
    (lab.folder / "rivers.yaml").write_text(yaml.safe_dump(rivers))
    run("thalweg ingest rivers.yaml", lab.folder)
    said = follow(lab, "storage.md", "s3://bucket", {"http://127.0.0.1:9000": lab.store, "=...": "=test"})
    assert any(command == "thalweg data log s3://bucket/rivers" for command, _ in said)
    if not (lab.folder / "runs/my-rivers").exists():
        run("thalweg run my-rivers.yaml", lab.folder)
    said = follow(lab, "storage.md", "thalweg reproduce", {"rivers/lstm": "my-rivers/lstm"})
    assert [command.split()[1] for command, _ in said] == ["schedule", "reproduce"]


def test_deployments_from_the_file(lab):
    (lab.folder / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "prefect.yaml", lab.folder / "deploy")
    ((_, said),) = follow(lab, "operators.md", "prefect", environment=lab.clients)
    assert all(f"thalweg/{name}" in said for name in ("ingest", "experiment", "nightly"))


def test_a_token_for_the_dashboard(lab):
    (command,) = commands("dashboard.md")
    said = run(f"{command}; echo $THALWEG_DASHBOARD_TOKEN", lab.folder)
    assert re.fullmatch(r"[0-9a-f]{48}\n", said)
