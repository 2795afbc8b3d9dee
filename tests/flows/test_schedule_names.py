"""What deployments are called: by the experiment in the file, so that a person knows them."""

import re
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from thalweg.flows.prefect_settings import prefect_settings
from thalweg.flows.scheduling import deployment_name, make_schedule
from thalweg.flows.services import deploying, schedule_command
from thalweg.storage.errors import InputError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: alps_daily\nmodels: {}\n", "alps_daily"),
        ("name: Mein Fluß 3.5%\n", "Mein-Flu-3-5-"),
        ("store: rivers.zarr\n", "experiment"),
        ("nightly: {experiment: rivers.yaml}\n", "experiment"),
        ("name: 12\n", "experiment"),
        ("name: ''\n", "experiment"),
        ("name: [a\n", "experiment"),
        ("- name\n", "experiment"),
        (None, "experiment"),
    ],
)
def test_a_file_goes_by_the_name_in_it_else_by_its_own(text, name, tmp_path):
    file = tmp_path / "experiment.yaml"
    if text is not None:
        file.write_text(text)
    assert re.fullmatch(rf"{name}-[0-9a-f]{{8}}", deployment_name(file))
    other = tmp_path / "other" / "experiment.yaml"
    other.parent.mkdir()
    other.write_text(text or "")
    assert deployment_name(other) != deployment_name(file)


def test_one_submitted_from_the_dashboard_is_called_as_its_experiment(
    write, content, folder, prefect_server, monkeypatch
):
    """Its file is `experiment.yaml` in a job's folder. A file has one deployment, whatever is in it."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server.url)

    async def planned(*_):  # the server of tests plans nothing
        return datetime(2026, 1, 1, 3, tzinfo=UTC)

    monkeypatch.setattr(deploying, "first_planned", planned)
    place = Path("runs/.jobs/20260101-120000-alps-0a1b")
    place.mkdir(parents=True)
    spec = write({**content, "name": "alps"}, place / "experiment.yaml")
    options = Namespace(spec=spec, work_pool=None, runs=Path("runs"), force=False, time_limit=1.0)
    timing = make_schedule("0 3 * * *", "UTC")

    def deployed():
        from prefect import get_client

        digest = deployment_name(spec).rpartition("-")[2]
        with get_client(sync_client=True) as client:
            return sorted(each.name for each in client.read_deployments() if each.name.endswith(digest))

    with prefect_settings(prefect_server, folder):
        assert schedule_command.kind_of(spec) == "experiment"
        first = deploying.deploy("experiment", options, timing)["deployment"]
        assert re.fullmatch(r"thalweg/experiment-alps-[0-9a-f]{8}", first)
        deploying.deploy("ingest", options, timing)
        write({**content, "name": "jura"}, spec)
        second = deploying.deploy("experiment", options, timing)["deployment"]
        digest = second.rpartition("-")[2]
        assert deployed() == [f"experiment-jura-{digest}", f"ingest-alps-{digest}"]
        spec.unlink()
        assert deploying.remove(spec, ["experiment"]) == [second]
        assert deploying.remove(spec, schedule_command.KINDS) == [f"thalweg/ingest-alps-{digest}"]
        with pytest.raises(InputError, match="has no schedule thalweg/experiment-experiment-"):
            deploying.remove(spec, ["experiment"])
        assert deployed() == []
