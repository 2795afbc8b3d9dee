"""`thalweg runs` and `thalweg show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from thalweg.flows import look_count
from thalweg.flows.console import console, interval, number, part_text, table
from thalweg.flows.experiment_view import cost_text, total_cost
from thalweg.flows.ledger import cost_of, silent_seconds
from thalweg.flows.names import nearest
from thalweg.flows.progress import COLOURS, duration
from thalweg.storage import run_sharing
from thalweg.storage.errors import InputError
from thalweg.storage.results import Run, find_run, find_runs

SILENT_SECONDS = 60.0  # a run that lives writes its ledger every few seconds
SHOWN_METRICS = ("nse", "kge_2009", "kge_2012", "rmse", "bias", "correlation", "log_nse", "fhv", "flv", "fms")


def run_rows(root: Path, experiment: str | None = None) -> list[dict[str, Any]]:
    """Give one mapping a run.

    Raises
    ------
    InputError
        When there is no such experiment; the nearest is named.
    """
    runs = find_runs(root, experiment)
    if experiment is not None and not runs:
        known = sorted({run.experiment for run in find_runs(root)})
        raise InputError(f"{root} has no runs of {experiment!r}{nearest(experiment, known)}")
    look_count.look(root, runs, "runs")
    return [_row(run) for run in runs]


def _row(run: Run) -> dict[str, Any]:
    metrics = run.metrics()
    status = run.status
    return {
        "run": run.id,
        "state": run.state,
        "kind": run.kind,
        "epoch": status.get("epoch"),
        "epochs": status.get("epochs"),
        "sites": len(metrics) or None,
        "nse": float(metrics["nse"].median()) if "nse" in metrics and len(metrics) else None,
        "seconds": (status.get("seconds") or {}).get("total"),
        "updated": status.get("updated"),
        "message": _silence(run) or str(status.get("message") or "; ".join(run.problems)),
        "cost": None if (cost := cost_of(run.path)) is None else cost.summary(),
    }


def _silence(run: Run) -> str:
    """Say when a run that should be running is not heard of: it was killed, and nobody wrote so."""
    seconds = silent_seconds(run.path) if run.state == "running" else None
    long = seconds is not None and seconds > SILENT_SECONDS
    return f"nothing heard of it for {duration(seconds or 0.0)}" if long else ""


def show_rows(rows: list[dict[str, Any]], root: Path) -> None:
    """Print the list of runs."""
    if not rows:
        console().print(f"no runs in {run_sharing.named(root)}; `thalweg run EXPERIMENT` makes some")
        return
    right = ("epoch", "sites", "NSE", "time")
    messages = ("",) if any(row["message"] for row in rows) else ()
    made = table("run", "state", *right, *messages, right=right)
    for column in made.columns[: 2 + len(right)]:
        column.no_wrap = True
    for row in rows:
        made.add_row(
            row["run"],
            row["state"],
            f"{row['epoch']}/{row['epochs']}" if row["epochs"] else "",
            str(row["sites"] or ""),
            number(row["nse"]),
            duration(row["seconds"]) if row["seconds"] is not None else "",
            *(row["message"] for _ in messages),
            style=COLOURS.get(row["state"]) if row["state"] != "done" else None,
        )
    console().print(made)
    cost = total_cost(root / row["run"] for row in rows)
    if cost.attempts:
        console().print(f"took {cost_text(cost.summary())}", markup=False)


def describe_run(root: Path, name: str) -> dict[str, Any]:
    """Give all that `thalweg show` says of one run.

    Raises
    ------
    InputError
        When there is no such run.
    """
    from thalweg.evaluation.intervals import median_interval
    from thalweg.evaluation.summary import baseflow_check
    from thalweg.storage.results import collect_metrics

    run = find_run(root, name)
    metrics = run.metrics()
    skill = {
        key: median_interval(metrics[key].to_numpy())._asdict()
        for key in SHOWN_METRICS
        if key in metrics.columns
    }
    baseflow = baseflow_check(collect_metrics([run])).to_dict("records")
    manifest = run.manifest
    config = manifest.get("config") or {}
    return {
        "run": run.id,
        "path": run_sharing.named(run.path),
        "state": run.state,
        "status": run.status,
        "problems": run.problems,
        "kind": run.kind,
        "model": (config.get("models") or {}).get(run.model),
        "training": _training(config, run.model),
        "store": manifest.get("store"),
        "snapshot": manifest.get("snapshot"),
        "train": manifest.get("train"),
        "test": manifest.get("test"),
        "weights_count": manifest.get("weights_count"),
        "versions": manifest.get("versions"),
        "git": manifest.get("git"),
        "sites": len(metrics),
        "skill": skill,
        "baseflow": baseflow[0] if baseflow else None,
        "cost": None if (cost := cost_of(run.path)) is None else cost.summary(),
        "looks": next(iter(look_count.look(root, [run], "show")), None),
    }


def _training(config: dict[str, Any], model: str) -> dict[str, Any]:
    own = ((config.get("models") or {}).get(model) or {}).get("training") or {}
    return {**(config.get("training") or {}), **own}


def show_run(content: dict[str, Any]) -> None:
    """Print one run."""
    out = console()
    status = content["status"]
    out.print(f"{content['run']}  [{COLOURS.get(content['state'], 'white')}]{content['state']}[/]")
    facts = table("", "")
    facts.show_header = False
    for name, text in _facts(content, status):
        if text:
            facts.add_row(name, text)
    out.print(facts)
    if content["skill"]:
        made = table(
            "metric", "median [90 %]", right=("median [90 %]",), title=f"\nover {content['sites']} sites"
        )
        for name, values in content["skill"].items():
            made.add_row(name, interval(values))
        out.print(made)
    if content["baseflow"]:
        found = content["baseflow"]
        text = f"baseflow index over sites: correlation {number(found['correlation'], 2) or 'unknown'}"
        reason = f": {found['reason']}" if found["reason"] else ""
        out.print(f"\n{text}{reason}", style="yellow" if found["flag"] else None)


def _facts(content: dict[str, Any], status: dict[str, Any]) -> list[tuple[str, str]]:
    seconds = status.get("seconds") or {}
    took = ", ".join(f"{name} {duration(value)}" for name, value in seconds.items() if value is not None)
    epochs = f"{status.get('epoch') or 0} of {status['epochs']}" if status.get("epochs") else ""
    scores = f"loss {number(status.get('loss'), 4)}" if number(status.get("loss")) else ""
    scores += f", validation {number(status.get('validation'))}" if number(status.get("validation")) else ""
    attempts = status.get("attempts") or 0
    return [
        ("reason", str(status.get("message") or "") if content["state"] != "done" else ""),
        ("problems", "; ".join(content["problems"])),
        ("model", _brief(content["model"])),
        ("training", _brief(content["training"]) if content["kind"] != "floor" else ""),
        ("weights", f"{content['weights_count']:,}" if content["weights_count"] else ""),
        ("epochs", ", ".join(part for part in (epochs, scores) if part)),
        ("trained on", part_text(content["train"])),
        ("tested on", part_text(content["test"])),
        ("looks", str((content["looks"] or {}).get("text", ""))),
        (
            "store",
            f"{content['store']}, snapshot {str(content['snapshot'])[:12]}" if content["store"] else "",
        ),
        ("time", took),
        ("cost", cost_text(content["cost"]) if content["cost"] else ""),
        ("attempts", str(attempts) if attempts > 1 else ""),
        ("versions", _brief(content["versions"])),
        ("folder", content["path"]),
    ]


def _brief(mapping: dict[str, Any] | None) -> str:
    shown = {key: value for key, value in (mapping or {}).items() if value not in (None, {}, [])}
    return ", ".join(
        f"{key} {json.dumps(value) if isinstance(value, (dict, list)) else value}"
        for key, value in shown.items()
    )
