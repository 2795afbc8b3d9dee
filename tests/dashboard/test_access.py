"""Who may read and who may start something: each row of the table in `access`, and what `--host` refuses."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit import net_util
from streamlit.testing.v1 import AppTest
from streamlit.web.server import server_util

from thalweg.dashboard import server
from thalweg.dashboard.entry import access
from thalweg.flows import dashboard_server
from thalweg.flows.dashboard_server import PUBLIC, SUBMIT, SUBMITTERS, TOKEN, Sharing
from thalweg.storage.errors import InputError

Open = Callable[..., AppTest]
GOOD = "0123456789abcdef-right"
HERE = {"address": "127.0.0.1", "headers": {"Host": "127.0.0.1:8501"}}


class Context:
    """Stands in for what a browser tells."""

    ip_address: str | None = None

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.cookies: dict[str, str] = {}


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., access.Access]]:
    """A visitor: where the server listens, what the browser sent, and what the operator allowed."""
    for name in (TOKEN, SUBMIT, PUBLIC, SUBMITTERS):
        monkeypatch.delenv(name, raising=False)
    context, state = Context(), dict[str, object]()
    monkeypatch.setattr(st, "context", context)
    monkeypatch.setattr(st, "session_state", state)

    def visited(
        address: str = "127.0.0.1", headers: dict[str, str] | None = None, **allowed: str
    ) -> access.Access:
        monkeypatch.setattr(st, "get_option", lambda name: address)
        context.headers = headers or {"Host": "localhost:8501"}
        for name, value in allowed.items():
            monkeypatch.setenv(f"THALWEG_DASHBOARD_{name}", value)
        return access.access()

    access.throttle.cache_clear()
    yield visited
    access.throttle.cache_clear()


def test_on_this_machine_alone(visit: Callable[..., access.Access]) -> None:
    found = visit()
    assert (found.may_read, found.may_submit, found.can_login) == (True, False, False)
    assert "started without --submit" in found.why_not
    found = visit(SUBMIT="1")
    assert (found.may_read, found.may_submit) == (True, True)
    found = visit(SUBMIT="1", TOKEN=GOOD)  # a login is set up: it decides
    assert (found.may_read, found.may_submit, found.can_login) == (True, False, True)


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("0.0.0.0", {"Host": "localhost:8501"}),
        ("", {"Host": "localhost:8501"}),  # all interfaces
        ("10.1.2.3", {"Host": "10.1.2.3:8501"}),
        ("::", {"Host": "[::1]:8501"}),
        ("127.0.0.1", {"Host": "evil.example:8501"}),  # a name that was turned to this machine
        ("127.0.0.1", {"Host": "localhost:8501", "X-Forwarded-For": "10.1.2.3"}),  # a proxy in front
    ],
)
def test_from_beyond_nothing_is_shown_without_a_login(
    address: str, headers: dict[str, str], visit: Callable[..., access.Access]
) -> None:
    found = visit(address, headers, SUBMIT="1")
    assert (found.may_read, found.may_submit, found.can_login) == (False, False, False)
    found = visit(address, headers, PUBLIC="1")
    assert (found.may_read, found.may_submit) == (True, False)
    assert "Others can reach this dashboard" in found.why_not
    found = visit(address, headers, TOKEN=GOOD, PUBLIC="")
    assert (found.may_read, found.may_submit, found.can_login) == (False, False, True)
    assert access.try_token(GOOD) == ""
    found = visit(address, headers)
    assert (found.may_read, found.may_submit, found.who) == (True, True, "token")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8501", "[::1]:8501", "127.9.9.9"])
def test_names_of_this_machine(host: str, visit: Callable[..., access.Access]) -> None:
    assert visit(headers={"Host": host}, SUBMIT="1").may_submit


def test_a_wrong_token_opens_nothing_and_soon_takes_long(visit: Callable[..., access.Access]) -> None:
    visit(TOKEN=GOOD)
    for wrong in ("", GOOD[:-1], GOOD + "x", GOOD.upper(), "é" * 300):
        assert access.try_token(wrong) == "This is not the token."
    assert re.fullmatch(r"Too many wrong tokens: try again in (10|9) s\.", access.try_token(GOOD))
    assert not visit().may_submit


def test_a_cookie_opens_until_it_ends_or_the_token_changes(
    visit: Callable[..., access.Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    visit("0.0.0.0", TOKEN=GOOD)
    kept = access.cookie()
    assert GOOD not in kept
    st.context.cookies[access.COOKIE] = kept  # type: ignore[index]
    assert visit("0.0.0.0").may_submit
    end, signature = kept.split(".")
    for forged in (f"{int(end) + 1}.{signature}", f"{end}.{signature[:-1]}", end, "", ".", f"{end}.", "é.é"):
        st.context.cookies[access.COOKIE] = forged  # type: ignore[index]
        assert not visit("0.0.0.0").may_read, forged
    st.context.cookies[access.COOKIE] = kept  # type: ignore[index]
    assert not visit("0.0.0.0", TOKEN=GOOD + "new").may_read
    visit("0.0.0.0", TOKEN=GOOD)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + access.COOKIE_SECONDS + 1)
    assert not visit("0.0.0.0").may_read


def test_who_logs_out_is_out(visit: Callable[..., access.Access]) -> None:
    visit("0.0.0.0", TOKEN=GOOD)
    st.context.cookies[access.COOKIE] = access.cookie()  # type: ignore[index]
    access.try_token(GOOD)
    assert visit("0.0.0.0").may_submit
    access.log_out()
    assert not visit("0.0.0.0").may_read


def test_of_those_that_log_in_by_oidc_the_listed_may_submit(
    visit: Callable[..., access.Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "has_oidc", lambda: True)
    person: dict[str, object] = {"is_logged_in": True, "email": "Ada@lab.org"}
    monkeypatch.setattr(st, "user", person)
    assert visit("0.0.0.0").may_submit
    assert visit("0.0.0.0", SUBMITTERS="bob@lab.org, ada@LAB.org").may_submit
    assert visit("0.0.0.0", SUBMITTERS="*@lab.org").may_submit
    found = visit("0.0.0.0", SUBMITTERS="bob@lab.org,*@other.org")
    assert (found.may_read, found.may_submit) == (True, False)
    assert "Ada@lab.org may read" in found.why_not
    person["email_verified"] = False
    assert not visit("0.0.0.0", SUBMITTERS="ada@lab.org").may_submit
    person["is_logged_in"] = False
    found = visit("0.0.0.0")
    assert (found.may_read, found.can_login) == (False, True)


@pytest.mark.parametrize(
    "person",
    [
        {"name": "boss@lab.org"},
        {"sub": "boss@lab.org"},
        {"name": "boss@lab.org", "email": ""},
        {"name": "boss@lab.org", "email": "me@other.org"},
        {"name": "token"},
        {"name": "boss", "preferred_username": "boss@lab.org"},
        {"email": "boss@lab.org", "email_verified": False},
        {"email": "boss@lab.org", "email_verified": "false"},
        {"email": "boss@lab.org.evil.example"},
        {"email": "boss@notlab.org"},
        {},
    ],
)
def test_only_a_verified_address_is_among_the_submitters(
    person: dict[str, object], visit: Callable[..., access.Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "has_oidc", lambda: True)
    monkeypatch.setattr(st, "user", {"is_logged_in": True, **person})
    found = visit("0.0.0.0", SUBMITTERS="boss@lab.org,*@lab.org")
    assert (found.may_read, found.may_submit) == (True, False)
    assert "is not among those who may submit" in found.why_not
    assert visit("0.0.0.0", SUBMITTERS="").may_submit


def test_a_token_submits_where_a_list_is_given_for_others(
    visit: Callable[..., access.Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "has_oidc", lambda: True)
    monkeypatch.setattr(st, "user", {"is_logged_in": False})
    visit("0.0.0.0", TOKEN=GOOD, SUBMITTERS="boss@lab.org")
    assert access.try_token(GOOD) == ""
    assert visit("0.0.0.0").may_submit


def test_a_foreign_origin_is_refused_without_asking_the_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda url, timeout=5: asked.append(url))
    monkeypatch.setattr(net_util, "get_external_ip", net_util.get_external_ip)  # put back afterwards
    server.ask_nobody()
    assert not server_util.is_url_from_allowed_origins("http://evil.example")
    assert server_util.is_url_from_allowed_origins("http://localhost:8501")
    assert asked == []


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::"])
def test_the_command_opens_no_doors_by_itself(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(InputError, match=f"--host {host}: others could read all results: set {TOKEN}"):
        dashboard_server.serve(tmp_path, sharing=Sharing(host))
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(InputError, match=r"is too short \(5 characters\): take 16 or more"):
        dashboard_server.serve(tmp_path, sharing=Sharing(host))
    monkeypatch.delenv(TOKEN)
    dashboard_server._refuse_open_doors(Sharing(host, public=True))
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text('[auth]\nclient_id = "x"\n')
    dashboard_server._refuse_open_doors(Sharing(host))


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--host 192\.0\.2\.7: is no address of this machine"):
        dashboard_server.serve(tmp_path, sharing=Sharing("192.0.2.7", public=True))
    with pytest.raises(InputError, match="--url thalweg: no address"):
        dashboard_server._command(8501, False, Sharing(url="thalweg"))
    command = dashboard_server._command(8501, False, Sharing("0.0.0.0", url="https://thalweg.lab.org/x"))
    assert command[command.index("--server.address") + 1] == "0.0.0.0"
    assert command[command.index("--server.corsAllowedOrigins") + 1] == "https://thalweg.lab.org"
    assert command[command.index("--browser.serverAddress") + 1] == "thalweg.lab.org"


def test_pages_are_not_shown_to_who_may_not_read(
    runs: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_near", lambda: False)
    for name in ("overview", "skill", "site", "data", "submit"):
        page = open_page(name, experiment="sample")
        text = " ".join(part.proto.body for part in page.html)
        assert "nobody can log in" in text
        assert "sample" not in text.replace("examples/sample.yaml", "")
        assert len(page.dataframe) == len(page.get("plotly_chart")) == 0
    monkeypatch.setenv(TOKEN, GOOD)
    page = open_page("skill", experiment="sample")
    assert len(page.get("plotly_chart")) == 0
    page.text_input[0].set_value("wrong")
    page.button[0].click().run()
    assert page.error[0].value == "This is not the token."
    page.text_input[0].set_value(GOOD)
    page.button[0].click().run()
    assert not page.exception
    assert len(page.get("plotly_chart")) > 0
