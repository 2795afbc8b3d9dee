"""Nothing listens beyond loopback without a secret: tried by starting what `compose.yaml` starts."""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import pytest
from deploy_files import COMPOSE
from deploy_services import BIN, OPEN, answer, command_of, free_port, running, wait_until

SECRET = "planted-0123456789abcdef"


@pytest.mark.parametrize("service", ["dashboard", "metrics"])
def test_our_own_servers_do_not_start_for_others_without_a_secret(service, tmp_path):
    words = [str(word) for word in COMPOSE["services"][service]["command"]]
    words = [word.replace("/workspace", str(tmp_path)) for word in words]
    done = subprocess.run(
        [BIN / words[0], *words[1:]],
        cwd=tmp_path,
        env={**OPEN, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert f"THALWEG_{service.upper()}_TOKEN" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_server_of_prefect_wants_its_password(tmp_path):
    port = free_port()
    environment = {
        "PREFECT_SERVER_API_AUTH_STRING": f"thalweg:{SECRET}",
        "PREFECT_SERVER_UI_API_URL": COMPOSE["services"]["prefect-server"]["environment"][
            "PREFECT_SERVER_UI_API_URL"
        ],
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    with running(command_of("prefect-server", port_4200=port), tmp_path, **environment) as process:
        url = f"http://127.0.0.1:{port}/api"
        wait_until(lambda: answer(f"{url}/health") == 200, process)
        asked = {"Content-Type": "application/json"}
        assert answer(f"{url}/flows/filter", asked, b"{}") == 401
        wrong = base64.b64encode(b"thalweg:wrong").decode()
        assert answer(f"{url}/flows/filter", {**asked, "Authorization": f"Basic {wrong}"}, b"{}") == 401
        right = base64.b64encode(f"thalweg:{SECRET}".encode()).decode()
        assert answer(f"{url}/flows/filter", {**asked, "Authorization": f"Basic {right}"}, b"{}") == 200
        elsewhere = f"http://localhost:{port}"  # a browser that came by another name of the machine
        with urllib.request.urlopen(f"{elsewhere}/ui-settings", timeout=30) as found:
            asks = json.load(found)["api_url"]
        assert answer(f"{urljoin(elsewhere, asks)}/health") == 200
        assert urljoin(elsewhere, asks).startswith(elsewhere)
    assert SECRET not in (tmp_path / "output.log").read_text()


@pytest.mark.slow
def test_the_head_of_ray_wants_its_token_and_tells_its_health_without():
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path must be short
    port, page = free_port(), free_port()
    command = command_of("ray-head", port_6379=port, port_8265=page)
    command += [
        f"--temp-dir={folder / 'r'}",
        "--node-ip-address=127.0.0.1",
        "--dashboard-agent-listen-port=0",
    ]
    command += ["--object-store-memory=100000000", "--num-cpus=1"]
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": SECRET, "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        with running(command, folder, **environment) as process:
            url = f"http://127.0.0.1:{page}"
            (health,) = re.findall(r":8265(/\S+)", COMPOSE["services"]["ray-head"]["healthcheck"]["test"][-1])
            wait_until(lambda: answer(f"{url}{health}") == 200, process)
            assert answer(f"{url}/api/jobs/") == 401
            assert answer(f"{url}/api/jobs/", {"Authorization": "Bearer wrong"}) in (401, 403)
            assert answer(f"{url}/api/jobs/", {"Authorization": f"Bearer {SECRET}"}) == 200
            joined = {token: _joins(port, token, folder) for token in (SECRET, "f" * 64)}
            assert joined == {SECRET: True, "f" * 64: False}
        logs = [file for file in (folder / "r").rglob("*") if file.is_file() and not file.is_symlink()]
        assert not [file for file in logs if SECRET.encode() in file.read_bytes()]
        assert SECRET not in (folder / "output.log").read_text()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _joins(port, token, folder):
    """Tell whether a program with a token can use the cluster."""
    code = (
        f"import json, ray; ray.init(address='127.0.0.1:{port}', log_to_driver=False);"
        "print(json.dumps(ray.cluster_resources()['CPU']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**OPEN, "HOME": str(folder), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode == 0 and json.loads(done.stdout.strip().splitlines()[-1]) == 1.0
