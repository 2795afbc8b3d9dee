"""Commands, options, ports, addresses and variables in `deploy/` are those of the code."""

import inspect
import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from deploy_files import COMPOSE, DEPLOY, PREFECT, manifests, pinned, pods, without_comments

from thalweg.flows import cli
from thalweg.flows.dashboard_server import SUBMITTERS, TOKEN
from thalweg.flows.services.catalogue import RAY_MODULE
from thalweg.flows.services.settings import FOREIGN_VARIABLES, HEALTH_PATHS, PORTS, VARIABLES, WORK_POOL

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's command line

FILES = [
    file
    for file in sorted(DEPLOY.rglob("*"))
    if file.is_file() and file.name != ".env" and file.parent.name != "__pycache__"
]
TEXT = {str(file.relative_to(DEPLOY)): without_comments(file.read_text()) for file in FILES}
SBATCH = TEXT["slurm/thalweg.sbatch"].replace("\\\n", " ")


def commands():
    """Give every command of ours, of Prefect and of Ray, as lists of words, with where they stand."""
    found = [(name, each["command"]) for name, each in COMPOSE["services"].items() if "command" in each]
    for name, template in pods():
        found += [(name, each["args"]) for each in template["spec"]["containers"] if "args" in each]
    for manifest in manifests():
        if manifest["kind"] == "RayJob":
            found.append(("ray-job", shlex.split(manifest["spec"]["entrypoint"])))
        cluster = manifest.get("spec", {}).get("rayClusterSpec", manifest.get("spec", {}))
        for group in [cluster.get("headGroupSpec"), *cluster.get("workerGroupSpecs", ())]:
            if group:  # KubeRay makes `ray start` of them
                given = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
                found.append((manifest["kind"], ["ray", "start", *given]))
    # `${options[@]}` is a list of its own, and `"$@"` is what the user gives
    (options,) = re.findall(r"options=\((.*)\)", SBATCH)
    for line in re.findall(r"(?:ray start|thalweg run) [^>&\n]*", SBATCH):
        words = shlex.split(line.replace('"${options[@]}"', options).replace('"$@"', "experiment.yaml"))
        found.append(("slurm", words))
    dockerfile = re.search(r"(?m)^CMD (.*)$", TEXT["Dockerfile"])
    assert dockerfile is not None
    found.append(("image", json.loads(dockerfile[1])))
    found = [
        (place, ["ray", *words[4:]] if words[:4] == ["python", "-P", "-m", RAY_MODULE] else words)
        for place, words in found
    ]
    return [(place, words) for place, words in found if words[0] in ("thalweg", "prefect", "ray")]


COMMANDS = commands()


def test_all_commands_are_looked_at():
    assert {words[0] for _, words in COMMANDS} == {"thalweg", "prefect", "ray"}
    assert len(COMMANDS) >= 21


@pytest.mark.parametrize(
    ("place", "words"), COMMANDS, ids=[f"{place}-{words[0]}" for place, words in COMMANDS]
)
def test_commands_and_options_exist(place, words):
    understand(words)


@pytest.mark.parametrize(
    "words",
    [
        ["thalweg", "dashboard", "--hosts", "0.0.0.0"],
        ["thalweg", "serve"],
        ["prefect", "worker", "start", "--work-pool", "thalweg"],
        ["ray", "start", "--head", "--dashboardhost=0.0.0.0"],
    ],
)
def test_a_planted_mistake_is_found(words):
    with pytest.raises((SystemExit, ValueError)):
        understand(words)


