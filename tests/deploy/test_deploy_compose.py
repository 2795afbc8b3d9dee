"""`deploy/compose.yaml` and the script that makes its secrets."""

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from deploy_files import COMPOSE, DEPLOY, version

check_jsonschema = pytest.importorskip("check_jsonschema")
SERVICES = COMPOSE["services"]
REQUIRED = re.compile(r"^\$\{(\w+):\?run deploy/make_env\.sh\}$")
SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|AUTH_STRING|ACCESS_KEY")


def check(path):
    """Validate a file by the schema of the Compose Specification."""
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [program, "--builtin-schema", "vendor.compose-spec", path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_follows_the_compose_specification(tmp_path):
    done = check(DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout
    planted = json.loads(json.dumps(COMPOSE))
    planted["services"]["dashboard"]["port"] = planted["services"]["dashboard"].pop("ports")
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(planted))
    assert check(tmp_path / "compose.yaml").returncode != 0


def test_ports_are_published_on_loopback_alone():
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert "postgres" not in published
    for ports in published.values():
        for port in ports:
            assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), port


def test_the_database_is_on_a_network_of_its_own():
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert [name for name, each in SERVICES.items() if "database" in each["networks"]] == [
        "postgres",
        "prefect-server",
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment(name):
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable):
            assert REQUIRED.match(value), f"{variable}: {value}"
    assert not SECRET.search(" ".join(SERVICES[name].get("command", ())))


@pytest.mark.parametrize(
    ("service", "secret"),
    [
        ("postgres", "POSTGRES_PASSWORD"),
        ("prefect-server", "PREFECT_SERVER_API_AUTH_STRING"),
        ("ray-head", "RAY_AUTH_TOKEN"),
        ("ray-worker", "RAY_AUTH_TOKEN"),
        ("ray-worker-gpu", "RAY_AUTH_TOKEN"),
        ("dashboard", "THALWEG_DASHBOARD_TOKEN"),
        ("metrics", "THALWEG_METRICS_TOKEN"),
        ("object-store", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_every_server_wants_a_secret(service, secret):
    assert REQUIRED.match(SERVICES[service]["environment"][secret])
    if service.startswith("ray"):
        assert SERVICES[service]["environment"]["RAY_AUTH_MODE"] == "token"


def test_who_listens_is_among_those_who_want_a_secret():
    """Whatever is told to listen on all addresses has a secret, and other servers of the store do not."""
    listening = {name for name, each in SERVICES.items() if "0.0.0.0" in " ".join(each.get("command", []))}
    assert listening == {"prefect-server", "ray-head", "dashboard", "metrics", "object-store"}
    assert "-ip.bind=127.0.0.1" in SERVICES["object-store"]["command"]


def test_services_are_bounded_and_look_after_themselves():
    for name, each in SERVICES.items():
        assert {"cpus", "memory"} <= set(each["deploy"]["resources"]["limits"]), name
        assert each["restart"] == "unless-stopped", name
        assert "no-new-privileges:true" in each["security_opt"], name
        assert not each["image"].endswith(":latest"), name
        assert set(each.get("depends_on", {})) <= set(SERVICES), name
        for volume in each.get("volumes", ()):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name
        for network in each["networks"]:
            assert network in COMPOSE["networks"], name
        for other, condition in each.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]


def test_images_are_built_from_targets_that_are_there():
    targets = set(re.findall(r"(?m)^FROM \S+ AS (\S+)", (DEPLOY / "Dockerfile").read_text()))
    for each in SERVICES.values():
        if "build" in each:
            assert each["build"]["target"] in targets
            assert (DEPLOY / each["build"]["context"] / each["build"]["dockerfile"]).exists()
            assert each["image"].startswith(f"thalweg:${{THALWEG_VERSION:-{version()}}}")


def test_the_script_makes_every_secret_for_its_owner_alone_and_keeps_them(tmp_path):
    script = shutil.copy(DEPLOY / "make_env.sh", tmp_path)
    subprocess.run([script], check=True, capture_output=True)
    made = tmp_path / ".env"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in made.read_text().splitlines())
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(values) == set(re.findall(r"\$\{(\w+):\?", text))
    secrets = [value for name, value in values.items() if name != "AWS_ACCESS_KEY_ID"]
    assert len(set(secrets)) == len(secrets)
    assert all(len(re.sub("^thalweg:", "", value)) == 64 for value in secrets)
    again = subprocess.run([script], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert made.read_text() == "".join(f"{name}={value}\n" for name, value in values.items())


def test_a_secrets_file_is_never_committed():
    done = subprocess.run(
        ["git", "check-ignore", "deploy/.env"], cwd=DEPLOY.parent, capture_output=True, check=False
    )
    assert done.returncode in (0, 128), "deploy/.env is not ignored"  # 128: not in a repository
