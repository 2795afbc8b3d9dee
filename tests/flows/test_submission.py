"""What is packed for a cluster, and what is said when there is none, or another one; no Ray is started."""

import io
import json
import subprocess
import sys
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

import thalweg.flows
from thalweg.flows import commands, job_address, packing, submission
from thalweg.flows.cli import parser
from thalweg.flows.experiment import load_experiment
from thalweg.flows.jobs import Jobs
from thalweg.storage.errors import InputError, UnavailableError

BUCKET = """
import field_lab.constants
from thalweg.models.processes import find_process
Hbv96 = type(find_process("hbv"))
"""


@pytest.fixture
def lab(write, content, folder, monkeypatch):
    """An experiment with a process model of one's own, in a package of one's own."""
    monkeypatch.syspath_prepend(str(folder))
    package = folder / "field_lab"
    (package / "__pycache__").mkdir(parents=True)
    (package / "data.zarr").mkdir()
    for name, text in {
        "__init__.py": "", "models.py": BUCKET, "constants.py": "G = 9.81", "table.csv": "a,b",
        "__pycache__/old.pyc": "", "data.zarr/0": "", ".secret": "",
    }.items():  # fmt: skip
        (package / name).write_text(text)
    content["models"]["physics"]["process"] = "field_lab.models:Hbv96"
    yield write(content)
    for name in [name for name in sys.modules if name.partition(".")[0] == "field_lab"]:
        del sys.modules[name]


def pack(path, **order):
    return packing.pack(path, load_experiment(path).model_dump(mode="json"), {"command": "run", **order})


def test_the_code_that_an_experiment_names_goes_with_it(lab, tmp_path):
    package = pack(lab)
    assert package.modules == ("field_lab",)
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "copy")
    own = {name for name in names if not name.startswith("thalweg")}
    assert own == {
        "experiment.yaml", "order.json",
        "field_lab/__init__.py", "field_lab/models.py", "field_lab/constants.py", "field_lab/table.csv",
    }  # fmt: skip
    assert {"thalweg/__init__.py", "thalweg/flows/cell.py", "thalweg/models/processes/hbv.py"} <= names
    assert not any("dashboard/" in name or "__pycache__" in name for name in names)
    # Thalweg runs from the copy, also where it is not installed
    code = (
        "import thalweg, thalweg.flows.worker as w, field_lab.models; print(w.__file__, thalweg.__version__)"
    )
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, cwd=tmp_path / "copy", capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(tmp_path / "copy/thalweg/flows/worker.py"), packing.thalweg.__version__]


def test_the_same_gives_the_same_package(lab):
    first = pack(lab)
    (Path("field_lab") / "constants.py").touch()
    assert pack(lab).digest == first.digest
    (Path("field_lab") / "constants.py").write_text("G = 9.80665")
    assert pack(lab).digest != first.digest


def test_too_much_for_ray_is_said_before_it_is_sent(lab, monkeypatch):
    (Path("field_lab") / "weights.bin").write_bytes(bytes(3 * 2**20))
    monkeypatch.setattr(packing, "MOST_BYTES", 2**18)
    with pytest.raises(InputError, match=r"the largest are .*weights.bin \(3 MiB\)"):
        pack(lab)


def order(path, runs="runs", changes=None, command="run", options=()):
    return submission._order(path, runs, changes or {}, command, options)


def test_the_same_experiment_is_the_same_job(lab, write, content):
    assert thalweg.flows.submit is submission.submit
    found = order(lab)
    assert found.name.startswith("small-")
    assert found.metadata["runs"] == str(Path.cwd() / "runs")
    assert order(lab).name == found.name
    assert order(lab, changes={"training.epochs": 7}).name != found.name
    assert order(lab, runs="elsewhere").name != found.name
    with zipfile.ZipFile(io.BytesIO(order(lab, changes={"training.epochs": 7}).package.content)) as archive:
        sent = json.loads(archive.read("order.json"))
    assert sent["changes"] == {"training.epochs": 7}
    assert sent["directory"] == str(Path.cwd())


def test_what_is_wrong_with_an_experiment_is_said_before_it_is_sent(lab, write, content):
    with pytest.raises(InputError, match="did you mean 'epochs'"):
        order(lab, changes={"training.epoks": 7})
    with pytest.raises(InputError, match="are in folders or at s3://bucket/prefix"):
        order(lab, runs="gs://bucket/runs")
    with pytest.raises(InputError, match="has no `search` section"):
        order(lab, command="search")
    # but not what only this machine lacks
    content["data"]["store"] = "/on/the/cluster/only.zarr"
    content["resources"] = {"cpus_per_worker": 640}
    assert order(write(content)).name


