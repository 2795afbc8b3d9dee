"""`deploy/slurm/thalweg.sbatch` on a Slurm of two virtual nodes, which the test starts on this machine.

It needs Debian's slurmctld, slurmd, slurm-client and munge, and root: daemons start jobs as their owner.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from deploy_files import DEPLOY
from small_experiment import EXPERIMENT
from waiting import free_ports, until

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        any(shutil.which(each, path=f"{os.environ['PATH']}:/usr/sbin") is None for each in PROGRAMS)
        or os.geteuid() != 0,
        reason="Slurm is not installed, or this is not root",
    ),
]
SCRIPT = DEPLOY / "slurm" / "thalweg.sbatch"
SMALL = {
    **EXPERIMENT,
    "training": {
        "epochs": 2,
        "steps_per_epoch": 3,
        "window": 60,
        "warmup": 30,
        "batch_sites": 4,
        "seeds": [1, 2],
    },
}
CONFIGURATION = """\
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=1-00:00:00 State=UP
"""


@pytest.fixture(scope="module")
def slurm():
    """Two nodes; gives the environment in which Slurm's commands reach them."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a socket's path must be short
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    folder.chmod(0o755)
    text = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0],
        folder=folder,
        ports=free_ports(3),
        cpus=os.cpu_count(),
    )
    (folder / "slurm.conf").write_text(text)
    environment = {
        **os.environ,
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        "THALWEG_VENV": sys.prefix,
        "OMP_NUM_THREADS": "1",
    }

    def started(*command):
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    files = {"key-file": key, "socket": folder / "munge.socket", "log-file": folder / "munged.log"}
    files |= {"pid-file": folder / "munged.pid", "seed-file": folder / "munge.seed"}
    daemons = [
        started("munged", "--foreground", "--force", *(f"--{name}={file}" for name, file in files.items()))
    ]
    time.sleep(1)
    daemons.append(started("slurmctld", "-D"))
    daemons += [started("slurmd", "-D", "-N", name) for name in ("n1", "n2")]
    try:
        until(lambda: "idle" in said(environment, "sinfo", "--noheader", "--format=%T"), 60)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def said(environment, *command, **options):
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, **options
    )
    return done.stdout + done.stderr


def submit(environment, folder, *arguments, nodes=2):
    """Submit the script, and give the job's number."""
    options = ["--parsable", "--time=0:20:00", f"--nodes={nodes}", "--cpus-per-task=1"]
    options.append("--output=job-%j.log")
    answer = said(environment, "sbatch", *options, str(SCRIPT), *arguments, cwd=folder)
    assert answer.strip().isdecimal(), answer
    return answer.strip()


def ended(environment, job, seconds=240):
    """Wait until a job has ended, and give its state and exit code."""
    until(lambda: not said(environment, "squeue", "--noheader", f"--jobs={job}").strip(), seconds)
    shown = said(environment, "scontrol", "show", "job", job)
    return [word.partition("=")[2] for word in shown.split() if word.startswith(("JobState", "ExitCode"))]


