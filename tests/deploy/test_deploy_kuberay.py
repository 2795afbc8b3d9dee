"""What KubeRay makes of our RayCluster and RayJob: its operator's rules, and the definitions it publishes.

The definitions (CRDs) are large and not ours: `.ci/kuberay_crds FOLDER` fetches them, and
`THALWEG_KUBERAY_CRDS=FOLDER` lets the test here read them.
"""

import copy
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from deploy_files import ROOT, manifests, name_of

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads(Path(__file__).with_name("kuberay.schema.json").read_text())
OURS = {each["kind"]: each for each in manifests() if each["apiVersion"].startswith("ray.io/")}
FOLDER = os.environ.get("THALWEG_KUBERAY_CRDS")
FILES = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}
TINY = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rayjobs.ray.io}
spec:
  group: ray.io
  names: {kind: RayJob}
  versions:
    - name: v1alpha1
      schema: {openAPIV3Schema: {type: object, required: [old]}}
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object}
            spec:
              type: object
              required: [entrypoint, retries]
              properties:
                entrypoint: {type: string}
                retries: {type: integer, format: int32, default: 0}
                memory:
                  anyOf: [{type: integer}, {type: string}]
                  pattern: ^[0-9]+(Mi|Gi)?$
                  x-kubernetes-int-or-string: true
                labels: {type: object, additionalProperties: {type: string}}
                extra:
                  type: object
                  x-kubernetes-preserve-unknown-fields: true
                  properties: {a: {type: string}}
                groups:
                  type: array
                  items: {type: object, properties: {name: {type: string, nullable: true}}}
