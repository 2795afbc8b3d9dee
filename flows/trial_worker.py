"""What runs in a worker of a search: legs of trials, one after the other."""

from __future__ import annotations

import csv
import io
import math
import pickle
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import together, worker
from thalweg.flows.experiment import override
from thalweg.flows.ledger import Meter
from thalweg.flows.proposals import decode
from thalweg.flows.trials import Leg, Outcome
from thalweg.storage import atomic, run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.run_folder import HISTORY_COLUMNS, write_status
from thalweg.storage.run_sharing import Place

if TYPE_CHECKING:
    from thalweg.flows.cell_spec import Cell

TRAIN_CELL = "thalweg.flows.cell:train_cell"
RUN_LEG = "thalweg.flows.trial_worker:run_leg"
TOLD_SECONDS = 0.5  # between two writings of how far a trial is
STATES = {"paused": "waiting", "cut": "stopped"}  # as the status file calls them

# train(cell, folder, report): trains, with its checkpoints in the folder, and gives further measures. It
# calls report(row) after every epoch from the first, those that a checkpoint had marked as `earlier`, and
# ends when that gives True.
Train = Callable[["Cell", Path, Callable[[dict[str, Any]], bool]], Any]


class TrialWorker:
    """A process of a search, which goes from trial to trial.

    Parameters
    ----------
    packed : of :func:`pack`; unpacked only when the number of threads is set, which numerical libraries read
        when they are imported.
    train : ``package.module:function``, as ``Train``; a module of the working directory will do.
    place : of the search's folder, from :func:`thalweg.storage.run_sharing.place_of`.
    """

    def __init__(self, packed: bytes, directory: str, threads: int, train: str, place: Place) -> None:
        self.given = (packed, directory, threads, train)
        self.place = place
        self.folder = run_sharing.folder_at(place)

    def ready(self) -> None:
        """Import what is needed, the first time; answer."""
        if hasattr(self, "cell"):
            return
        packed, directory, threads, train = self.given
        worker.set_threads(threads)
        worker.enter(directory)
        self.cell: Cell = pickle.loads(zlib.decompress(packed))
        self.train: Train = worker.find(train)

    def run(self, leg: Leg) -> Outcome:
        """Train a leg, here or on the trial's own workers.

        Values that do not work are an answer, anything else is raised.
        """
        resources = self.cell.experiment.resources
        if resources.workers_per_model == 1:
            return self.train_leg(leg)
        _, directory, threads, _ = self.given
        try:
            found: Outcome = together.call(
                resources, (directory, threads), RUN_LEG, self.given, self.place, leg
            )
            return found
        except Exception as error:
            if not worker.hopeless(error):
                raise
            return Outcome(state="failed", message=worker.reason(error))

    def train_leg(self, leg: Leg) -> Outcome:
        """Train a leg, write what the trial's folder has of it, and give what came of it."""
        folder = self.folder / leg.folder
        folder.mkdir(parents=True, exist_ok=True)
        with run_sharing.worked_on(folder):
            return self._train_leg(leg, folder)

    def _train_leg(self, leg: Leg, folder: Path) -> Outcome:
        progress = _Progress(leg, folder)
        outcome = Outcome(state="failed")
        with Meter(folder, self.cell.experiment.resources.gpus_per_model) as meter:
            try:
                cell = self._cell(leg)
                progress.begin(cell.experiment.training_for(cell.model).epochs, meter)
                checkpoints = self.folder / leg.checkpoints
                take_over(leg, self.folder, checkpoints)
                measures = self.train(cell, checkpoints, progress.report)
                outcome.state = progress.verdict or "done"
                outcome.measures = {key: _finite(value) for key, value in (measures or {}).items()}
            except Exception as error:
                progress.write("failed" if worker.hopeless(error) else "running", worker.reason(error))
                if not worker.hopeless(error):
                    raise
                outcome.message = worker.reason(error)
        outcome.rows = progress.rows
        progress.write(STATES.get(outcome.state, outcome.state), outcome.message)
        return outcome

    def help(self, leg: Leg) -> None:
        """Train along with the worker that trains the leg."""
        try:
            self.train(self._cell(leg), self.folder / leg.checkpoints, lambda row: False)
        except Exception as error:
            if type(error).__name__ != "DivergenceError":  # which that worker raises too
                raise

    def _cell(self, leg: Leg) -> Cell:
        search = self.cell.experiment.search
        assert search is not None  # there would be no worker otherwise
        experiment = override(self.cell.experiment, decode(search, leg.drawn))
        return replace(self.cell, experiment=experiment, seed=leg.seed)