def test_an_experiment_runs_on_both_nodes_and_leaves_nothing_behind(slurm, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    job = submit(slurm, tmp_path, "small.yaml")
    state, code = ended(slurm, job)
    log = (tmp_path / f"job-{job}.log").read_text()
    assert (state, code) == ("COMPLETED", "0:0"), log
    assert "2 of 2 cells run" in log
    assert not Path(f"/tmp/thalweg-{job}").exists()
    assert not list(Path.home().glob(f".thalweg-slurm-{job}-*"))
    assert f"thalweg-{job}/" not in said(slurm, "ps", "-e", "-o", "args")


def heads_seen(job):
    """Give the ports of heads that processes of a job's Ray were told, and the file of its token, if any."""
    ports = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(f"/tmp/thalweg-{job}/" in word for word in words):
            told = (re.fullmatch(r"--gcs[-_]address=\S+:(\d+)", word) for word in words)
            ports |= {int(found[1]) for found in told if found}
    return ports, next(Path.home().glob(f".thalweg-slurm-{job}-*/token"), None)


def test_two_jobs_at_once_on_one_node_have_clusters_of_their_own(slurm, tmp_path):
    """Of one user, in one folder, with one folder of runs: as people do it."""
    names = ("first", "second")
    for name in names:
        data = {**SMALL["data"], "store": f"{name}.zarr"}
        training = {**SMALL["training"], "epochs": 30, "steps_per_epoch": 20}
        content = {**SMALL, "name": name, "data": data, "training": training}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    jobs = [submit(slurm, tmp_path, f"{name}.yaml", nodes=1) for name in names]
    seen = {}

    def both():
        seen.update({job: heads_seen(job) for job in jobs})
        return all(ports and token for ports, token in seen.values())

    until(both, 120, pause=0.5)
    ports, tokens = zip(*seen.values(), strict=True)
    assert list(ports) == [{20000 + int(job) % 6000} for job in jobs]
    assert len({token.read_text() for token in tokens}) == 2
    assert [token.stat().st_mode & 0o777 for token in tokens] == [0o600, 0o600]
    assert [Path(f"/tmp/thalweg-{job}").stat().st_mode & 0o777 for job in jobs] == [0o700, 0o700]
    for job, name in zip(jobs, names, strict=True):
        state, code = ended(slurm, job)
        log = (tmp_path / f"job-{job}.log").read_text()
        assert (state, code) == ("COMPLETED", "0:0"), log
        assert "2 of 2 cells run" in log
        other = names[1 - names.index(name)]
        assert other not in log
        statuses = [json.loads(file.read_text()) for file in (tmp_path / "runs" / name).rglob("status.json")]
        assert [each["state"] for each in statuses] == ["done", "done"]
        assert not Path(f"/tmp/thalweg-{job}").exists()
        assert not list(Path.home().glob(f".thalweg-slurm-{job}-*"))
    # when the first one ended it took nothing of the second with it
    attempts = [
        len(json.loads(file.read_text())["attempts"]) for file in (tmp_path / "runs").rglob("ledger.json")
    ]
    assert attempts == [1, 1, 1, 1]


def test_a_job_that_is_told_to_stop_goes_on_when_it_is_submitted_again(slurm, tmp_path):
    longer = {**SMALL, "name": "longer"}
    longer["training"] = {**SMALL["training"], "epochs": 60, "steps_per_epoch": 100}
    (tmp_path / "longer.yaml").write_text(yaml.safe_dump(longer))
    job = submit(slurm, tmp_path, "longer.yaml")
    until(lambda: any((tmp_path / "runs").rglob("history.csv")), 180)
    said(slurm, "scancel", f"--signal={signal.SIGTERM.name[3:]}", "--batch", job)
    state, code = ended(slurm, job)
    log = (tmp_path / f"job-{job}.log").read_text()
    assert (state, code) == ("FAILED", f"{128 + signal.SIGTERM}:0"), log
    statuses = [json.loads(file.read_text())["state"] for file in (tmp_path / "runs").rglob("status.json")]
    assert "stopped" in statuses
    again = submit(slurm, tmp_path, "longer.yaml")
    assert ended(slurm, again)[0] == "COMPLETED"
    done = (tmp_path / f"job-{again}.log").read_text()
    assert "cells run" in done
    attempts = [
        len(json.loads(file.read_text())["attempts"]) for file in (tmp_path / "runs").rglob("ledger.json")
    ]
    assert max(attempts) == 2


def test_a_mistake_is_told_with_its_code(slurm, tmp_path):
    wrong = {**SMALL, "model": {}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    job = submit(slurm, tmp_path, "wrong.yaml")
    assert ended(slurm, job) == ["FAILED", "2:0"]
    assert "did you mean 'models'?" in (tmp_path / f"job-{job}.log").read_text()
    # the other node's Ray was still about to start
    time.sleep(3)
    assert not Path(f"/tmp/thalweg-{job}").exists()
    assert f"thalweg-{job}/" not in said(slurm, "ps", "-e", "-o", "args")
