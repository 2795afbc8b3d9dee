"""The command line itself: start-up, exit codes, one line an error."""

import json
import os
import subprocess
import sys
import time

import pytest

from thalweg.flows import cli, commands
from thalweg.storage.errors import InputError
from thalweg.storage.store import ingest

THALWEG = [sys.executable, "-m", "thalweg.flows.cli"]


def run(*arguments, **options):
    return subprocess.run(
        [*THALWEG, *arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )


def exit_code(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def test_help_is_quick_and_names_every_command():
    started = time.process_time(), os.times().children_user
    found = run("--help")
    took = os.times().children_user - started[1]
    assert found.returncode == 0
    for name in commands.COMMANDS:
        assert f"    {name}" in found.stdout
    assert took < 0.5


def test_nothing_heavy_is_imported_for_the_parser():
    heavy = ("torch", "ray", "prefect", "xarray", "pandas", "pydantic", "rich")
    code = (
        f"import sys, thalweg.flows.cli as cli; cli.parser(); print([m for m in {heavy} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_version(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("thalweg 0.")


def test_check(content, write, capsys):
    path = str(write(content))
    assert exit_code("check", path) == 0
    assert "9 cells" in capsys.readouterr().out
    assert exit_code("check", path, "--set", "training.epochs=x") == 2
    assert capsys.readouterr().err == "training.epochs: must be a whole number, not text 'x'\n"
    assert exit_code("check", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["plan"]["cells"] == 9
    assert exit_code("check", path, "--json", "--set", "data.target=x") == 2
    assert "is not in the store" in json.loads(capsys.readouterr().out)["problems"][0]


def test_bad_input_is_two_and_one_line(write, capsys):
    assert exit_code("check", "missing.yaml") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("missing.yaml: no such file")
    assert captured.err.count("\n") == 1
    for arguments in (["run", "missing.yaml"], ["search", "missing.yaml"], ["ingest", "missing.yaml"]):
        assert exit_code(*arguments) == 2
        assert capsys.readouterr().err.startswith("missing.yaml: no such file")
    assert exit_code("check", str(write("name: x\n")), "--set", "epochs") == 2
    assert "write KEY=VALUE" in capsys.readouterr().err
    assert exit_code("list", "modles") == 2
    assert exit_code("rum") == 2


def test_a_failure_is_one_line_unless_debugged(monkeypatch, capsys):
    def broken(options):
        raise RuntimeError("something\nbroke")

    monkeypatch.setitem(commands.COMMANDS, "runs", broken)
    assert exit_code("runs") == 1
    assert capsys.readouterr().err == "thalweg: RuntimeError: something broke (--debug shows where)\n"
    assert exit_code("runs", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err

    def full(options):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(commands.COMMANDS, "runs", full)
    assert exit_code("runs") == 1
    assert "no room left on the disk; earlier runs are as they were" in capsys.readouterr().err


def test_interruption(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.COMMANDS, "runs", interrupted)
    assert exit_code("runs") == 130
    assert capsys.readouterr().err == "thalweg: interrupted\n"


def test_a_reader_that_leaves_early():
    found = subprocess.run(
        f"{sys.executable} -m thalweg.flows.cli list processes | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    assert found.stdout.startswith("name")


@pytest.mark.parametrize("what", ["models", "processes", "sources", "losses", "metrics"])
def test_list(what, capsys):
    assert exit_code("list", what) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1
    assert exit_code("list", what, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["description"] for row in rows)


@pytest.fixture
def on_the_server(prefect_server, monkeypatch):
    """Ingests are known to the server of the tests, rather than each to one that it starts."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)


def test_ingest(write, folder, capsys, on_the_server):
    source = {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 2}
    path = str(write({"store": "data/twin.zarr", "source": source}))
    assert exit_code("ingest", path) == 0
    assert "data/twin.zarr: 4 sites, 2000-01-01 to 2001-12-30" in capsys.readouterr().out
    assert exit_code("ingest", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sites"] == 4
    other = str(write({"store": "data/twin.zarr", "source": {**source, "sites": 6}}, "other.yaml"))
    assert exit_code("ingest", other) == 2
    assert "made from" in capsys.readouterr().err


def test_options_of_an_ingest(write, folder, capsys):
    """Those of the command count before those of the file, also none."""
    source = {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 2}
    path = str(write({"store": "twin.zarr", "source": source, "ingest": {"late_days": 9}}))
    ingest(folder / "twin.zarr", source)
    for arguments, reasons in (([], {"late": 4}), (["--late-days", "0"], {"same": 4})):
        assert exit_code("ingest", path, "--dry-run", "--json", *arguments) == 0
        assert json.loads(capsys.readouterr().out)["reasons"] == reasons
    assert exit_code("ingest", path, "--late-days", "-1") == 2
    assert exit_code("ingest", path, "--workers", "0") == 2
    assert "'0': a whole number of at least 1 is needed" in capsys.readouterr().err


def test_ingest_of_an_experiment_with_other_values(content, write, folder, capsys, on_the_server):
    source = {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 2}
    content["data"] = {"store": "first.zarr", "source": source}
    path = str(write(content))
    assert exit_code("ingest", path, "--set", "data.store=second.zarr", "--set", "data.source.sites=6") == 0
    assert "second.zarr: 6 sites" in capsys.readouterr().out
    assert not (folder / "first.zarr").exists()
    alone = str(write({"store": "x.zarr", "source": source}, "alone.yaml"))
    assert exit_code("ingest", alone, "--set", "store=y.zarr") == 2
    assert "--set changes the keys of an experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"store": "x.zarr", "sorce": {}}, "sorce: unknown key; did you mean 'source'?"),
        ({"store": "x.zarr"}, "source: is missing"),
        ({"data": {"source": {"kind": "caravan"}}}, "data.store: is missing"),
        ({"store": "x.zarr", "source": {"kind": "caravan", "path": "nowhere"}}, "nowhere"),
        ({"store": "x.zarr", "source": {"kind": "caravn"}}, "did you mean"),
    ],
)
def test_ingest_refuses(content, says, write, folder, capsys):
    assert exit_code("ingest", str(write(content))) == 2
    assert says in capsys.readouterr().err
    assert not (folder / "x.zarr").exists()


def test_a_process_of_the_working_directory(content, write, folder, capsys, monkeypatch):
    (folder / "my_lab.py").write_text(
        "from thalweg.models.processes.hbv import Hbv\n\n\nclass Mine(Hbv):\n    pass\n"
    )
    content["models"]["hybrid"]["process"] = "my_lab:Mine"
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert exit_code("check", str(write(content))) == 0
    content["models"]["hybrid"]["process"] = "my_lab:Other"
    assert exit_code("check", str(write(content))) == 2
    assert "'my_lab:Other' cannot be imported" in capsys.readouterr().err


def test_errors_are_input_errors_or_failures():
    assert cli.tell(InputError("a: b"), None) == cli.BAD_INPUT
    assert cli.tell(ValueError("a"), None) == cli.FAILED


@pytest.mark.parametrize("command", ["dashboard", "metrics"])
@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none(command, port, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([command, "--port", port])
    assert f"argument --port: '{port}': is no port; take one from 1 to 65535" in capsys.readouterr().err
