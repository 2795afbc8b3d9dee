"""Showing a search: while it runs, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from thalweg.flows.console import console, number, plural, table
from thalweg.flows.experiment_view import cost_text, total_cost
from thalweg.flows.noise import CONFIDENCE, Noise, indistinct, noise_of
from thalweg.flows.progress import Row
from thalweg.flows.search_result import to_paste
from thalweg.flows.trials import Trial, Trials, objectives
from thalweg.storage.run_sharing import named

TRIALS_SHOWN = 10
VALUES_SHOWN = 60  # characters of a trial's values in the live table
LATELY = 5  # epochs from which the time left is told
STATES = {"cut": "stopped", "paused": "waiting"}


def rows(trials: Trials, count: int) -> list[Row]:
    """Give the rows of a live table.

    Parameters
    ----------
    count : of trials, those not drawn yet included.
    """
    shown = [_row(f"trial {trial.trial}", trials, trial) for trial in trials.found.values()]
    shown += [
        _row(f"trial {each.repeats}, seed {each.seed}", trials, each) for each in trials.repeated.values()
    ]
    missing = count + trials.search.repeats - len(shown)
    return shown + [Row("another trial", "waiting")] * max(missing, 0)


def _row(name: str, trials: Trials, trial: Trial) -> Row:
    epochs = trials.epochs_of(trial)
    lately = [float(row.get("seconds") or 0.0) for row in trial.rows[-LATELY:]]
    left = fmean(lately) * (epochs - trial.epoch) if lately and trial.state == "running" else None
    return Row(
        f"{name}: {values_text(trials.values(trial))[:VALUES_SHOWN]}",
        STATES.get(trial.state, trial.state),
        trial.epoch,
        epochs,
        trial.loss,
        trial.score,
        trial.message,
        left,
    )


def values_text(values: Mapping[str, Any]) -> str:
    """Give the values of a trial on one line."""
    return ", ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in values.items())


def show_trials(trials: Trials, folder: Path) -> None:
    """Print the best trials, what was found out about them, and the YAML to paste."""
    best, noise, front = trials.best(), noise_of(trials), trials.pareto()
    out = console()
    out.print(_table(trials, trials.ranked()[:TRIALS_SHOWN], noise))
    if best is None:
        out.print("\nno trial came to a score", style="red")
        return
    if len(trials.search.objectives) > 1:
        others = ", ".join(f"trial {trial.trial}" for trial in front)
        out.print(f"\nPareto set of {', '.join(trials.search.objectives)} (*): {others}", markup=False)
        left = [trial for trial in front if trial not in trials.ranked()[:TRIALS_SHOWN]]
        if left:
            out.print(_table(trials, left, noise))
    if noise is not None:
        _show_noise(trials, noise)
    cost = total_cost(path.parent for path in (folder / "search").glob("*/*/ledger.json"))
    if cost.attempts:
        out.print(f"\ntook {cost_text(cost.summary())}", markup=False)
    place = named(folder / "search.csv")
    out.print(
        f"\nbest of {plural(len(trials.found), 'trial')} (all in {place}); to paste:\n",
        markup=False,
    )
    out.print(to_paste(trials.values(best)), end="", markup=False)
    if len(trials.schedule(best)) > 1:
        out.print(
            "# at the end: the values changed while it trained, see `schedule` in search.json", markup=False
        )


def _table(trials: Trials, shown: list[Trial], noise: Noise | None) -> Any:
    same = indistinct(trials, noise)
    front = trials.pareto() if len(trials.search.objectives) > 1 else []
    others = [name for name in trials.search.objectives if name != "validation"]
    right = ("validation", *others, "epoch", "time s")
    made = table("trial", "", "state", *right, "values", right=right)
    for trial in shown:
        marks = "*" * (trial in front) + "~" * (trial in same)
        values = ", ".join(f"{key} {_short(value)}" for key, value in trials.values(trial).items())
        known = objectives(trials.search, trial)
        made.add_row(
            str(trial.trial), marks, trial.state, number(trial.score),
            *(_objective(name, known[name]) for name in others),
            str(trial.epoch), f"{trial.seconds:.1f}", trial.message or values,
        )  # fmt: skip
    return made


def _show_noise(trials: Trials, noise: Noise) -> None:
    out, best = console(), trials.best()
    assert best is not None  # there is no noise without one
    same = indistinct(trials, noise)
    out.print(
        f"\ntrial {best.trial} again with {plural(len(noise.scores), 'other seed')}: mean {noise.mean:.3f}, "
        f"standard deviation {noise.spread:.3f}",
        markup=False,
    )
    which = plural(len(same), "trial") + (" is" if len(same) == 1 else " are")
    out.print(
        f"differences up to {noise.floor:.3f} may be the seed's doing ({CONFIDENCE:.0%}): {which} not to be "
        f"told from it{' (~)' if same else ''}",
        markup=False,
    )


def _objective(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if name == "gap" else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
