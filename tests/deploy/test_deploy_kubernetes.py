"""The manifests of `deploy/kubernetes`: schemas, and what a cluster asks of a pod that it can trust."""

import copy
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from deploy_files import KUBERNETES, ROOT, manifests, name_of, pinned, pod_templates, pods, version

kubernetes_validate = pytest.importorskip("kubernetes_validate")
jsonschema = pytest.importorskip("jsonschema")

KUBERNETES_VERSION = "1.33"
SCHEMA = json.loads(Path(__file__).with_name("kuberay.schema.json").read_text())
CORE = [each for each in manifests() if not each["apiVersion"].startswith("ray.io/")]
RAY = [each for each in manifests() if each["apiVersion"].startswith("ray.io/")]
SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|AUTH_STRING|ACCESS_KEY")


def validate(manifest):
    """Validate an object and the pods that it makes, and raise where anything is wrong."""
    if manifest["apiVersion"].startswith("ray.io/"):
        jsonschema.validate(manifest, SCHEMA)
        for name, template in pod_templates(manifest).items():
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}}
            kubernetes_validate.validate({**pod, "template": template}, KUBERNETES_VERSION, strict=True)
    else:
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("manifest", manifests(), ids=name_of)
def test_manifests_follow_their_schemas(manifest):
    validate(manifest)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "imagePolicy"), "Always"),
        ("Deployment", ("spec", "replicas"), "one"),
        ("RayCluster", ("spec", "authOption"), {"mode": "token"}),
        ("RayCluster", ("spec", "authOptions", "mode"), "tokens"),
        ("RayCluster", ("spec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        ("RayCluster", ("spec", "workerGroupSpecs", 0, "template", "spec", "container"), []),
        ("RayJob", ("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplicas"), "two"),
    ],
)
def test_a_planted_mistake_is_found(kind, path, value):
    manifest = copy.deepcopy(next(each for each in manifests() if each["kind"] == kind))
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(manifest)


