"""`deploy/prefect.yaml` on a real server: its deployments are made, and a worker runs one of them."""

import base64
import json
import subprocess
import urllib.request

import pytest
import yaml
from deploy_files import DEPLOY, PREFECT
from deploy_services import BIN, OPEN, PATH, answer, command_of, running, wait_until
from small_experiment import EXPERIMENT
from waiting import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECRET = "planted-0123456789abcdef"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def ask(url, what, content):
    """Post to the API with the password, and give what it answers."""
    user = base64.b64encode(f"thalweg:{SECRET}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {user}"}
    request = urllib.request.Request(f"{url}/{what}", json.dumps(content).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


def test_the_deployments_are_made_and_a_worker_ingests(tmp_path):
    workspace = tmp_path / "workspace"
    (tmp_path / "server").mkdir()
    workspace.mkdir()
    (workspace / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    (tmp_path / "prefect.yaml").write_text(
        (DEPLOY / "prefect.yaml").read_text().replace("/workspace", str(workspace))
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    server = {
        **quiet,
        "PREFECT_HOME": str(tmp_path / "server" / "home"),
        "PREFECT_SERVER_API_AUTH_STRING": f"thalweg:{SECRET}",
    }
    client = {**quiet, "PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": f"thalweg:{SECRET}"}
    with running(command_of("prefect-server", port_4200=port), tmp_path / "server", **server) as process:
        wait_until(lambda: answer(f"{url}/health") == 200, process)
        worker = command_of("prefect-worker")
        with running(worker, workspace, **client) as polling:
            wait_until(lambda: ask(url, "work_pools/filter", {}), polling)
            done = subprocess.run(
                [BIN / "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "prefect.yaml"],
                cwd=tmp_path,
                env={**OPEN, "HOME": str(workspace), "PATH": PATH, **client},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            made = {each["name"]: each for each in ask(url, "deployments/filter", {})}
            assert set(made) == {each["name"] for each in PREFECT["deployments"]}
            assert [each["schedules"][0]["active"] for each in made.values()].count(True) == 2
            run = ask(url, f"deployments/{made['ingest']['id']}/create_flow_run", {})

            def state():
                (found,) = ask(url, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
                return found["state"]["type"], found["state"].get("message")

            wait_until(lambda: state()[0] in ENDED, polling, 300)
            log = (workspace / "output.log").read_text()
            assert state()[0] == "COMPLETED", f"{state()}\n{log}"
    assert (workspace / "twin.zarr").exists()
    assert SECRET not in log + done.stdout + done.stderr
    assert SECRET not in (tmp_path / "server" / "output.log").read_text()