"""


def changed(kind, changes):
    """Give a manifest of ours with other values at some dotted paths; None takes one away."""
    made = copy.deepcopy(OURS[kind])
    for path, value in changes.items():
        *parents, last = [int(each) if each.isdecimal() else each for each in path.split(".")]
        place = made["spec"]
        for each in parents:
            place = place[each]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return made


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("RayJob", {"shutdownAfterJobFinishes": False}),  # a time to live needs it
        ("RayJob", {"suspend": True, "shutdownAfterJobFinishes": False, "ttlSecondsAfterFinished": 0}),
        ("RayJob", {"rayClusterSpec": None}),
        ("RayJob", {"clusterSelector": {"ray.io/cluster": "ray"}}),  # not with backoffLimit
        ("RayJob", {"submissionMode": "InteractiveMode"}),  # nor here
        ("RayJob", {"submissionMode": "SidecarMode"}),  # has no submitter of its own
        ("RayJob", {"submissionMode": "K8SJobMode"}),
        ("RayJob", {"ttlSecondsAfterFinished": -1}),
        ("RayJob", {"activeDeadlineSeconds": 0}),
        ("RayJob", {"preRunningDeadlineSeconds": 2**31}),
        ("RayJob", {"deletionStrategy": {"onSuccess": {"policy": "DeleteSelf"}}}),  # and onFailure
        ("RayJob", {"rayClusterSpec.upgradeStrategy": {"type": "Recreate"}}),
        ("RayJob", {"rayClusterSpec.authOptions": {"mode": "token", "enableK8sTokenAuth": True}}),
        ("RayCluster", {"authOptions": {"enableK8sTokenAuth": True}}),
        ("RayCluster", {"authOptions": {"mode": "token", "enableK8sTokenAuth": True, "secretName": "a"}}),
        ("RayCluster", {"rayVersion": "2.51.1"}),  # has no tokens
        ("RayCluster", {"rayVersion": None}),
        ("RayCluster", {"headGroupSpec.resources": {"CPU": 2}}),  # texts
        ("RayCluster", {"headGroupSpec.resources": {"CPU": "2"}}),  # rayStartParams say num-cpus
        ("RayCluster", {"workerGroupSpecs.0.rayStartParams": {"labels": "a=b"}}),
        ("RayCluster", {"workerGroupSpecs.1.suspend": True}),
        ("RayCluster", {"workerGroupSpecs.0.template.spec.restartPolicy": "Always"}),  # with the autoscaler
        ("RayCluster", {"autoscalerOptions.version": "2"}),
        ("RayCluster", {"upgradeStrategy": {"type": "Rolling"}}),
        ("RayCluster", {"gcsFaultToleranceOptions": {"redisPassword": {"value": "a"}}}),  # and where
    ],
    ids=str,
)
def test_what_the_operator_refuses_is_found(kind, changes):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(kind, changes), SCHEMA)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("RayJob", {"shutdownAfterJobFinishes": False, "ttlSecondsAfterFinished": 0}),
        ("RayJob", {"suspend": True}),
        ("RayJob", {"clusterSelector": {"ray.io/cluster": "ray"}, "rayClusterSpec": None, "backoffLimit": 0}),
        ("RayJob", {"submissionMode": "SidecarMode", "submitterPodTemplate": None}),
        ("RayCluster", {"rayVersion": "2.52.0"}),
        ("RayCluster", {"rayVersion": "3.0.0"}),
        ("RayCluster", {"rayVersion": "2.9.0", "authOptions": {"mode": "disabled"}}),
        ("RayCluster", {"authOptions": {"mode": "token", "enableK8sTokenAuth": True}}),
        ("RayCluster", {"headGroupSpec.resources": {"CPU": "2"}, "headGroupSpec.rayStartParams": {}}),
        ("RayCluster", {"workerGroupSpecs.0.template.spec.restartPolicy": "Never"}),
        ("RayCluster", {"upgradeStrategy": {"type": "Recreate"}}),
    ],
    ids=str,
)
def test_what_the_operator_takes_is_taken(kind, changes):
    jsonschema.validate(changed(kind, changes), SCHEMA)


def test_groups_of_workers_have_room():
    for manifest in OURS.values():
        spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
        for group in spec["workerGroupSpecs"]:
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def definition(file, version="v1"):
    """Give what a CustomResourceDefinition takes as a version, as JSON Schema; unknown keys are errors.

    Kubernetes fills in defaults before it looks, so what has one is not required. Rules in its expression
    language (``x-kubernetes-validations``) are not judged.
    """
    content = yaml.load(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (found,) = [each for each in content["spec"]["versions"] if each["name"] == version]
    return _closed(found["schema"]["openAPIV3Schema"])


def _closed(schema):
    """Let an object have the keys that its schema names, and no other."""
    made = dict(schema)
    kind = made.get("type")
    if made.pop("nullable", False) and kind:
        made["type"] = [kind, "null"]
    known = made.get("properties", {})
    made["properties"] = {name: _closed(each) for name, each in known.items()}
    made["required"] = [each for each in made.get("required", ()) if "default" not in known.get(each, {})]
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _closed(made["additionalProperties"])
    elif known and not made.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    if "items" in made:
        made["items"] = _closed(made["items"])
    return made


@pytest.mark.skipif(not FOLDER, reason="THALWEG_KUBERAY_CRDS names no folder: see .ci/kuberay_crds")
@pytest.mark.parametrize("kind", FILES)
def test_manifests_follow_the_published_definitions(kind):
    schema = definition(Path(str(FOLDER)) / FILES[kind])
    jsonschema.validate(OURS[kind], schema)
    wrong = changed(kind, {"submitionMode" if kind == "RayJob" else "authOption": "token"})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"entrypoint": "a"}, None),
        ({"entrypoint": "a", "memory": 3, "labels": {"any": "thing"}}, None),
        ({"entrypoint": "a", "memory": "3Gi", "extra": {"b": [1]}, "groups": [{"name": None}]}, None),
        ({"retries": 1}, "'entrypoint' is a required property"),
        ({"entrypoint": "a", "retry": 1}, "'retry' was unexpected"),
        ({"entrypoint": "a", "retries": "1"}, "'1' is not of type 'integer'"),
        ({"entrypoint": "a", "memory": "3 GB"}, "'3 GB' does not match"),
        ({"entrypoint": "a", "labels": {"any": 1}}, "1 is not of type 'string'"),
        ({"entrypoint": "a", "extra": {"a": 1}}, "1 is not of type 'string'"),
        ({"entrypoint": "a", "groups": [{"nam": "b"}]}, "'nam' was unexpected"),
    ],
    ids=str,
)
def test_a_definition_is_read_as_kubernetes_does_it(spec, said, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    schema = definition(tmp_path / "tiny.yaml")
    manifest = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "a"}, "spec": spec}
    if said is None:
        jsonschema.validate(manifest, schema)
    else:
        with pytest.raises(jsonschema.ValidationError, match=re.escape(said)):
            jsonschema.validate(manifest, schema)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_definitions_are_fetched_both_or_not_at_all(tmp_path):
    published, folder = tmp_path / "published", tmp_path / "folder"
    for each in (published, folder):
        each.mkdir()

    def fetched():
        command = [ROOT / ".ci" / "kuberay_crds", folder, f"file://{published}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr, {each.name for each in folder.iterdir()}

    (published / FILES["RayCluster"]).write_text(TINY)
    code, _, said, left = fetched()
    assert (code, left) == (1, set())
    assert "cannot be had" in said
    (published / FILES["RayJob"]).write_text(TINY)
    code, told, said, left = fetched()
    assert (code, said, left) == (0, "", set(FILES.values()))
    (release,) = re.findall(r"v\d+\.\d+\.\d+", told)
    # `docs/operators.md` names the oldest that does
    assert tuple(map(int, release[1:].split("."))) >= (1, 6)


def test_ours_are_one_of_each_kind():
    assert {name_of(each) for each in OURS.values()} == {"RayCluster-ray", "RayJob-thalweg"}