def understand(words):
    """Let a program's own parser read a command.

    Raises
    ------
    SystemExit, ValueError
        When it does not know the command or an option.
    """
    program, arguments = words[0], [str(word) for word in words[1:]]
    if program == "thalweg" and arguments != ["--help"]:
        cli.parser().parse_args(arguments)
    elif program == "prefect":
        from cyclopts.exceptions import CycloptsError
        from prefect.cli._app import _app

        try:
            _app.parse_args(arguments, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            raise ValueError(str(error)) from None
    elif program == "ray":
        from ray.scripts.scripts import cli as ray

        known = {option for each in ray.commands[arguments[0]].params for option in each.opts}
        for word in arguments[1:]:
            if word.startswith("--") and word.partition("=")[0] not in known:
                raise ValueError(f"ray {arguments[0]} has no {word}")


def test_variables_exist():
    """Ours and those that we read stand in the settings; others are those that the libraries know."""
    from prefect.settings import Settings

    ours = set(VARIABLES) | set(FOREIGN_VARIABLES) | {TOKEN, SUBMITTERS}
    prefect = set(re.findall(r"PREFECT_\w+", json.dumps(Settings.model_json_schema())))
    for name, text in TEXT.items():
        made_here = set(re.findall(r"\$\{(\w+):", text)) | set(re.findall(r"(?m)^(\w+)=", text))
        for variable in set(re.findall(r"\b(?:THALWEG|PREFECT)_\w+", text)) - made_here:
            known = ours if variable.startswith("THALWEG") else ours | prefect
            assert variable in known, f"{name}: {variable}"
        for variable in set(re.findall(r"\bRAY_\w+", text)) - made_here:
            assert variable in ours or _ray_knows(variable), f"{name}: {variable}"


def _ray_knows(variable):
    """Tell whether Ray's Python or its core read a variable; those of its core drop the prefix."""
    import ray

    root = Path(ray.__file__).parent
    if variable == variable.upper():
        places = [root / "_private", root / "_common"]
        return any(variable in file.read_text() for place in places for file in place.rglob("*.py"))
    return variable.removeprefix("RAY_").encode() in (root / "core/src/ray/raylet/raylet").read_bytes()


def test_ports_are_those_of_the_settings():
    known = {port for _, port in PORTS.values()}
    known |= {5432, 8333, 8080}  # PostgreSQL, S3, and inside a pod: Ray's metrics, a worker's health
    for name, text in TEXT.items():
        if name != "slurm/thalweg.sbatch":
            found = re.findall(r"(?:[Pp]ort[=:, ]+\"?|://[\w.-]+:|127\.0\.0\.1:)(\d{4,5})\b", text)
            assert {int(port) for port in found} <= known, name
    for service, port in (("prefect-server", "prefect"), ("dashboard", "dashboard"), ("metrics", "metrics")):
        words = COMPOSE["services"][service]["command"]
        assert words[words.index("--port") + 1] == str(PORTS[port][1])


def test_addresses_lead_to_services():
    services = {each["metadata"]["name"] for each in manifests() if each["kind"] == "Service"}
    services |= {
        f"{each['metadata']['name']}-head-svc" for each in manifests() if each["kind"] == "RayCluster"
    }
    for name, text in TEXT.items():
        hosts = set(re.findall(r"https?://([\w-]+):\d+", text)) - {"127"}
        known = services if name.startswith("kubernetes") else set(COMPOSE["services"])
        assert hosts <= known, name


def test_health_is_asked_where_it_is_told():
    asked = {f"/{path}" for text in TEXT.values() for path in re.findall(r"127\.0\.0\.1:\d+/([\w/]+)", text)}
    asked |= {path for text in TEXT.values() for path in re.findall(r"httpGet: \{path: ([\w/]+)", text)}
    elsewhere = {
        "/status",
        "/api/gcs_healthz",
        "/health",
        "/api",
    }  # SeaweedFS, Ray, a worker of Prefect, the API
    assert asked <= set(HEALTH_PATHS.values()) | elsewhere
    assert {HEALTH_PATHS["prefect"], HEALTH_PATHS["dashboard"], HEALTH_PATHS["metrics"]} <= asked


def test_scheduled_flows_are_there_and_take_what_they_are_given():
    assert PREFECT["prefect-version"] == pinned()["prefect"]
    for deployment in PREFECT["deployments"]:
        module, _, function = deployment["entrypoint"].rpartition(".")
        flow = getattr(import_module(module), function)
        parameters = inspect.signature(flow.fn).parameters
        assert set(deployment["parameters"]) <= set(parameters)
        needed = {name for name, each in parameters.items() if each.default is inspect.Parameter.empty}
        assert needed <= set(deployment["parameters"])
        assert flow.validate_parameters(deployment["parameters"])
        assert deployment["work_pool"]["name"] == WORK_POOL
        assert all(schedule["timezone"] for schedule in deployment["schedules"])


def test_the_pool_is_the_one_that_workers_poll():
    for _, words in COMMANDS:
        if words[:3] == ["prefect", "worker", "start"]:
            assert words[words.index("--pool") + 1] == WORK_POOL
