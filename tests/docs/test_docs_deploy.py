"""The blocks of operators.md and guide.md that want Docker, Kubernetes or Slurm are run before stand-ins.

`stand_ins/` has a `docker`, a `kubectl` and an `sbatch`. Each refuses what the real one would, as far as a
test can know: files, services, secrets and options that are not there, and what comes too early. Files go
where containers would have them. Nothing is built, and no container, pod or job is started.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from doc_blocks import ROOT, blocks_of
from doc_runs import EXPERIMENT, run
from doc_ways import DEPLOY, run_by

STAND_INS = Path(__file__).parent / "stand_ins"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A copy of `deploy/` with an experiment beside it, and the stand-ins before everything else."""
    path = os.environ["PATH"]
    copied = shutil.ignore_patterns(".env", "__pycache__")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=copied)
    for name in ("first", "experiment"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "name": name}))
    (tmp_path / "there").mkdir()
    programs = tmp_path / "programs"
    programs.mkdir()
    for each in STAND_INS.iterdir():  # with the interpreter of these tests, whatever is first on the path
        (programs / each.name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{each}" "$@"\n')
        (programs / each.name).chmod(0o755)
    monkeypatch.setenv("STAND_IN", str(tmp_path / "there"))
    monkeypatch.setenv("STAND_IN_PATH", path)
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    return tmp_path


def script(page, beginning):
    """Give the commands that are run here, of the blocks that have one that begins so, as one script."""
    blocks = [block for block in blocks_of(ROOT / "docs" / page) if block.kind == "commands"]
    chosen = [run_by(DEPLOY, block) for block in blocks]
    lines = [line for each in chosen if any(line.startswith(beginning) for line in each) for line in each]
    assert lines
    return "\n".join(lines)


def go(text, place, code=0):
    return run(f'PATH="{place}/programs:$PATH"\n{text}', place, code=code)


def test_compose_from_secrets_to_a_restored_backup(place):
    commands = script("operators.md", ("docker", "deploy/", "export"))
    start, backup = commands.split("docker compose exec postgres", 1)
    there = place / "there"
    go(start, place)
    assert {"ray-worker-gpu", "dashboard", "postgres"} <= set(json.loads((there / "up.json").read_text()))
    assert (there / "workspace/experiment.yaml").read_text() == (place / "first.yaml").read_text()

    (there / "workspace/runs/first").mkdir(parents=True)
    (there / "workspace/runs/first/status.json").write_text("{}")
    backup, restore = f"docker compose exec postgres{backup}".split("docker compose up", 1)
    file = "export COMPOSE_FILE=deploy/compose.yaml\n"
    go(file + backup, place)
    shutil.rmtree(there)
    there.mkdir()
    go(f"{file}docker compose up{restore}", place)
    assert (there / "workspace/runs/first/status.json").read_text() == "{}"
    assert "dashboard" in json.loads((there / "up.json").read_text())


def test_kubernetes_from_the_namespace_to_a_job(place):
    said = go(script("operators.md", "kubectl"), place)
    assert {"Deployment", "RayCluster", "Ingress"} <= set(said.split())
    state = json.loads((place / "there/cluster.json").read_text())
    assert state["objects"][-1] == "RayJob"
    assert len(state["secrets"]) == 5


@pytest.mark.parametrize("page", ["operators.md", "guide.md"])
def test_slurm(page, place):
    assert "Submitted batch job" in go(script(page, "sbatch"), place)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("docker compose up --detach", "COMPOSE_FILE names no file"),
        ("export COMPOSE_FILE=deploy/compose.yaml; docker compose ps", "run deploy/make_env.sh"),
        ("MADE docker compose exec ray-head thalweg runs", "'ray-head' is not running"),
        ("MADE docker compose up --detach --scale rays=4", "no such service: rays"),
        ("MADE docker compose --profile cuda up --detach", "no service has the profile cuda"),
        ("kubectl apply --kustomize deploy/kubernetes", "wants the key"),
        ("kubectl apply --filename deploy/kubernetes/ray-job.yaml", "'thalweg' not found"),
        ("kubectl create secret generic a --from-literal=b=c", "'default' not found"),
        ("sbatch --node=4 deploy/slurm/thalweg.sbatch first.yaml", "unrecognized option '--node=4'"),
        ("sbatch --nodes=4 deploy/slurm/thalweg.sbatch third.yaml", "third.yaml: no such file"),
    ],
)
def test_stand_ins_refuse_what_is_wrong(command, said, place):
    made = "deploy/make_env.sh; export COMPOSE_FILE=deploy/compose.yaml;"
    assert said in go(command.replace("MADE", made), place, code=1)