class Dashboard(BaseHTTPRequestHandler):
    token = None
    seen = None

    def do_GET(self):
        type(self).seen = self.headers.get("Authorization")
        if self.token and self.seen != f"Bearer {self.token}":
            self.answer(401 if self.seen is None else 403, "Unauthorized", "text/plain")
        elif self.path == "/api/version":
            self.answer(200, json.dumps({"version": "4", "ray_version": "2.60.0", "ray_commit": "x"}))
        elif self.path == "/api/jobs/":
            metadata = {"thalweg": "1", "experiment": "small", "runs": "/shared/runs"}
            job = {"type": "SUBMISSION", "entrypoint": "python", "status": "RUNNING", "start_time": 10**12}
            jobs = [{**job, "submission_id": f"small-abc-{n}", "metadata": metadata} for n in (1, 2)]
            self.answer(200, json.dumps([*jobs, {**job, "submission_id": "foreign"}]))
        else:
            self.answer(404, "not found", "text/plain")

    def answer(self, code, text, kind="application/json"):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *ignored):
        pass


@contextmanager
def serving(kind):
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def no_token(monkeypatch, tmp_path):
    for key in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_jobs_are_listed_and_found_by_the_beginning_of_their_id(no_token, monkeypatch, capsys):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # of the cluster itself: no dashboard
    with serving(Dashboard) as url:
        assert [job.id for job in Jobs(url).all()] == ["small-abc-1", "small-abc-2"]
        assert Jobs(url).find("small-abc-2").state == "running"
        with pytest.raises(InputError, match=r"no job 'smal-abc-2' at .*; did you mean 'small-abc-[12]'"):
            Jobs(url).find("smal-abc-2")
        with pytest.raises(InputError, match=r"fits 2 at .*: small-abc-1, small-abc-2; give more of the id"):
            Jobs(url).find("small")
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", url)
        options = parser().parse_args(["jobs"])
        assert commands.COMMANDS["jobs"](options) == 0
        assert "/shared/runs" in capsys.readouterr().out


def test_the_token_is_shown_and_asked_for(no_token, monkeypatch, tmp_path):
    kind = type("WithToken", (Dashboard,), {"token": "abc"})
    with serving(kind) as url:
        with pytest.raises(InputError, match="the cluster wants a token: set RAY_AUTH_TOKEN"):
            Jobs(url)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
        with pytest.raises(InputError, match="the cluster does not take the token"):
            Jobs(url)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
        assert Jobs(url).all()
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        (tmp_path / "token").write_text("abc\n")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
        assert Jobs(url).all()
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
        with pytest.raises(InputError, match=r"RAY_AUTH_TOKEN_PATH: .*none cannot be read"):
            Jobs(url)


