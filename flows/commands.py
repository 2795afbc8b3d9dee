"""What each command does; every function takes the parsed options and gives the exit code."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.flows import worker
from thalweg.flows.console import print_json
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from thalweg.storage.results import Run

DONE, FAILED, BAD_INPUT = 0, 1, 2


def check(options: Namespace) -> int:
    """Print every mistake, or what the experiment would run."""
    from thalweg.flows import check as checking
    from thalweg.flows import check_view

    worker.enter(str(Path.cwd()))
    checked = checking.check(options.experiment, changes(options))
    if options.json:
        found = {"problems": checked.problems, "warnings": checked.warnings}
        print_json({**found, "plan": check_view.plan(checked)})
        return BAD_INPUT if checked.problems else DONE
    checked.raise_problems()
    check_view.describe(checked)
    return DONE


def ingest(options: Namespace) -> int:
    """Bring a store up to its source and print what its quality check found; or only the plan."""
    from thalweg.flows.ingestion import ingest_file, plan_file

    worker.enter(str(Path.cwd()))
    given = {"workers": options.workers, "late_days": options.late_days, "full": options.full}
    if options.dry_run:
        from thalweg.flows import ingest_progress

        plan = plan_file(options.spec, changes(options), **given)
        if options.json:
            print_json(ingest_progress.plan_content(plan))
        else:
            print("\n".join(ingest_progress.plan_lines(plan)))
        return DONE
    result = ingest_file(options.spec, changes(options), **given)
    if options.json:
        print_json(result.summary())
    else:
        print(result.text())
    return DONE


def schedule(options: Namespace) -> int:
    """Run what a file describes by the clock, on a Prefect server or in this process."""
    from thalweg.flows.services import schedule_command

    worker.enter(str(Path.cwd()))
    return schedule_command.schedule(options)


def up(options: Namespace) -> int:
    """Start the services of a lab."""
    from thalweg.flows.services import control

    return control.up(options)


def down(options: Namespace) -> int:
    """End them."""
    from thalweg.flows.services import control

    return control.down(options)


def status(options: Namespace) -> int:
    """Show how they do."""
    from thalweg.flows.services import control

    return control.status(options)


def metrics(options: Namespace) -> int:
    """Serve metrics, or print them once."""
    from thalweg.flows.services import metrics, metrics_server

    if options.once:
        print(metrics.text(metrics.collect(options.runs)), end="")
        return DONE
    return metrics_server.serve(options.runs, options.host, options.port, keep=options.keep)


def doctor(options: Namespace) -> int:
    """Check the installation and the machine; 1 when something is wrong."""
    from thalweg.flows.services import doctor

    return doctor.doctor(options)


def data(options: Namespace) -> int:
    """List, compare, name and restore the versions of a store."""
    from thalweg.flows import data_commands

    worker.enter(str(Path.cwd()))
    return data_commands.data(options)


def run(options: Namespace) -> int:
    """Run an experiment and print its result table; 1 when a cell failed."""
    from thalweg.flows import outcome_view
    from thalweg.flows.run import Session, run_experiment

    worker.enter(str(Path.cwd()))
    given = {"force": options.force, "blind": options.blind, "changes": changes(options)}
    session = Session(options.experiment, options.runs, **given)
    run_experiment(session)
    if options.json:
        print_json(outcome_view.as_json(session))
    else:
        outcome_view.show(session)
    return FAILED if session.failed else DONE


def search(options: Namespace) -> int:
    """Search, then print the best trials and what to paste into the experiment."""
    from thalweg.flows.searching import search_experiment, show_trials

    worker.enter(str(Path.cwd()))
    trials, folder = search_experiment(
        options.experiment, options.runs, changes(options), yes=options.yes, force=options.force
    )
    if options.json:
        print((folder / "search.json").read_text(encoding="utf-8"), end="")
    else:
        show_trials(trials, folder)
    return DONE if trials.best() is not None else FAILED


def runs(options: Namespace) -> int:
    """List runs."""
    from thalweg.flows import results_view, run_root

    run_root.read(options)
    rows = results_view.run_rows(options.runs, options.experiment)
    if options.json:
        print_json(rows)
    else:
        results_view.show_rows(rows, options.runs)
    return DONE


def show(options: Namespace) -> int:
    """Show one run, or how all of an experiment's did."""
    from thalweg.flows import experiment_view, results_view, run_root, search_found, search_view

    run_root.read(options)
    runs = experiment_view.runs_of(options.runs, options.run)
    search = search_found.search_of(options.runs, options.run)
    if runs or search:
        whole = experiment_view.describe_experiment(runs) if runs else {"experiment": options.run}
        if search:
            whole["search"] = search_found.describe(*search)
        if options.json:
            print_json(whole)
            return DONE
        if runs:
            experiment_view.show_experiment(whole)
        if search:
            print(f"{options.run}: {search_found.text(search[0])}")
            search_view.show_trials(*search)
        return DONE
    content = results_view.describe_run(options.runs, options.run)
    if options.json:
        print_json(content)
    else:
        results_view.show_run(content)
    return DONE