def run_leg(given: tuple[bytes, str, int, str], place: Place, leg: Leg) -> Outcome | None:
    """Train a leg in one of several workers, of which the first one tells what came of it."""
    from thalweg.models.group import Group

    made = TrialWorker(*given, place)
    made.ready()
    if Group.current().rank:
        made.help(leg)
        return None
    return made.train_leg(leg)


class _Progress:
    """What a trial has reported; kept in its folder too, as a run's is."""

    def __init__(self, leg: Leg, folder: Path) -> None:
        self.leg, self.folder = leg, folder
        self.rows: list[dict[str, Any]] = []
        self.epochs = 0
        self.best = -math.inf
        self.verdict = ""
        self.meter: Meter | None = None
        self.begun = self.written = time.monotonic()

    def begin(self, epochs: int, meter: Meter) -> None:
        """Tell how many epochs the trial has in all."""
        self.epochs, self.meter = epochs, meter

    def report(self, row: dict[str, Any]) -> bool:
        """Take the row of an epoch; True when the leg ends with it."""
        earlier, helpers = row.pop("earlier", False), row.pop("helpers", ())
        kept = {key: value if isinstance(value, int) else _finite(value) for key, value in row.items()}
        self.rows.append(kept)
        if self.meter is not None and not earlier:
            self.meter.count(*(row.get(key, 0) for key in ("samples", "seconds", "waiting")))
            self.meter.helpers = helpers
        validation = kept.get("validation")
        if validation is not None:
            self.best = max(self.best, validation)
        self.verdict = self._judge(int(row["epoch"]))
        if time.monotonic() - self.written >= TOLD_SECONDS:
            self.write("running")
        return bool(self.verdict)

    def _judge(self, epoch: int) -> str:
        if self.best < self.leg.cutoffs.get(epoch, -math.inf):
            return "cut"
        return "paused" if self.leg.until is not None and self.leg.until <= epoch < self.epochs else ""

    def write(self, state: str, message: str = "") -> None:
        """Write ``status.json`` and ``history.csv``."""
        self.written = time.monotonic()
        last = self.rows[-1] if self.rows else {}
        seconds = sum(float(row.get("seconds") or 0.0) for row in self.rows)
        status = {key: last.get(key) for key in ("epoch", "loss", "validation")}
        if self.rows:
            atomic.write_text(self.folder / "history.csv", _table(self.rows))
        write_status(
            self.folder,
            {
                "state": state,
                "message": message,
                **status,
                "epochs": self.epochs,
                "seconds": {"train": seconds, "total": time.monotonic() - self.begun},
            },
        )


def pack(cell: Cell) -> bytes:
    """Give what a worker is made with."""
    return zlib.compress(pickle.dumps(cell))


def take_over(leg: Leg, folder: Path, checkpoints: Path) -> None:
    """Put the checkpoint that a leg goes on from into its folder, if it has none of its own.

    Raises
    ------
    InputError
        When it is not there.
    """
    if leg.source is None or any(checkpoints.glob("*")):
        checkpoints.mkdir(parents=True, exist_ok=True)
        return
    source = folder / leg.source
    run_sharing.pull(source, wanted=lambda inner: True)
    if not source.is_dir():
        raise InputError(
            f"{source}: is not there on this node; pbt hands weights from trial to trial, so --runs must "
            "name a folder on storage that all nodes of the cluster share"
        )
    part = checkpoints.with_name(checkpoints.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    shutil.rmtree(checkpoints, ignore_errors=True)
    part.rename(checkpoints)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Give rows as a run's history has them; without pandas, which takes longer than a short trial."""
    columns = dict.fromkeys((*HISTORY_COLUMNS, *(key for row in rows for key in row)))
    stream = io.StringIO()
    table = csv.DictWriter(stream, list(columns), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
