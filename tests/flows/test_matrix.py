"""Cells on Ray: side by side, retried, skipped, stopped."""

import json
import shutil
import time
from pathlib import Path

import pytest

from thalweg.flows.check import check
from thalweg.flows.experiment import override
from thalweg.flows.matrix import only_runner, run_jobs
from thalweg.flows.plan import cells_of, make_jobs, remove_replaced
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, find_runs

FAKES = Path(__file__).with_name("cell_fakes.py")


@pytest.fixture
def plan(content, write, ray_cluster, folder):
    """Give jobs of the small experiment on one split; dotted keys change it."""
    shutil.copy(FAKES, folder)
    content["splits"] = content["splits"][:1]
    checked = check(write(content))
    assert not checked.problems

    def jobs(force=False, **changes):
        experiment = override(
            checked.experiment, {key.replace("__", "."): value for key, value in changes.items()}
        )
        return make_jobs(cells_of(experiment, checked.folds), Path("runs"), "abc", force=force)

    return jobs


def run(jobs, runner, **options):
    run_jobs(jobs, jobs[0].cell.experiment.resources, runner=f"cell_fakes:{runner}", **options)
    return {job.cell.model: job for job in jobs}


def status(job):
    return json.loads((job.folder / "status.json").read_text())


def tries(job):
    return int(job.folder.with_name(job.folder.name + ".tries").read_text())


def test_cells_run_once(plan):
    jobs = run(plan(), "good")
    assert {job.state for job in jobs.values()} == {"done"}
    assert status(jobs["hybrid"]) | {"updated": ""} == {
        "state": "done", "epoch": 1, "epochs": 1, "loss": 0.5, "message": "", "attempts": 1,
        "seconds": {}, "updated": "",
    }  # fmt: skip
    again = plan()
    assert {job.state for job in again} == {"kept"}
    run(again, "never_good")
    assert tries(jobs["hybrid"]) == 1


def test_only_what_is_new_runs(plan):
    run(plan(), "good")
    more = plan(training__seeds=[1, 2])
    assert sorted(job.name for job in more if job.state == "waiting") == [
        "hybrid--temporal--0--s2",
        "physics--temporal--0--s2",
    ]


def test_another_configuration_is_refused_or_replaced(plan):
    run(plan(), "good")
    with pytest.raises(InputError) as caught:
        plan(training__epochs=3)
    assert "runs/small/physics--temporal--0--s1 and 1 more was made by another configuration" in str(
        caught.value
    )
    assert "(differs in training.epochs)" in str(caught.value)
    assert "--force" in str(caught.value)
    replaced = plan(training__epochs=3, force=True)
    assert (replaced[0].folder / "manifest.json").exists()  # goes only when its turn comes
    # another driver was killed when it had begun to remove one
    (replaced[0].folder.parent / f".{replaced[0].name}.replaced").mkdir()
    remove_replaced(replaced)
    assert not replaced[0].folder.exists()
    assert not list(replaced[0].folder.parent.glob(".*replaced"))
    assert {job.cell.model: job.state for job in replaced} == {
        "physics": "waiting", "hybrid": "waiting", "climatology": "kept",
    }  # fmt: skip


def test_a_worker_that_is_killed_is_replaced(plan):
    jobs = run(plan(), "killed_once")
    assert {job.state for job in jobs.values()} == {"done"}
    assert jobs["hybrid"].attempts == 2
    assert status(jobs["hybrid"])["attempts"] == 2
    assert jobs["physics"].attempts == 1


def test_getting_further_within_an_epoch_counts_too(plan):
    jobs = run(plan(resources__retries=0), "killed_within_an_epoch")
    assert (jobs["hybrid"].state, jobs["hybrid"].attempts) == ("done", 3)


