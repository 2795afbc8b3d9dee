"""Logging in with an identity provider, a small one that the test serves itself."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from thalweg.flows.dashboard_server import SUBMIT, SUBMITTERS, TOKEN

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
joserfc = pytest.importorskip("joserfc", reason="Authlib is not installed")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = [
    pytest.mark.skipif(
        not Path(CHROMIUM).exists(), reason="no Chromium installed (Debian: apt-get install chromium)"
    ),
    pytest.mark.slow,
]


class Provider(BaseHTTPRequestHandler):
    """Says that whoever asks is Ada."""

    nonce = ""
    key: object = None

    def do_GET(self) -> None:
        base = f"http://{self.headers['Host']}"
        asked = urlsplit(self.path)
        if asked.path == "/authorize":
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            Provider.nonce = query.get("nonce", "")
            self.send_response(302)
            back = urlencode({"code": "c0de", "state": query["state"]})
            self.send_header("Location", f"{query['redirect_uri']}?{back}")
            self.end_headers()
        elif asked.path == "/keys":
            self._answer({"keys": [Provider.key.as_dict(private=False)]})  # type: ignore[attr-defined]
        else:
            self._answer(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "jwks_uri": f"{base}/keys",
                    "response_types_supported": ["code"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )

    def do_POST(self) -> None:
        from joserfc import jwt

        self.rfile.read(int(self.headers["Content-Length"]))
        now = int(time.time())
        claims = {
            "iss": f"http://{self.headers['Host']}",
            "sub": "1",
            "aud": "thalweg",
            "iat": now,
            "exp": now + 600,
            "nonce": Provider.nonce,
            "email": "ada@lab.org",
        }
        token = jwt.encode({"alg": "RS256", "kid": "k"}, claims, Provider.key)  # type: ignore[arg-type]
        self._answer({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token})

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[str]:
    from joserfc.jwk import RSAKey

    Provider.key = RSAKey.generate_key(2048, {"kid": "k", "use": "sig", "alg": "RS256"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_ada_logs_in_and_bob_only_may_submit(
    provider: str, tmp_path: Path, served: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.delenv(SUBMIT, raising=False)
    monkeypatch.setenv(SUBMITTERS, "bob@lab.org")
    (tmp_path / "runs").mkdir()
    (tmp_path / ".streamlit").mkdir()
    secrets = tmp_path / ".streamlit" / "secrets.toml"
    text = (
        '[auth]\nredirect_uri = "REDIRECT/oauth2callback"\ncookie_secret = "a long random text of the test"\n'
        'client_id = "thalweg"\nclient_secret = "s3cret"\n'
        f'server_metadata_url = "{provider}/.well-known/openid-configuration"\n'
    )
    secrets.write_text(text)
    with served.serve(tmp_path / "runs") as address, playwright.sync_playwright() as play:
        secrets.write_text(text.replace("REDIRECT", address))
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(served.FLAGS))
        context = browser.new_context(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})
        page = context.new_page()
        page.goto(f"{address}/submit")
        page.get_by_text("Log in to read").wait_for()
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="Submit").wait_for()
        page.get_by_role("link", name="Submit").click()
        page.get_by_text("ada@lab.org may read, and is not among those who may submit").wait_for()
        assert page.get_by_role("button", name="Start").count() == 0
        page.get_by_role("button", name="Log out").click()
        page.get_by_text("Log in to read").wait_for()
        browser.close()
