"""Reads the files of `deploy/` for the tests of them."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PREFECT: dict[str, Any] = yaml.safe_load((DEPLOY / "prefect.yaml").read_text())


def manifests() -> list[dict[str, Any]]:
    """Give every object of `kubernetes/`, the kustomization apart."""
    files = sorted(KUBERNETES.glob("*.yaml"))
    return [
        document
        for file in files
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text())
    ]


def name_of(manifest: dict[str, Any]) -> str:
    """Name an object as tests print it."""
    metadata = manifest["metadata"]
    return f"{manifest['kind']}-{metadata.get('name') or metadata['generateName'].rstrip('-')}"


def pod_templates(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the templates of the pods that an object makes, by name."""
    spec = manifest.get("spec", {})
    if manifest["kind"] in ("Deployment", "StatefulSet"):
        return {manifest["metadata"]["name"]: spec["template"]}
    found = {}
    if manifest["kind"] == "RayJob":
        found["submitter"] = spec["submitterPodTemplate"]
        spec = spec["rayClusterSpec"]
    if manifest["kind"] in ("RayCluster", "RayJob"):
        found["head"] = spec["headGroupSpec"]["template"]
        found.update({group["groupName"]: group["template"] for group in spec["workerGroupSpecs"]})
    return found


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Give all templates of pods, with their names."""
    return [
        (f"{name_of(manifest)}-{name}", template)
        for manifest in manifests()
        for name, template in pod_templates(manifest).items()
    ]


def without_comments(text: str) -> str:
    """Leave out what follows a `#` at the beginning of a line or after a space."""
    return re.sub(r"(?m)(^|\s)#.*$", "", text)


def pinned() -> dict[str, str]:
    """Give the versions of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def version() -> str:
    """Give Thalweg's version."""
    found = re.search(r'(?m)^version = "(.+)"', (ROOT / "pyproject.toml").read_text())
    assert found is not None
    return found[1]