def test_a_cell_that_fails_leaves_the_others(plan):
    jobs = run(plan(resources__retries=1), "never_good")
    assert {model: job.state for model, job in jobs.items()} == {
        "physics": "done", "hybrid": "failed", "climatology": "done",
    }  # fmt: skip
    assert tries(jobs["hybrid"]) == 2
    assert status(jobs["hybrid"])["message"] == "RuntimeError: it broke"
    assert "cell_fakes.py" in (jobs["hybrid"].folder / "error.txt").read_text()
    retried = run(plan(), "good")
    assert retried["hybrid"].state == "done"
    assert not (retried["hybrid"].folder / "error.txt").exists()
    assert retried["physics"].state == "kept"


def test_bad_input_is_not_tried_again(plan):
    jobs = run(plan(), "bad_input")
    assert [tries(job) for job in jobs.values()] == [1, 1, 1]
    assert jobs["hybrid"].message == "the store has no such thing"


def test_a_mistake_in_code_is_not_tried_again(plan):
    jobs = run(plan(), "bad_code")
    assert [tries(job) for job in jobs.values()] == [1, 1, 1]
    assert jobs["hybrid"].message == "KeyError: 'watr'"


def test_a_full_disk_is_said_and_earlier_runs_are_whole(plan):
    jobs = run(plan(), "full_disk")
    assert jobs["hybrid"].state == "failed"
    assert "no room left on the disk" in jobs["hybrid"].message
    assert [run.state for run in find_runs("runs")] == ["done", "failed", "done"]
    assert sorted(path.name for path in jobs["physics"].folder.iterdir()) == ["manifest.json", "status.json"]
    assert not list(jobs["hybrid"].folder.glob("metrics*"))


def test_an_interruption_stops_the_cells_and_can_be_resumed(plan):
    def interrupt(jobs):
        if any((Run(job.folder).status.get("epoch") or 0) > 3 for job in jobs):
            raise KeyboardInterrupt

    jobs = plan()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(jobs, "slow", on_change=interrupt)
    assert time.monotonic() - started < 15
    states = {job.name: status(job) for job in jobs}
    assert {each["state"] for each in states.values()} == {"stopped"}
    assert any(each.get("epoch", 0) > 3 for each in states.values())
    assert all("the same command goes on" in each["message"] for each in states.values())
    assert {job.state for job in run(plan(), "good").values()} == {"done"}


def test_threads_follow_the_resources(plan):
    jobs = run(plan(resources__cpus_per_worker=1, resources__threads=3), "threads")
    assert (jobs["hybrid"].folder / "threads.txt").read_text() == "3 3"


def test_more_than_the_machine_has_is_refused(plan):
    with pytest.raises(InputError, match=r"resources.cpus_per_worker: 10000 wanted, but there is \d+ CPU"):
        run(plan(resources__cpus_per_worker=10_000), "good")
    with pytest.raises(InputError, match=r"resources.gpus_per_worker: 5 wanted, but there is 0 GPU"):
        run(plan(resources__gpus_per_worker=5), "good")


def test_one_runner_at_a_time(folder):
    with (
        only_runner(folder / "runs"),
        pytest.raises(InputError, match="is being run by process"),
        only_runner(folder / "runs"),
    ):
        pass
    with only_runner(folder / "runs"):
        pass


def test_a_cell_that_diverges_is_stopped_kept_and_marked(plan):
    steep = {"kind": "lstm", "hidden": 4, "training": {"learning_rate": 1e30, "gradient_clip": None}}
    jobs = run_jobs_of(plan(models__hybrid=steep, models__physics={"kind": "persistence"}))
    assert {model: job.state for model, job in jobs.items()} == {
        "physics": "done", "hybrid": "failed", "climatology": "done",
    }  # fmt: skip
    found = status(jobs["hybrid"])
    assert found["error"] == "DivergenceError"
    assert "became" in found["message"]
    assert "training.learning_rate below 1e+30" in found["message"]
    assert found["attempts"] == 1  # the same seed diverges again
    assert (jobs["hybrid"].folder / "manifest.json").exists()
    assert "DivergenceError" in (jobs["hybrid"].folder / "error.txt").read_text()


def run_jobs_of(jobs):
    run_jobs(jobs, jobs[0].cell.experiment.resources)
    return {job.cell.model: job for job in jobs}
