"""What schedules run: what is tried again and what not, what is kept, and how they are made and removed."""

import os
import re
import subprocess
import sys
import time
from argparse import Namespace
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace
from uuid import UUID

import pytest
from copied_files import cut_until_it_failed, write_rivers
from waiting import free_port

from thalweg.flows.prefect_settings import prefect_settings
from thalweg.flows.services import deploying, schedule_command
from thalweg.storage.errors import InputError, UnavailableError
from thalweg.storage.sources import SourceChanged

SOURCE = {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 3}


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionError("reset by peer"), True),
        (UnavailableError("no Ray cluster answers"), True),
        (SourceChanged("a.csv: changed while it was read"), True),
        (InputError("line 3 is cut off"), False),
        (PermissionError(13, "denied"), False),
        (OSError(28, "No space left on device"), False),
        (ZeroDivisionError("a mistake"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, again):
    from thalweg.flows.services.retrying import JobLostError, WorkFailedError, passes

    assert passes(None, None, SimpleNamespace(data=error)) is again
    assert passes(None, None, SimpleNamespace(data=JobLostError("killed"))) is True
    assert passes(None, None, SimpleNamespace(data=WorkFailedError("failed"))) is False


def test_an_ingest_whose_files_were_being_copied_is_tried_again(write, folder, prefect_server, monkeypatch):
    """The first attempt finds a file that is cut off; when the next one begins it is whole."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    from prefect import flow

    from thalweg.flows.services import updating

    tables = write_rivers(folder)
    source = {"kind": "caravan", "path": "sample", "sites": [each.stem for each in tables]}
    spec = write({"store": "a.zarr", "source": source}, "rivers.yaml")
    file = tables[0]
    failed = cut_until_it_failed(file, monkeypatch)

    @flow
    def night():
        return updating.ingest(spec, 1.0)

    with prefect_settings(prefect_server, folder):
        assert "a.zarr: 2 sites" in night()
    assert len(failed) == 1
    assert f"{file.name}: the last line has no end" in failed[0]


def test_what_a_file_describes(write, content, folder):
    Path("sub").mkdir()
    experiment = write(content)
    assert schedule_command.kind_of(experiment) == "experiment"
    assert schedule_command.kind_of(write({"store": "a.zarr", "source": SOURCE}, "rivers.yaml")) == "ingest"
    content["data"] = {"store": "b.zarr", "source": SOURCE}
    experiment = write(content)
    assert schedule_command.kind_of(experiment, ingest=True) == "ingest"
    chain = write({"nightly": {"experiment": str(experiment), "model": "hybrid"}}, "nightly.yaml")
    assert schedule_command.kind_of(chain) == "nightly"
    content["models"] = {"physics": {"kind": "calibrated", "proces": "hbv"}}
    with pytest.raises(InputError, match="did you mean 'process'"):
        schedule_command.kind_of(write(content))


def test_paths_are_those_of_where_it_was_scheduled(folder):
    options = Namespace(spec=Path("a.yaml"), runs=Path("runs"), force=True, time_limit=2.0)
    assert schedule_command.parameters("experiment", options) == {
        **{"kind": "experiment", "spec": "a.yaml", "directory": str(folder), "runs": str(folder / "runs")},
        **{"force": True, "hours": 2.0},
    }


def test_what_the_command_refuses(write, folder):
    spec = write({"store": "a.zarr", "source": SOURCE})
    given = {"ingest": False, "force": False, "here": False, "remove": False, "timezone": "UTC"}
    options = Namespace(spec=spec, cron=None, time_limit=1.0, runs=Path("runs"), **given)
    with pytest.raises(InputError, match="--cron is missing"):
        schedule_command.schedule(options)
    for hours in ("0", "-1", "nan", "inf"):
        given = Namespace(**{**vars(options), "cron": "0 3 * * *", "time_limit": float(hours)})
        with pytest.raises(InputError, match=f"--time-limit {hours}: must be more than 0 hours"):
            schedule_command.schedule(given)
    with pytest.raises(InputError, match="there is no Prefect server"):
        schedule_command.schedule(Namespace(**{**vars(options), "remove": True}))


def test_a_schedule_outlives_its_file_and_can_be_removed(write, folder, prefect_server, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    spec = write({"store": "a.zarr", "source": SOURCE}, "rivers.yaml")
    given = {"ingest": False, "force": False, "here": False, "timezone": "UTC", "json": False}
    given |= {"spec": spec, "time_limit": 1.0, "runs": Path("runs"), "remove": False, "work_pool": None}
    options = Namespace(**given, cron="0 3 * * *")
    with pytest.raises(InputError, match=r"--work-pool a/b: a name has no / in it"):
        schedule_command.schedule(Namespace(**{**vars(options), "work_pool": "a/b"}))

    async def planned(*arguments):  # the server of tests plans nothing
        return datetime(2026, 1, 1, 3, tzinfo=UTC)

    monkeypatch.setattr(deploying, "first_planned", planned)
    with prefect_settings(prefect_server, folder):
        schedule_command.schedule(options)
        spec.unlink()
        remove = Namespace(**{**vars(options), "cron": None, "remove": True})
        schedule_command.schedule(remove)
        assert re.search(r"deleted thalweg/ingest-rivers-\w{8}\n$", capsys.readouterr().out)
        with pytest.raises(InputError, match=r"has no schedule thalweg/ingest-.* or .* or "):
            schedule_command.schedule(remove)


def test_a_server_that_is_away_is_named_in_one_line(folder, monkeypatch):
    """Also where a deployment is deleted; the command then ends with 1, as other commands do."""
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("PREFECT_API_URL", f"http://{place}/api")
    done = subprocess.run(
        [sys.executable, "-m", "thalweg.flows.cli", "schedule", "rivers.yaml", "--remove"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"the Prefect server at {place} does not do as it is asked: ")


def test_a_look_that_was_taken_is_not_taken_again(folder, prefect_server, monkeypatch):
    """A result with a key that names all it depends on is kept, for other runs and other processes too."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setenv("PREFECT_LOCAL_STORAGE_PATH", str(folder / "results"))
    from prefect import flow

    from thalweg.flows.services.retrying import guarded

    calls = []

    def look(run):
        calls.append(run)
        return {"ratio": 1.5}

    @flow
    def night(key):
        return guarded(1.0, name="look", cache_key=key)(look)("a/b")

    with prefect_settings(prefect_server, folder):
        key = f"weights-{os.urandom(4).hex()}"
        assert [night(key), night(key)] == [{"ratio": 1.5}] * 2
        assert len(calls) == 1
        night(f"{key}-other")
        assert len(calls) == 2


async def planned(*_):
    """Instead of the server's scheduler, which those of tests have not."""
    return datetime.now(UTC)


def test_remove_waits_for_a_run_that_is_under_way(write, folder, prefect_server, monkeypatch):
    """Without its deployment Prefect could note no end of it: it would be said to run for ever."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    monkeypatch.setattr(deploying, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(deploying, "first_planned", planned)
    from prefect import get_client
    from prefect.states import Completed, Pending, Running

    from thalweg.flows.scheduling import make_schedule

    given = {"force": False, "time_limit": 1.0, "work_pool": None, "runs": Path("runs")}
    spec = write({"store": "a.zarr", "source": SOURCE}, "rivers.yaml")
    removed = []
    with prefect_settings(prefect_server, folder), get_client(sync_client=True) as client:
        made = deploying.deploy("ingest", Namespace(spec=spec, **given), make_schedule("0 3 * * *", "UTC"))
        run = client.create_flow_run_from_deployment(UUID(made["id"]))
        for state in (Pending(), Running()):
            client.set_flow_run_state(run.id, state)
        context = copy_context()
        remove = partial(context.run, lambda: removed.extend(deploying.remove(spec, ["ingest"])))
        removing = Thread(target=remove)
        removing.start()
        removing.join(2.0)
        assert removing.is_alive()
        client.set_flow_run_state(run.id, Completed())
        removing.join(60.0)
        assert removed == [made["deployment"]]
        assert client.read_flow_run(run.id).state.is_completed()
        with pytest.raises(InputError, match="has no schedule"):
            deploying.remove(spec, ["ingest"])


def test_one_ingest_of_a_store_at_a_time_over_two_schedules(write, folder, prefect_server, monkeypatch):
    """Two files write the same store, by different names; a third one, of another store, goes beside."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)
    from prefect import flow

    from thalweg.flows import ingestion
    from thalweg.flows.services import updating

    under_way, done, most, both = [], [], 0, Barrier(2, timeout=30.0)

    def slowly(spec):
        nonlocal most
        under_way.append(spec.stem)
        most = max(most, sum(name != "other" for name in under_way))
        if spec.stem == "other" or not {"first", "second"} & set(done):
            both.wait()
        time.sleep(1.0)
        under_way.remove(spec.stem)
        done.append(spec.stem)
        return SimpleNamespace(text=lambda: f"{spec.stem}: brought up to date")

    monkeypatch.setattr(ingestion, "ingest_file", slowly)
    stores = {"first": "a.zarr", "second": str(folder / "sub" / ".." / "a.zarr"), "other": "b.zarr"}
    specs = [write({"store": store, "source": SOURCE}, f"{name}.yaml") for name, store in stores.items()]

    @flow
    def night(spec):
        return updating.ingest(Path(spec), 0.1)

    with prefect_settings(prefect_server, folder):
        threads = [Thread(target=copy_context().run, args=(night, str(spec))) for spec in specs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
    assert sorted(done) == ["first", "other", "second"]
    assert most == 1
