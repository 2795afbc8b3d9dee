"""`thalweg search`: better values for any keys of an experiment, by Ray Tune."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import worker
from thalweg.flows.cluster import check_fits
from thalweg.flows.experiment import Experiment, Search, override
from thalweg.flows.space import decode, search_split, values_of
from thalweg.flows.trials import Trial, Trials
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from thalweg.flows.cell import Cell
    from thalweg.storage.splits import Fold

TRAIN_CELL = "thalweg.flows.cell:train_cell"
HALVINGS = 3  # ASHA keeps the best third at each rung


def search_cell(experiment: Experiment, folds: Sequence[Fold]) -> Cell:
    """Give what every trial trains: the searched model on the first fold with the first seed."""
    from thalweg.flows.plan import cells_of

    label = search_split(experiment)
    search = experiment.search
    assert search is not None  # search_split has refused otherwise
    return next(
        cell
        for cell in cells_of(experiment, folds)
        if cell.fold.split == label and cell.model == search.model
    )


def run_search(
    cell: Cell,
    folder: Path,
    *,
    train: str = TRAIN_CELL,
    on_change: Callable[[Trials], None] = lambda trials: None,
) -> Trials:
    """Run all trials on Ray and write what came of them to ``folder``, also when interrupted.

    Parameters
    ----------
    cell : from :func:`search_cell`; a trial is this cell with the drawn values in its experiment.
    train : ``package.module:function``, called as :func:`thalweg.flows.cell.train_cell` is.
    on_change : called after every epoch of every trial.
    """
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # an interruption is ours to handle
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    from ray import tune

    search = cell.experiment.search
    if search is None:
        raise InputError("the experiment has no `search` section")
    resources = cell.experiment.resources
    at_once = check_fits(resources)
    trials = Trials(search, cell.fold.split, cell.fold.fold)
    function = tune.with_parameters(
        _trial, cell=cell, directory=str(Path.cwd()), threads=resources.torch_threads, train=train
    )
    with tempfile.TemporaryDirectory(prefix="thalweg-search-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(
                function, {"cpu": resources.cpus_per_worker, "gpu": resources.gpus_per_worker}
            ),
            param_space=_param_space(search),
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=1 if search.algorithm == "grid" else search.trials,
                max_concurrent_trials=at_once,
                search_alg=_algorithm(search, cell.seed),
                scheduler=_scheduler(cell.experiment, search),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,
                verbose=0,
                callbacks=[_recorder(trials, _Hook(on_change))],
                failure_config=tune.FailureConfig(max_failures=resources.retries),
            ),
        )
        try:
            tuner.fit()
        finally:
            for trial in trials.found.values():
                if trial.state == "running":
                    trial.state = "cut"
            trials.write(folder)
    return trials


def _trial(config: dict[str, Any], *, cell: Cell, directory: str, threads: int, train: str) -> None:
    """Run one trial in a worker: report the best validation score after each epoch."""
    from ray import tune

    worker.set_threads(threads)
    worker.enter(directory)
    search = cell.experiment.search
    assert search is not None
    changed = replace(cell, experiment=override(cell.experiment, decode(search, config)))
    epochs = changed.experiment.training_for(cell.model).epochs
    last = {"score": -math.inf, "epoch": 0, "epochs": epochs, "loss": math.nan, "ended": False, "message": ""}

    def report(row: dict[str, Any]) -> None:
        if row["validation"] is not None and not math.isnan(row["validation"]):
            last["score"] = max(last["score"], row["validation"])
        last.update(epoch=row["epoch"], loss=row["loss"], ended=row["epoch"] >= epochs)
        tune.report(dict(last))

    try:
        worker.find(train)(changed, None, report)
    except Exception as error:
        if not worker.hopeless(error):
            raise
        # values that do not work are an answer, not an accident
        last["message"] = worker.reason(error)
    if not last["ended"]:
        tune.report({**last, "ended": True})


def _param_space(search: Search) -> dict[str, Any] | None:
    from ray import tune

    if search.algorithm == "bayesian":
        return None  # the algorithm has the space
    space: dict[str, Any] = {}
    for key, dimension in search.space.items():
        values = values_of(dimension)
        if search.algorithm == "grid":
            drawn = list(range(len(values or ()))) if dimension.choice is not None else list(values or ())
            space[key] = tune.grid_search(drawn)
        elif dimension.choice is not None:
            space[key] = tune.randint(0, len(dimension.choice))
        elif dimension.integer is not None:
            space[key] = tune.randint(dimension.integer[0], dimension.integer[1] + 1)
        elif dimension.log_uniform is not None:
            space[key] = tune.loguniform(*dimension.log_uniform)
        elif dimension.uniform is not None:
            space[key] = tune.uniform(*dimension.uniform)
    return space


def _algorithm(search: Search, seed: int) -> Any:
    if search.algorithm != "bayesian":
        from ray.tune.search.basic_variant import BasicVariantGenerator

        return BasicVariantGenerator(random_state=seed)
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space: dict[str, Any] = {}
    for key, dimension in search.space.items():
        if dimension.choice is not None:
            space[key] = optuna.distributions.CategoricalDistribution(list(range(len(dimension.choice))))
        elif dimension.integer is not None:
            space[key] = optuna.distributions.IntDistribution(*dimension.integer)
        elif dimension.log_uniform is not None:
            space[key] = optuna.distributions.FloatDistribution(*dimension.log_uniform, log=True)
        elif dimension.uniform is not None:
            space[key] = optuna.distributions.FloatDistribution(*dimension.uniform)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    return OptunaSearch(space=space, metric="score", mode="max", sampler=sampler)


def _scheduler(experiment: Experiment, search: Search) -> Any:
    if search.algorithm != "asha":
        return None
    from ray.tune.schedulers import ASHAScheduler

    epochs = experiment.training_for(search.model).epochs
    for key, dimension in search.space.items():
        if key.endswith("training.epochs"):
            epochs = max(values_of(dimension) or (epochs,))
    return ASHAScheduler(
        time_attr="epoch",
        max_t=max(epochs, 2),
        grace_period=max(1, math.ceil(epochs / HALVINGS**2)),
        reduction_factor=HALVINGS,
    )


class _Hook:
    """A function that stays here: Tune pickles its callbacks, and a terminal cannot be pickled."""

    def __init__(self, call: Callable[[Trials], None]) -> None:
        self.call = call

    def __call__(self, trials: Trials) -> None:
        self.call(trials)

    def __reduce__(self) -> tuple[type[_Hook], tuple[Callable[..., None]]]:
        return _Hook, (_nothing,)


def _nothing(trials: Trials) -> None:
    pass


def _recorder(trials: Trials, on_change: Callable[[Trials], None]) -> Any:
    """Give the Tune callback that keeps every trial's progress."""
    from ray import tune

    class Recorder(tune.Callback):  # type: ignore[misc]
        def on_trial_start(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:
            keep(trial, trials)

        def on_trial_result(
            self, iteration: int, trials: Sequence[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            kept = keep(trial, trials)
            if "score" not in result:
                return
            kept.score = result["score"] if math.isfinite(result["score"]) else None
            kept.epoch, kept.epochs = int(result["epoch"]), int(result["epochs"])
            kept.loss = float(result["loss"]) if math.isfinite(result["loss"]) else None
            kept.seconds = round(float(result["time_total_s"]), 3)
            kept.message = result["message"]
            if result["ended"]:
                kept.state = "failed" if kept.message else "done"
            on_change(kept_trials)

        def on_trial_complete(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:
            kept = keep(trial, trials)
            if kept.state == "running":
                kept.state = "cut"
            on_change(kept_trials)

        def on_trial_error(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:
            kept = keep(trial, trials)
            error = trial.get_error()
            kept.state = "failed"
            kept.message = " ".join(str(getattr(error, "cause", None) or error).split())
            on_change(kept_trials)

    kept_trials = trials

    def keep(trial: Any, trials: Sequence[Any]) -> Trial:
        if trial.trial_id not in kept_trials.found:
            values = decode(kept_trials.search, trial.config)
            # in the order in which they were drawn, whichever started first
            kept_trials.found[trial.trial_id] = Trial(trials.index(trial) + 1, values)
        return kept_trials.found[trial.trial_id]

    return Recorder()
