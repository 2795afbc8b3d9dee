"""A search on a cluster of several nodes, one of which goes away."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from thalweg.flows.searching import search_experiment

HERE = Path(__file__).parent
sys.path.append(str(HERE))
from cluster_host import Host  # noqa: E402

DRIVER = """
import sys
from pathlib import Path
from thalweg.flows.searching import search_experiment
search_experiment(Path("experiment.yaml"), Path("runs"), {"training.epochs": 9}, train="train_fakes:slow")
"""


@pytest.mark.slow
def test_a_node_that_goes_away_costs_each_trial_one_epoch(
    content, write, folder, tmp_path_factory, ray_cluster
):
    shutil.copy(HERE / "train_fakes.py", folder)
    space = {"training.learning_rate": {"log_uniform": [1e-4, 1.0]}}
    content["search"] = {"algorithm": "asha", "trials": 16, "model": "hybrid", "space": space}
    path = write(content)
    with Host(tmp_path_factory.mktemp("cluster") / "log", include_dashboard=False) as host:
        host.add()
        lost = host.add()
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER], env=host.environment, stderr=subprocess.PIPE, text=True
        )
        journal = Path("runs/small/search/journal.jsonl")
        deadline = time.monotonic() + 120
        while not journal.exists() or journal.read_text().count('"ended"') < 6:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        host.remove(lost)
        said = driver.communicate(timeout=240)[1]
        assert driver.returncode == 0, said
    counts = Counter()
    for file in Path().glob("trained-*.txt"):
        counts.update((file.stem, int(line)) for line in file.read_text().split())
    assert max(counts.values()) <= 2
    repeated = Counter(name for (name, _), count in counts.items() if count > 1)
    assert all(count == 1 for count in repeated.values())
    assert len(repeated) <= 2  # what the node was at
    written = json.loads(Path("runs/small/search.json").read_text())
    trials, _ = search_experiment(path, Path("other"), {"training.epochs": 9}, train="train_fakes:train")
    again = {trial.trial: (trial.state, trial.epoch, trial.score) for trial in trials.found.values()}
    on_nodes = {each["trial"]: (each["state"], each["epoch"], each["score"]) for each in written["trials"]}
    assert on_nodes == again
