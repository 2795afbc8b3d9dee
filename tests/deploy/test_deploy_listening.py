"""Nothing listens beyond loopback without a secret: tried by starting what `compose.yaml` starts."""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urljoin

import pytest
from deploy_files import COMPOSE, pods
from deploy_services import BIN, OPEN, answer, command_of, running, wait_until
from waiting import free_port

from thalweg.flows.services.catalogue import RAY_MODULE

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


HEADS = [
    container
    for name, template in pods()
    for container in template["spec"]["containers"]
    if name.endswith("-head")
]


def start_as_kuberay(port, page):
    """Give the command of a head's container, and the variable that KubeRay sets for it."""
    made = f"ray start --head  --block  --port={port}  --dashboard-host=127.0.0.1 "
    head = HEADS[0]
    return [*head["command"], *head["args"]], f"{made} --dashboard-port={page} "


@pytest.mark.parametrize("container", HEADS, ids=["cluster", "job"])
def test_a_head_starts_as_kuberay_says_but_for_the_client(container, tmp_path):
    """KubeRay quotes what has blanks or quotes in it, for a shell."""
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    resources = '{"a b": 1}'
    made = f"ray start --head  --block  --num-cpus=0  --resources='{resources}' "
    done = subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBERAY_GEN_RAY_START_CMD": made},
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = ["start", "--head", "--block", "--num-cpus=0", f"--resources={resources}"]
    assert done.stdout.splitlines() == ["-P", "-m", RAY_MODULE, *wanted]


def test_kuberay_leaves_the_command_of_heads_as_it_is():
    assert len(HEADS) == 2
    for name, template in pods():
        if name.startswith("Ray"):
            told = template["metadata"].get("annotations", {}).get("ray.io/overwrite-container-cmd")
            given = any("command" in each for each in template["spec"]["containers"])
            assert (told == "true") is given is name.endswith("-head"), name


def has_client_server(port):
    """Tell whether the server of Ray's client runs for the head at a port."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = file.read_bytes().decode(errors="replace").split("\0")
            if "ray.util.client.server" in words and any(word.endswith(f":{port}") for word in words):
                return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_head_of_ray_wants_its_token_and_tells_its_health_without(where):
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path must be short
    port, page = free_port(), free_port()
    options = [
        f"--temp-dir={folder / 'r'}",
        "--node-ip-address=127.0.0.1",
        "--dashboard-agent-listen-port=0",
        "--object-store-memory=100000000",
        "--num-cpus=1",
    ]
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": SECRET, "RAY_USAGE_STATS_ENABLED": "0"}
    if where == "compose":
        command = [*command_of("ray-head", port_6379=port, port_8265=page), *options]
    else:
        command, made = start_as_kuberay(port, page)
        environment["KUBERAY_GEN_RAY_START_CMD"] = made + " ".join(options)
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
            assert not has_client_server(port)
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
