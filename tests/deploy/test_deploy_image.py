"""The Dockerfile, what is sent to its build, and the shell scripts."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from deploy_files import DEPLOY, ROOT, without_comments

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
IGNORED = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
SENT = {line[1:] for line in IGNORED if line.startswith("!")}
SCRIPTS = (DEPLOY / "make_env.sh", DEPLOY / "slurm" / "thalweg.sbatch")


def tool(name, *arguments):
    """Run a linter that is installed beside this Python."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        pytest.skip(f"{name} is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_the_dockerfile_is_clean(tmp_path):
    done = tool("hadolint", DEPLOY / "Dockerfile")
    assert done.returncode == 0, done.stdout
    planted = tmp_path / "Dockerfile"
    planted.write_text(DOCKERFILE.replace("USER 10001:10001", "USER root"))
    assert "DL3002" in tool("hadolint", planted).stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_shell_scripts_are_clean(script, tmp_path):
    done = tool("shellcheck", script)
    assert done.returncode == 0, done.stdout
    planted = tmp_path / script.name
    planted.write_text(script.read_text() + "\nrm -rf $private/x\n")
    assert tool("shellcheck", planted).returncode != 0
    assert script.name.endswith(".sbatch") or script.stat().st_mode & 0o111


def test_the_build_is_sent_the_package_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {path.split("/")[0] for path in project["tool"]["setuptools"]["package-dir"].values()}
    files = {"pyproject.toml", "constraints.txt", project["project"]["readme"]}
    files |= set(project["project"]["license-files"])
    assert folders | files == SENT
    assert "**" in IGNORED
    assert all((ROOT / name).exists() for name in SENT)


def test_each_image_runs_as_nobody_in_particular():
    for target in ("cpu", "cuda"):
        stage = re.search(rf"(?ms)^FROM runtime AS {target}$(.*?)(?=^FROM |\Z)", DOCKERFILE)
        assert stage is not None
        assert stage[1].strip().endswith("USER 10001:10001")
    assert "ENTRYPOINT" in DOCKERFILE
    assert not re.search(r"(?i)^(env|arg).*(password|secret|token=)", DOCKERFILE, re.MULTILINE)


def test_python_and_what_is_installed_are_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = re.findall(r"ARG PYTHON_IMAGE=python:3\.(\d+)\.\d+-slim-\w+", DOCKERFILE)
    low, high = (int(each) for each in re.findall(r"3\.(\d+)", project["requires-python"]))
    assert low <= int(wanted) < high
    installs = re.findall(r"pip install [^\n]*", without_comments(DOCKERFILE))
    assert len(installs) == 4
    assert all("--constraint constraints.txt" in each for each in installs)