def reproduce(options: Namespace) -> int:
    """Make a run again from its manifest; 1 when any metric comes out differently."""
    from thalweg.flows import run_root
    from thalweg.flows.reproduction import reproduce

    worker.enter(str(Path.cwd()))
    run_root.read(options)
    result = reproduce(options.runs, options.run)
    if options.json:
        print_json(result.summary())
    else:
        print(result.text())
    return DONE if result.same else FAILED


def compare(options: Namespace) -> int:
    """Compare runs."""
    from thalweg.flows import comparison, run_root

    run_root.read(options)
    if options.guarded:
        from thalweg.flows import guarded

        rows = comparison.compare_guarded(options.runs, options.names, options.metric)
        if options.json:
            print_json(rows)
        else:
            guarded.show(rows)
        return DONE
    content = comparison.compare(options.runs, options.names, options.metric)
    if options.json:
        print_json(content)
    else:
        comparison.show(content)
    return DONE


def evaluate(options: Namespace) -> int:
    """Evaluate runs that are done; 1 when a product of one could not be made."""
    from thalweg.flows import evaluation_view, run_root

    worker.enter(str(Path.cwd()))
    with run_root.evaluated(options, options.names):
        return FAILED if evaluation_view.evaluate(options, changes(options)) else DONE


def report(options: Namespace) -> int:
    """Evaluate an experiment and write its report; 1 when something could not be evaluated."""
    from thalweg.flows import run_root
    from thalweg.flows.names import refuse_unknown_metric
    from thalweg.flows.reporting.experiment import evaluate_all, write_report

    worker.enter(str(Path.cwd()))
    refuse_unknown_metric(options.metric)  # to evaluate takes minutes
    with run_root.evaluated(options, [options.experiment]):
        found = [] if options.quick else evaluate_all(options.runs, options.experiment, on_run=_say_run)
        file = write_report(options.runs, options.experiment, options.output, options.metric)
    failed = {f"{each.run.id}: {name}": why for each in found for name, why in each.failed.items()}
    for what, why in failed.items():
        print(f"{what}: {why}", file=sys.stderr)
    if options.json:
        print_json({"report": str(file), "failed": failed})
    else:
        print(file)
    return FAILED if failed else DONE


def _say_run(run: Run) -> None:
    print(f"evaluating {run.id}", file=sys.stderr, flush=True)


def submit(options: Namespace) -> int:
    """Submit an experiment to a cluster; the job's code when it was waited for."""
    from thalweg.flows import job_commands

    worker.enter(str(Path.cwd()))
    return job_commands.submit(options, changes(options))


def jobs(options: Namespace) -> int:
    """List the jobs of a cluster."""
    from thalweg.flows import job_commands

    return job_commands.jobs(options)


def logs(options: Namespace) -> int:
    """Print what a job says."""
    from thalweg.flows import job_commands

    return job_commands.logs(options)


def cancel(options: Namespace) -> int:
    """Stop a job."""
    from thalweg.flows import job_commands

    return job_commands.cancel(options)


def dashboard(options: Namespace) -> int:
    """Serve the dashboard until it is stopped."""
    from thalweg.flows.dashboard_server import Sharing, serve

    sharing = Sharing(options.host, options.submit, options.public, options.url)
    return serve(options.runs, options.port, browser=not options.no_browser, sharing=sharing)


def changes(options: Namespace) -> dict[str, Any]:
    """Give the ``--set KEY=VALUE`` options; values are read as YAML."""
    from thalweg.flows.specfile import value

    found = {}
    for text in options.changes:
        key, sign, written = text.partition("=")
        if not sign:
            raise InputError(f"--set {text}: write KEY=VALUE, such as training.epochs=5")
        found[key.strip()] = value(written, f"--set {key}")
    return found


def list_(options: Namespace) -> int:
    """List what an experiment can name."""
    from thalweg.flows import listing

    rows = listing.rows(options.what)
    if options.json:
        print_json(rows)
    else:
        listing.show(options.what, rows)
    return DONE


COMMANDS = {
    "check": check,
    "ingest": ingest,
    "schedule": schedule,
    "up": up,
    "down": down,
    "status": status,
    "metrics": metrics,
    "doctor": doctor,
    "data": data,
    "run": run,
    "search": search,
    "submit": submit,
    "jobs": jobs,
    "logs": logs,
    "cancel": cancel,
    "list": list_,
    "runs": runs,
    "show": show,
    "compare": compare,
    "evaluate": evaluate,
    "report": report,
    "reproduce": reproduce,
    "dashboard": dashboard,
}
