"""Who may read the pages, and who may start something from them.

===================  ===================  =======================  ===========================
the server listens   login                reading                  starting
===================  ===================  =======================  ===========================
on loopback          none                 whoever is on it         the same, with `--submit`
on loopback          token or OIDC        whoever is on it         after login
beyond               none                 nobody, or `--public`    nobody
beyond               token or OIDC        after login; `--public`  after login
===================  ===================  =======================  ===========================

A request that came through a proxy, or that was sent to another name than loopback's, counts as from beyond.
"""

import hashlib
import hmac
import os
import time
from dataclasses import dataclass
from functools import cache

import streamlit as st

from thalweg.dashboard.entry.throttle import Throttle
from thalweg.flows.dashboard_server import PUBLIC, SUBMIT, SUBMITTERS, TOKEN, is_loopback

COOKIE = "thalweg_login"
COOKIE_SECONDS = 12 * 3600
_LOGGED_IN = "logged-in"
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded")


@dataclass(frozen=True)
class Access:
    """What a visitor may do.

    Attributes
    ----------
    why_not : why nothing can be started, in words; empty where it can.
    can_login : whether to log in would allow more.
    who : the name under which things are started.
    """

    may_read: bool
    may_submit: bool
    why_not: str
    can_login: bool
    who: str


def access() -> Access:
    """What the visitor of this session may do, as things are now."""
    near, known = _near(), who()
    open_to_all = os.environ.get(PUBLIC) == "1"
    may_read = near or open_to_all or known is not None
    refusal = _refusal(near, known)
    can_login = known is None and (has_token() or has_oidc())
    return Access(may_read, not refusal, refusal, can_login, known or "this machine")


def _refusal(near: bool, known: str | None) -> str:
    """Why nothing can be started; empty where it can."""
    if known is not None:
        return "" if _among_submitters() else f"{known} may read, and is not among those who may submit."
    if has_token() or has_oidc():
        return "Log in to start experiments."
    if not near:
        return "Others can reach this dashboard and it has no login: nothing is started from it."
    if os.environ.get(SUBMIT) != "1":
        return "This dashboard is read-only: it was started without --submit."
    return ""


def who() -> str | None:
    """Who logged in: the name that OIDC gives, or `token`; None for nobody."""
    if by_oidc():
        return str(st.user.get("email") or st.user.get("name") or st.user.get("sub") or "somebody")
    if has_token() and (st.session_state.get(_LOGGED_IN) == _fingerprint() or _good_cookie()):
        return "token"
    return None


def by_oidc() -> bool:
    """Whether the visitor logged in with the identity provider."""
    return has_oidc() and bool(st.user.get("is_logged_in"))


def has_token() -> bool:
    """Whether a token opens the dashboard."""
    return bool(os.environ.get(TOKEN))


def has_oidc() -> bool:
    """Whether Streamlit's secrets name an identity provider."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def try_token(given: str) -> str:
    """Log in with a token; returns why that did not work, and nothing where it did.

    Wrong ones are answered later and later, for each address that they come from.
    """
    address = st.context.ip_address or "this machine"
    wait = throttle().wait(address)
    if wait > 0:
        return f"Too many wrong tokens: try again in {wait:.0f} s."
    right = os.environ.get(TOKEN, "")
    # both are hashed first: the time to compare then tells nothing, not even the length
    if right and hmac.compare_digest(_hash(given.strip()), _hash(right)):
        throttle().forget(address)
        st.session_state[_LOGGED_IN] = _fingerprint()
        return ""
    throttle().count(address)
    return "This is not the token."


def cookie() -> str:
    """What the browser keeps so that a link opens without the token: an end and a signature of it."""
    end = str(int(time.time()) + COOKIE_SECONDS)
    return f"{end}.{_signature(end)}"


def log_out() -> None:
    """Forget the token in this session; the page lets the browser forget its cookie."""
    st.session_state[_LOGGED_IN] = ""
    st.session_state["logged-out"] = True


@cache
def throttle() -> Throttle:
    """The count of wrong tokens of all sessions."""
    return Throttle()


def _near() -> bool:
    """Whether the visitor is on this machine, as far as can be told."""
    address = str(st.get_option("server.address") or "")
    if not is_loopback(address):
        return False
    headers = st.context.headers
    if any(name in headers for name in _FORWARDED):
        return False
    host = str(headers.get("Host") or "localhost")
    return is_loopback(host.rpartition(":")[0].strip("[]") if ":" in host else host)


def _among_submitters() -> bool:
    """Whether the visitor may submit: all may where no list is given; `*@lab.org` is everybody of it.

    Of what an identity provider tells only the address counts, and not one that it calls unverified: names
    are often set by whoever bears them.
    """
    listed = [each.strip().lower() for each in os.environ.get(SUBMITTERS, "").split(",") if each.strip()]
    if not listed or not by_oidc():
        return True
    email = str(st.user.get("email") or "").lower()
    if not email or str(st.user.get("email_verified")).lower() == "false":
        return False
    return any(email.endswith(each[1:]) if each.startswith("*@") else email == each for each in listed)


def _good_cookie() -> bool:
    if st.session_state.get("logged-out"):
        return False
    end, _, signature = str(st.context.cookies.get(COOKIE, "")).partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(end).encode()):
        return False
    return end.isdecimal() and int(end) > time.time()


def _signature(end: str) -> str:
    return hmac.new(_hash(os.environ.get(TOKEN, "")), f"cookie {end}".encode(), hashlib.sha256).hexdigest()


def _fingerprint() -> str:
    """What a session remembers of the token that it gave: a new token ends all sessions."""
    return _hash(os.environ.get(TOKEN, "")).hex()


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
