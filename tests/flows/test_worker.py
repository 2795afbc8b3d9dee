"""A worker's part in a cell: nothing that was finished is run again."""

import shutil
from pathlib import Path

from thalweg.flows import worker
from thalweg.flows.check import check
from thalweg.flows.plan import cells_of, make_jobs
from thalweg.storage.results import Run, write_status


def test_a_cell_whose_node_was_lost_after_its_end_is_not_run_again(content, write, folder, monkeypatch):
    shutil.copy(Path(__file__).with_name("cell_fakes.py"), folder)
    monkeypatch.syspath_prepend(".")
    monkeypatch.setenv("THALWEG_LOG_FILE", "events.jsonl")
    content["splits"] = content["splits"][:1]
    checked = check(write(content))
    job = make_jobs(cells_of(checked.experiment, checked.folds, "abc"), folder / "runs", "abc")[0]
    write_status(job.folder, {"state": "waiting"})
    packed = worker.pack(job.cell, job.folder)
    worker.run_packed(packed, "cell_fakes:good")
    assert Run(job.folder).state == "done"
    worker.run_packed(packed, "cell_fakes:never_good")  # as the driver does that never heard of its end
    said = (folder / "events.jsonl").read_text()
    assert said.count('"cell-finished"') == 1
    assert said.count('"snapshot": "abc"') == 2  # of its beginning and its end
