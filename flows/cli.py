"""The command line: `thalweg COMMAND`. Heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from thalweg.flows.data_parser import add_actions
from thalweg.flows.job_parser import add_job_commands
from thalweg.flows.services.parser import Command, add_service_commands, port

DONE, FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

EPILOG = """\
Start with an experiment, a YAML file:   thalweg check experiment.yaml
                                         thalweg run experiment.yaml
                                         thalweg dashboard
Exit codes: 0 done, 1 failed, 2 bad input."""


def tell(error: Exception, runs: Path | None) -> int:
    """Say in a line what went wrong, and give the exit code.

    Parameters
    ----------
    runs : folder of all runs that the command was given.
    """
    from thalweg.storage.atomic import out_of_room
    from thalweg.storage.errors import InputError, UnavailableError, UnsentError
    from thalweg.storage.run_sharing import named

    if isinstance(error, InputError | UnavailableError):
        # of runs in an object store people know the address, not the copy
        text = str(error)
        if runs is not None and not isinstance(error, UnsentError):
            text = text.replace(str(runs), named(runs))
        print(text, file=sys.stderr)
        return BAD_INPUT if isinstance(error, InputError) else FAILED
    text = " ".join(str(error).split()) or "no message"
    if out_of_room(error):
        text = "no room left on the disk; earlier runs are as they were"
    print(f"thalweg: {type(error).__name__}: {text} (--debug shows where)", file=sys.stderr)
    return FAILED


def main(
    arguments: Sequence[str] | None = None, tell: Callable[[Exception, Path | None], int] = tell
) -> NoReturn:
    """Run the command line and exit with its code.

    Parameters
    ----------
    tell : says what went wrong, and gives the code.
    """
    signal.signal(signal.SIGTERM, _terminated)
    options = parser().parse_args(arguments)
    _quiet_libraries()
    code: Any = FAILED
    try:
        commands = import_module("thalweg.flows.commands")
        code = commands.COMMANDS[options.command](options)
    except KeyboardInterrupt:
        print("thalweg: interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except SystemExit as error:
        code = error.code
    except Exception as error:
        if options.debug:
            import traceback

            traceback.print_exc()
        code = FAILED if _signals else tell(error, getattr(options, "runs", None))
    if _signals:
        print("thalweg: terminated", file=sys.stderr)
        code = TERMINATED
    sys.stdout.flush()
    sys.exit(code)


_signals: list[int] = []


def _terminated(number: int, frame: object) -> NoReturn:
    _signals.append(number)  # Ray changes the exit code on its way
    sys.exit(128 + number)


def _quiet_libraries() -> None:
    """Nothing is sent to anybody; set before the libraries that would are imported."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def parser() -> argparse.ArgumentParser:
    """Give the parser of all commands."""
    root = argparse.ArgumentParser(
        prog="thalweg",
        description="Physics, neural networks and their hybrids put to the same test.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return added

    _add_experiment_commands(command)
    add_job_commands(command, (_add_experiment, _add_runs, _add_json))
    add_service_commands(command, _add_json, _add_runs)
    _add_list(command)
    _add_result_commands(command)
    _add_dashboard(command)
    return root


def _add_experiment_commands(command: Command) -> None:
    """From data and an experiment to runs."""
    added = command("check", "explain every mistake in an experiment, and what it would run")
    _add_experiment(added)
    _add_json(added)

    added = command(
        "ingest", "make or update the store of an experiment, or of a file with `store` and `source`"
    )
    added.add_argument("spec", type=Path, metavar="SPEC", help="a YAML file")
    added.add_argument("--dry-run", action="store_true", help="print what would be read, and change nothing")
    added.add_argument("--full", action="store_true", help="read everything again")
    added.add_argument("--workers", type=_count, help="processes that read (default: one a CPU)")
    added.add_argument(
        "--late-days", type=_whole, help="days at the end that are read again though they look the same"
    )
    _add_set(added)
    _add_json(added)

    add_actions(command("data", "list, compare, name and restore the versions of a store"))

    added = command(
        "run", "ingest if needed, train and test every model, and report; goes on where it stopped"
    )
    _add_experiment(added)
    _add_runs(added)
    added.add_argument(
        "--force", action="store_true", help="replace runs of another configuration under this name"
    )
    added.add_argument("--blind", action="store_true", help="show no scores of the tests")
    _add_json(added)

    added = command("search", "search for better values of any keys, as the experiment's `search` says")
    _add_experiment(added)
    _add_runs(added)
    added.add_argument("--yes", action="store_true", help="allow more than 1,000 trials")
    added.add_argument(
        "--force", action="store_true", help="replace another search that was made under this name"
    )
    _add_json(added)


def _add_list(command: Command) -> None:
    added = command("list", "list what an experiment can name")
    added.add_argument(
        "what", choices=("models", "processes", "splits", "sources", "losses", "heads", "metrics")
    )
    _add_json(added)


def _add_result_commands(command: Command) -> None:
    """Of runs that are there."""
    added = command("runs", "list runs")
    added.add_argument("experiment", nargs="?", help="of this experiment alone")
    _add_runs(added)
    _add_json(added)

    added = command("show", "show one run, or what of an experiment is done, what failed and why")
    added.add_argument("run", metavar="RUN", help="EXPERIMENT/RUN or the beginning of it, or EXPERIMENT")
    _add_runs(added)
    _add_json(added)

    added = command("compare", "compare runs, or the models of an experiment, on the sites they share")
    added.add_argument(
        "names", nargs="+", metavar="RUN", help="two runs or more, or one experiment for its models"
    )
    added.add_argument("--metric", default="nse", help="see `thalweg list metrics` (default: nse)")
    added.add_argument(
        "--guarded",
        action="store_true",
        help="one experiment, without showing scores of the test: to choose by",
    )
    _add_runs(added)
    _add_json(added)

    added = command(
        "evaluate", "compute all scores, signatures, strata and intervals of runs; pool their seeds"
    )
    added.add_argument(
        "names", nargs="+", metavar="RUN", help="a run, or an experiment's name for all of its runs"
    )
    added.add_argument("--only", action="append", default=[], metavar="PRODUCT", help="may be given again")
    added.add_argument("--force", action="store_true", help="make what is there again")
    added.add_argument("--blind", action="store_true", help="show no scores of the tests")
    _add_set(added)
    _add_runs(added)
    _add_json(added)

    added = command("report", "evaluate an experiment and write what came of it as one web page")
    added.add_argument("experiment", metavar="NAME", help="the experiment's name, as `thalweg runs` lists it")
    added.add_argument("--output", type=Path, metavar="FILE", help="(default: report.html in its folder)")
    added.add_argument("--metric", default="nse", help="see `thalweg list metrics` (default: nse)")
    added.add_argument("--quick", action="store_true", help="show only what was evaluated before")
    _add_runs(added)
    _add_json(added)

    added = command("reproduce", "make a run again, on the version of the store that it read")
    added.add_argument("run", metavar="RUN", help="EXPERIMENT/RUN or the beginning of it")
    _add_runs(added)
    _add_json(added)


def _add_dashboard(command: Command) -> None:
    added = command("dashboard", "open the web page on this machine")
    _add_runs(added)
    added.add_argument("--port", type=port, help="(default: 8501, or the next one that is free)")
    added.add_argument("--no-browser", action="store_true", help="only print the address")
    added.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="to listen at (default: this machine alone)"
    )
    added.add_argument(
        "--submit",
        action="store_true",
        help="let who is on this machine start experiments from the page (else: after login alone)",
    )
    added.add_argument("--public", action="store_true", help="let whoever reaches it read without a login")
    added.add_argument("--url", help="as others see it, where a proxy is in front")


def _count(text: str) -> int:
    return _whole(text, least=1)


def _whole(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number of at least {least} is needed")
    return int(text)


def _runs(text: str) -> Path:
    """Give the folder of all runs; of those in an object store it is a copy."""
    if "://" not in text and not text.startswith("s3:"):
        return Path(text)
    from thalweg.storage.run_sharing import opened

    try:
        return opened(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Version(argparse.Action):
    """Prints the version; looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        from thalweg import __version__

        print(f"thalweg {__version__}")
        parser.exit()


def _add_experiment(added: argparse.ArgumentParser) -> None:
    added.add_argument("experiment", type=Path, metavar="EXPERIMENT", help="a YAML file")
    _add_set(added)


def _add_set(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key, such as training.epochs=5; may be given again",
    )


def _add_runs(added: argparse.ArgumentParser) -> None:
    folder = os.environ.get("THALWEG_RUNS") or "runs"
    text = f"folder of all runs, or s3://bucket/prefix (default: {folder})"
    added.add_argument("--runs", type=_runs, default=folder, metavar="PLACE", help=text)


def _add_json(added: argparse.ArgumentParser) -> None:
    added.add_argument("--json", action="store_true", help="print JSON, for scripts")


if __name__ == "__main__":
    main()