def test_this_machines_own_token_is_not_shown_to_others(no_token, monkeypatch, tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("mine")
    assert job_address.token_for("http://localhost:8265") == "mine"
    assert job_address.token_for("http://127.0.0.2:8265") == "mine"
    assert job_address.token_for("http://head:8265") is None
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert job_address.token_for("http://head:8265") == "mine"


def test_another_machine_without_a_token_is_warned_of(no_token, monkeypatch, capsys):
    def refuse(*ignored, **more):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("thalweg.flows.jobs.socket.create_connection", refuse)
    for address, warned in (("http://head:8265", True), ("127.0.0.1:8265", False), ("https://[::1]", False)):
        with pytest.raises(UnavailableError, match=r"no Ray cluster answers \(Connection refused\)"):
            Jobs(address)
        assert ("there is no token (RAY_AUTH_TOKEN)" in capsys.readouterr().err) == warned
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    with pytest.raises(UnavailableError):
        Jobs("http://head:8265")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("address", ["ray://head:10001", "http://", "http://head:port", "head:99999"])
def test_what_is_no_address_is_told(no_token, address):
    with pytest.raises(
        InputError, match="is no address of a Ray dashboard: write one such as http://head:8265"
    ):
        Jobs(address)


def test_another_server_is_told_from_a_cluster(no_token):
    class Other(Dashboard):
        def do_GET(self):
            self.answer(200, "<html>hello</html>", "text/html")

    with serving(Other) as url, pytest.raises(InputError, match="is no dashboard of a Ray cluster"):
        Jobs(url)


class Client:
    """A client of a cluster with one job, which says two things and ends when it has been looked at."""

    def __init__(self, *states):
        self.states, self.stopped = list(states), []

    def list_jobs(self):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return [
            SimpleNamespace(
                submission_id="small-abc-1", status=state, metadata={"thalweg": "1"}, start_time=None,
                end_time=None, driver_exit_code=None, message="",
            )
        ]  # fmt: skip

    def stop_job(self, id):  # noqa: A002
        self.stopped.append(id)
        return True

    async def tail_job_logs(self, id):  # noqa: A002
        yield "one\n"
        yield "two\n"


def jobs_of(client, monkeypatch):
    monkeypatch.setattr("thalweg.flows.jobs.LOOK_SECONDS", 0.0)
    made = object.__new__(Jobs)
    made.address, made.headers, made.client = "http://fake", {}, client
    return made


def test_a_job_is_cancelled_when_it_has_ended(monkeypatch):
    """Who submits it again at once would be attached to the one that is about to end."""
    client = Client("RUNNING", "RUNNING", "RUNNING", "STOPPED")
    assert jobs_of(client, monkeypatch).cancel("small")
    assert client.stopped == ["small-abc-1"]
    assert client.states == ["STOPPED"]


def test_who_has_seen_enough_of_a_log_is_not_kept(monkeypatch):
    said = []

    def closed(text):
        said.append(text)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        jobs_of(Client("RUNNING"), monkeypatch).follow("small-abc-1", closed)
    assert said == ["one\n"]
    said.clear()
    assert jobs_of(Client("RUNNING", "SUCCEEDED"), monkeypatch).follow("small-abc-1", said.append).ended
    assert said == ["one\n", "two\n"]  # not repeated when the connection is made again


class FakeJobs:
    """The jobs of a cluster in memory."""

    address = "http://fake"

    def __init__(self):
        self.known = []

    def all(self):
        return list(self.known)

    def submit(self, id, package, metadata):  # noqa: A002
        assert package.read_bytes()
        self.known.append(job(id, "running", metadata["package"]))
        return True


def job(id, state, package=""):  # noqa: A002
    from thalweg.flows.job_details import Job

    return Job(id, state, "small", "/runs", None, None, None, "", package)


def test_a_second_submission_attaches_and_one_after_the_end_is_another_job(lab, capsys):
    jobs, found = FakeJobs(), order(lab)
    first = found.submit(jobs)
    assert (first.id, first.attached) == (f"{found.name}-1", False)
    again = order(lab).submit(jobs)
    assert (again.id, again.attached) == (first.id, True)
    assert capsys.readouterr().err == ""
    (Path("field_lab") / "constants.py").write_text("G = 1")
    changed = order(lab).submit(jobs)
    assert (changed.id, changed.attached) == (first.id, True)
    assert "runs the code of when it was submitted" in capsys.readouterr().err
    jobs.known = [job(first.id, "failed")]
    assert found.submit(jobs).id == f"{found.name}-2"
    jobs.known = [job(first.id, "failed"), job(f"{found.name}-2", "succeeded")]
    assert found.submit(jobs).id == f"{found.name}-3"


def test_a_password_in_an_address_is_not_shown(no_token, capsys):
    assert job_address.shown("http://ann:secret@head:8265") == "http://ann:***@head:8265"
    assert job_address.shown("http://head:8265") == "http://head:8265"
    assert job_address.dashboard_url("ann:secret@head:8265") == "http://ann:secret@head:8265"
    with pytest.raises(UnavailableError) as caught:
        Jobs("http://ann:secret@127.0.0.1:9")
    with pytest.raises(InputError) as refused:
        Jobs("ftp://ann:secret@head")
    said = str(caught.value) + str(refused.value) + capsys.readouterr().err
    assert "secret" not in said
    assert "http://ann:***@127.0.0.1:9: no Ray cluster answers" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--search", "--blind"], "--blind: is of `thalweg run`"),
        (["--yes"], "--yes: is of searches: add --search"),
    ],
)
def test_options_that_a_job_would_ignore_are_refused(lab, words, says):
    with pytest.raises(InputError, match=says):
        commands.submit(parser().parse_args(["submit", str(lab), *words]))
