"""`thalweg search`: better values for any keys of an experiment; trials are trained by workers on Ray."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import search_result
from thalweg.flows.endings import Ending
from thalweg.flows.experiment import Experiment
from thalweg.flows.journal import Journal, begin, place
from thalweg.flows.plans import Plan, Repeats, make_plan
from thalweg.flows.pool import LOOK_SECONDS, Pool
from thalweg.flows.search_spec import DEFAULT_LAG
from thalweg.flows.space import count_trials, longest, search_split
from thalweg.flows.trial_worker import TRAIN_CELL, TrialWorker, pack
from thalweg.flows.trials import Leg, Outcome, Trials, trial_folder
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, write_status

if TYPE_CHECKING:
    from thalweg.flows.cell_spec import Cell
    from thalweg.storage.splits import Fold

WRITTEN_SECONDS = 2.0  # between two writings of the table of trials


def search_cell(experiment: Experiment, folds: Sequence[Fold], snapshot: str | None = None) -> Cell:
    """Give what every trial trains: the searched model on the first fold with the first seed."""
    from thalweg.flows.plan import cells_of

    label = search_split(experiment)
    search = experiment.search
    assert search is not None  # search_split has refused otherwise
    return next(
        cell
        for cell in cells_of(experiment, folds, snapshot)
        if cell.fold.split == label and cell.model == search.model
    )


def run_search(
    cell: Cell,
    folder: Path,
    *,
    train: str = TRAIN_CELL,
    on_change: Callable[[Trials], None] = lambda trials: None,
) -> Trials:
    """Run all trials that are still to be run, and write what came of them, also when interrupted.

    Parameters
    ----------
    cell : from :func:`search_cell`; a trial is this cell with the drawn values in its experiment.
    folder : of the experiment: ``search.json`` and ``search.csv`` are for people and scripts, ``search/`` has
        the journal and what each trial has kept.
    train : ``package.module:function``, called as :data:`thalweg.flows.trial_worker.Train` is.
    on_change : called about twice a second, and when a trial has ended.
    """
    search = cell.experiment.search
    if search is None:
        raise InputError("the experiment has no `search` section")
    trials = begun_before(cell, folder)
    driver = _Driver(cell, folder, trials, train, on_change)
    try:
        driver.run(_plan(cell, trials))
        repeats = _repeats(cell, trials)
        if repeats is not None:
            driver.run(repeats, repeat=True)
    finally:
        driver.close()
        search_result.write(trials, folder)
    return trials


def left(cell: Cell, trials: Trials) -> bool:
    """Tell whether anything is still to be trained."""
    if _plan(cell, trials).next(trials) is not None:
        return True
    repeats = _repeats(cell, trials)
    return repeats is not None and repeats.next(trials) is not None


def _plan(cell: Cell, trials: Trials) -> Plan:
    return make_plan(trials.search, trials.epochs, cell.seed, count_trials(cell.experiment))


def _repeats(cell: Cell, trials: Trials) -> Plan | None:
    best = trials.best()
    if not trials.search.repeats or best is None:
        return None
    seeds = range(cell.seed + 1, cell.seed + 1 + trials.search.repeats)
    return Repeats(best, trials.schedule(best), seeds)


def begun_before(cell: Cell, folder: Path) -> Trials:
    """Give the trials of a search as the journal has them; none where none was begun.

    Accidents are forgotten: such trials are tried again. A population is no longer what it was when one of
    its members failed, so there they stay.
    """
    search = cell.experiment.search
    assert search is not None
    trials = Trials(search, cell.fold.split, cell.fold.fold, longest(cell.experiment))
    Journal(folder / "search").read(trials)
    for trial in (*trials.found.values(), *trials.repeated.values()):
        if trial.state == "failed" and trial.accident and search.algorithm != "pbt":
            trial.state = "paused"
    return trials


class _Driver:
    """Gives legs to workers and keeps what comes of them."""

    def __init__(
        self, cell: Cell, folder: Path, trials: Trials, train: str, on_change: Callable[[Trials], None]
    ) -> None:
        self.cell, self.trials, self.on_change = cell, trials, on_change
        self.result, self.folder = folder, (folder / "search").resolve()
        self.journal = Journal(self.folder)
        self.attempts: dict[tuple[int, int], tuple[int, int]] = {}
        self.again: list[Leg] = []
        self.cleaned: set[str] = set()
        self.looked = self.written = 0.0
        self.pool: Pool[Leg] | None = None
        place = run_sharing.place_of(self.folder)
        arguments = (str(Path.cwd()), cell.experiment.resources.torch_threads, train, place)
        self.make = lambda: (TrialWorker, (pack(cell), *arguments))

    def run(self, plan: Plan, *, repeat: bool = False) -> None:
        """Train what a plan wants, until it wants no more."""
        leg = plan.next(self.trials)
        while leg is not None or self.again or (self.pool is not None and self.pool.running):
            if self.pool is None:
                self.pool = Pool(self.cell.experiment.resources, self.make)
                self._tell_lag(plan)
            if self.pool.free and self.again:
                self.pool.start(self.again.pop(0))
            elif self.pool.free and leg is not None:
                self._begin(leg, repeat=repeat)
                leg = plan.next(self.trials)
            else:
                waits = bool(self.again) or leg is not None
                for ended, outcome, end in self.pool.wait(plan.width(self.trials) if waits else 0):
                    self._conclude(ended, outcome, end, repeat=repeat)
                    self._clean(plan)
                self._look(repeat=repeat)
                leg = leg or plan.next(self.trials)

    def close(self) -> None:
        """End the workers; trials that were under way wait for another time."""
        left = list(self.again)
        if self.pool is not None:
            left += self.pool.close()
        for leg in left:
            self._mark(leg.folder, "stopped", "interrupted; the same command goes on from here")
        for trial in self.trials.found.values():
            own = trial_folder(trial.trial)
            if trial.state == "cut" and Run(self.folder / own).state == "waiting":  # decided when it paused
                self._mark(own, "stopped", "")
        for trial in (*self.trials.found.values(), *self.trials.repeated.values()):
            if trial.state == "running":
                trial.state = "paused"

    def _tell_lag(self, plan: Plan) -> None:
        """Say so where workers stay idle for the sake of proposals that do not depend on their number."""
        search, fits = self.trials.search, self.pool.fits if self.pool else 0
        if search.algorithm == "bayesian" and plan.width(self.trials) == (search.lag or DEFAULT_LAG) < fits:
            print(
                f"search.lag lets {search.lag or DEFAULT_LAG} of the {fits} workers that fit run at once",
                file=sys.stderr,
            )

    def _begin(self, leg: Leg, *, repeat: bool) -> None:
        assert self.pool is not None
        self.journal.begun(leg, repeat=repeat)
        begin(self.trials, leg, repeat=repeat)
        self.pool.start(leg)

    def _conclude(self, leg: Leg, outcome: Outcome | None, end: Ending, *, repeat: bool) -> None:
        """Keep what came of a leg, or let it be tried again."""
        if outcome is None:
            run_sharing.pull(self.folder / leg.folder)
            key = (leg.trial, leg.seed)
            rows = self._rows(leg)
            epoch = rows[-1]["epoch"] if rows else 0
            wasted, before = self.attempts.get(key, (0, 0))
            # one whose worker or node went away is not blamed where it got further in between
            wasted += not (end.mishap and epoch > before)
            self.attempts[key] = (wasted, max(epoch, before))
            if not end.hopeless and wasted <= self.cell.experiment.resources.retries:
                self.again.append(leg)
                return
            outcome = Outcome(rows, "failed", message=end.message, accident=True)
        if outcome.state == "failed":  # of several workers not all know why
            self._mark(leg.folder, "failed", outcome.message)
        self.journal.ended(leg, outcome, repeat=repeat)
        trial = place(self.trials, leg.trial, leg.seed, repeat=repeat)
        assert trial is not None  # it was begun
        trial.take(outcome)
        self.on_change(self.trials)

    def _look(self, *, repeat: bool) -> None:
        """See how far the trials are that run, now and then, and tell."""
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        assert self.pool is not None
        for leg in self.pool.work:
            trial = place(self.trials, leg.trial, leg.seed, repeat=repeat)
            rows = self._rows(leg)
            if trial is not None and len(rows) > len(trial.rows):
                trial.rows = rows
        self.on_change(self.trials)
        if time.monotonic() - self.written >= WRITTEN_SECONDS:
            search_result.write(self.trials, self.result)
            self.written = time.monotonic()

    def _clean(self, plan: Plan) -> None:
        """Remove checkpoints that nothing goes on from."""
        for folder in plan.spent(self.trials):
            if folder not in self.cleaned:
                self.cleaned.add(folder)
                run_sharing.remove(self.folder / folder)

    def _rows(self, leg: Leg) -> list[dict[str, Any]]:
        """Give the epochs that a trial's folder has, which may be fewer than it was trained for."""
        try:
            with (self.folder / leg.folder / "history.csv").open(newline="") as stream:
                return [
                    {key: _number(key, text) for key, text in row.items()} for row in csv.DictReader(stream)
                ]
        except (OSError, ValueError):
            return []

    def _mark(self, place: str, state: str, message: str) -> None:
        """Say in the status of a trial, by its folder, what became of it."""
        folder = self.folder / place
        with suppress(OSError, InputError):
            folder.mkdir(parents=True, exist_ok=True)
            write_status(folder, {**Run(folder).status, "state": state, "message": message, "updated": None})
            run_sharing.push(folder)


def _number(key: str, text: str) -> float | int | None:
    if not text:
        return None
    return int(float(text)) if key in ("epoch", "samples") else float(text)
