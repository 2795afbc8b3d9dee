"""docs/operators.md speaks of the services, secrets and ports that are there."""

import re
import shlex
import subprocess

from deploy_files import COMPOSE, ROOT, manifests, pods

from thalweg.flows import cli
from thalweg.flows.services import automations
from thalweg.flows.services.settings import PORTS

PAGE = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.partition("  #")[0])
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


def secrets_of_manifests():
    """Give every secret that a manifest names, with its keys; all of them where it takes them all."""
    found = {}
    for _, template in pods():
        for volume in template["spec"].get("volumes", ()):
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"]["items"]}
                found.setdefault(volume["secret"]["secretName"], set()).update(keys)
        for container in template["spec"]["containers"]:
            for each in container.get("env", ()):
                if "valueFrom" in each:
                    reference = each["valueFrom"]["secretKeyRef"]
                    found.setdefault(reference["name"], set()).add(reference["key"])
            for each in container.get("envFrom", ()):
                found.setdefault(each["secretRef"]["name"], set())
    for manifest in manifests():
        spec = manifest.get("spec", {})
        if "authOptions" in (cluster := spec.get("rayClusterSpec", spec)):
            found.setdefault(cluster["authOptions"]["secretName"], set()).add("auth_token")
        if manifest["kind"] == "Ingress":
            found.setdefault(spec["tls"][0]["secretName"], set())
    return found


def test_every_secret_is_told_with_its_keys():
    rows = re.findall(r"(?m)^\| `(thalweg-[a-z-]+)`[^|]*\| ([^|]*)\|", PAGE)
    told = {name: set(re.findall(r"`([\w.]+)`", keys)) for name, keys in rows}
    wanted = secrets_of_manifests()
    assert set(told) == set(wanted)
    assert all(keys <= told[name] for name, keys in wanted.items())


def test_the_commands_make_every_secret_that_pods_cannot_start_without():
    made = {}
    for words in COMMANDS:
        if words[:1] == ["kubectl"] and "generic" in words:
            keys = {word.split("=")[1] for word in words if word.startswith("--from-literal=")}
            made[words[words.index("generic") + 1]] = keys
    wanted = secrets_of_manifests()
    # optional; made by whoever has the certificate
    for name in ("thalweg-notify", "thalweg-object-store", "thalweg-tls"):
        wanted.pop(name)
    wanted["thalweg-dashboard"].discard("secrets.toml")  # optional
    assert made == wanted


def test_compose_commands_name_services_and_commands_of_ours():
    parsed = 0
    for words in COMMANDS:
        if words[:2] != ["docker", "compose"]:
            continue
        rest = words[4:] if words[2] == "--profile" else words[2:]
        assert rest[0] in ("build", "up", "ps", "cp", "exec", "run")
        for word in rest:
            if rest[0] == "cp" and ":" in word:
                assert word.partition(":")[0] in COMPOSE["services"]
        if rest[0] in ("exec", "run"):
            service, command = [word for word in rest[1:] if not word.startswith("-")][:2]
            assert service in COMPOSE["services"]
            if command == "thalweg":
                cli.parser().parse_args(rest[rest.index(command) + 1 :])
                parsed += 1
        for scaled in (word for word in rest if re.fullmatch(r"[\w-]+=\d+", word)):
            assert scaled.partition("=")[0] in COMPOSE["services"]
    assert parsed == 2


def test_notifications_are_told_by_a_worker_that_has_the_address():
    """The command is a module's, and both workers have what it reads."""
    (section,) = re.findall(r"(?ms)^## Notifications\n(.*?)^## ", PAGE)
    commands = [line for line in section.splitlines() if " exec " in line]
    assert [line.partition("exec ")[2].split()[0] for line in commands] == [
        "prefect-worker",
        "deployment/prefect-worker",
    ]
    assert all(line.endswith(f" python -P -m {automations.__name__}") for line in commands)
    wanted = {"THALWEG_NOTIFY_URL", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}
    assert wanted <= set(COMPOSE["services"]["prefect-worker"]["environment"])
    (worker,) = [template for name, template in pods() if name == "Deployment-prefect-worker-prefect-worker"]
    given = {each["name"]: each for each in worker["spec"]["containers"][0]["env"]}
    assert wanted <= set(given)
    assert given["THALWEG_NOTIFY_URL"]["valueFrom"]["secretKeyRef"]["optional"] is True


def test_what_is_unpacked_belongs_to_who_goes_on_with_it(tmp_path):
    """The two commands of the guide for runs, as `docker compose` would have them done in a container."""
    packing, unpacking = (words for words in COMMANDS if "tar" in words)
    kept = tmp_path / "kept" / "runs" / "small"
    kept.mkdir(parents=True)
    (kept / "status.json").write_text("{}")
    (tmp_path / "fresh").mkdir()
    for words, place, sign in ((packing, "kept", ">"), (unpacking, "fresh", "<")):
        assert "cp" not in words
        assert "-T" in words  # a terminal would change what goes through
        command = [word.replace("/workspace", place) for word in words[words.index("tar") :]]
        assert command[-2] == sign
        subprocess.run(
            shlex.join(command[:-2]) + f" {sign} {command[-1]}", shell=True, cwd=tmp_path, check=True
        )
    assert (tmp_path / "fresh" / "runs" / "small" / "status.json").read_text() == "{}"


def test_namespaces_that_policies_name_are_told():
    named = {
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for manifest in manifests()
        if manifest["kind"] == "NetworkPolicy"
        for rule in manifest["spec"].get("ingress", ())
        for peer in rule["from"]
        if "namespaceSelector" in peer
    }
    assert len(named) == 3
    assert all(f"`{name}`" in PAGE for name in named)


def test_compose_is_told_which_file_before_it_is_called():
    assert COMMANDS.index(["export", "COMPOSE_FILE=deploy/compose.yaml"]) < COMMANDS.index(
        ["docker", "compose", "build"]
    )
    profiles = {profile for each in COMPOSE["services"].values() for profile in each.get("profiles", ())}
    assert {words[3] for words in COMMANDS if "--profile" in words} == profiles


def test_ports_are_told():
    rows = "\n".join(line for line in PAGE.splitlines() if re.match(r"\| \d", line))
    assert {int(port) for port in re.findall(r"\b\d{4}\b", rows)} == {port for _, port in PORTS.values()}