@pytest.mark.parametrize(("name", "template"), pods(), ids=[name for name, _ in pods()])
def test_pods_are_restricted_and_bounded(name, template):
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    if "postgres" not in name:  # variables such as PREFECT_SERVER_PORT would be taken for settings
        assert spec["enableServiceLinks"] is False
    for container in spec["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind])
        if "RayCluster" not in name and "RayJob" not in name:  # KubeRay gives those probes of its own
            assert "startupProbe" in container
            assert "livenessProbe" in container
    if name != "RayCluster-ray-head":  # the autoscaler there asks Kubernetes for pods
        assert spec.get("automountServiceAccountToken") is False


@pytest.mark.parametrize(("name", "template"), pods(), ids=[name for name, _ in pods()])
def test_secrets_come_by_reference(name, template):
    for container in template["spec"]["containers"]:
        for variable in container.get("env", ()):
            if SECRET.search(variable["name"]):
                assert set(variable["valueFrom"]["secretKeyRef"]) >= {"name", "key"}, variable
        assert not SECRET.search(" ".join(container.get("args", ())))


def test_no_manifest_is_a_secret():
    assert not [each for each in manifests() if each["kind"] == "Secret"]


def test_every_pod_is_behind_a_network_policy_that_opens_the_ports_it_has():
    policies = [each["spec"] for each in manifests() if each["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress"]} in policies
    for name, template in pods():
        label = template["metadata"]["labels"]["app.kubernetes.io/name"]
        opened = set()
        for policy in policies:
            if label in _names(policy["podSelector"]):
                opened |= {
                    port["port"] for rule in policy.get("ingress", ()) for port in rule.get("ports", ())
                }
        listening = {
            port["containerPort"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", ())
            if port["name"] not in ("gcs-server", "metrics")  # among Ray's own pods
        }
        assert listening <= opened, name


def _names(selector):
    """Give the names of pods that a selector takes."""
    found = {selector.get("matchLabels", {}).get("app.kubernetes.io/name")}
    for expression in selector.get("matchExpressions", ()):
        assert expression["key"] == "app.kubernetes.io/name"
        found |= set(expression["values"])
    return found


def test_policies_name_pods_that_are_there():
    known = {template["metadata"]["labels"]["app.kubernetes.io/name"] for _, template in pods()}
    for policy in (each for each in manifests() if each["kind"] == "NetworkPolicy"):
        selectors = [policy["spec"]["podSelector"]]
        for rule in policy["spec"].get("ingress", ()):
            selectors += [peer["podSelector"] for peer in rule["from"] if "podSelector" in peer]
        for selector in selectors:
            assert _names(selector) - {None} <= known


def test_services_lead_to_ports_of_pods():
    for service in (each for each in manifests() if each["kind"] == "Service"):
        wanted = service["spec"]["selector"]
        meant = [each for _, each in pods() if wanted.items() <= each["metadata"]["labels"].items()]
        assert meant, service["metadata"]["name"]
        ports = [port for container in meant[0]["spec"]["containers"] for port in container["ports"]]
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            assert target in {each["name"] for each in ports} | {each["containerPort"] for each in ports}


def test_volumes_claims_and_mounts_fit():
    claims = {each["metadata"]["name"] for each in manifests() if each["kind"] == "PersistentVolumeClaim"}
    for name, template in pods():
        volumes = {each["name"] for each in template["spec"].get("volumes", ())}
        for each in template["spec"].get("volumes", ()):
            claim = each.get("persistentVolumeClaim", {}).get("claimName")
            assert claim is None or claim in claims
        for container in template["spec"]["containers"]:
            mounted = {each["name"] for each in container.get("volumeMounts", ())}
            assert mounted <= volumes | ({"data"} if name.startswith("StatefulSet") else set()), name


def test_the_page_is_reached_through_tls_alone():
    (ingress,) = [each for each in manifests() if each["kind"] == "Ingress"]
    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    assert hosts == set(ingress["spec"]["tls"][0]["hosts"])
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/force-ssl-redirect"] == "true"
    limit = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    page = tomllib.loads((ROOT / "dashboard" / ".streamlit" / "config.toml").read_text())
    assert limit == f"{page['server']['maxUploadSize']}m" == "1m"
    (dashboard,) = [template for name, template in pods() if name == "Deployment-dashboard-dashboard"]
    (container,) = dashboard["spec"]["containers"]
    assert f"https://{hosts.pop()}" in container["args"]
    assert "THALWEG_DASHBOARD_TOKEN" in {each["name"] for each in container["env"]}


@pytest.mark.parametrize("manifest", RAY, ids=name_of)
def test_ray_wants_a_token_and_is_the_version_that_we_pin(manifest):
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    assert spec["authOptions"] == {"mode": "token", "secretName": "thalweg-ray"}
    assert spec["rayVersion"] == pinned()["ray"]
    assert spec["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "0.0.0.0"  # for jobs from other pods


def test_images_are_pinned_to_the_version_of_the_package():
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    ((image),) = kustomization["images"]
    assert image["newTag"] == version()
    for name, template in pods():
        for container in template["spec"]["containers"]:
            text = container["image"]
            assert text == "thalweg" or not text.endswith(":latest"), name
            if text.startswith(image["newName"]):
                assert text.partition(":")[2].removesuffix("-cuda") == version()
            else:
                assert text == "thalweg" or ":" in text


def test_the_kustomization_has_every_file_but_the_job():
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    there = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "ray-job.yaml"}
    assert set(kustomization["resources"]) == there


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_renders_it():
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert len(made) == len([each for each in manifests() if each["kind"] != "RayJob"])
    images = re.findall(r"image: (\S+)", done.stdout)
    assert "thalweg" not in images
    assert {each["metadata"].get("namespace", "thalweg") for each in made} == {"thalweg"}
