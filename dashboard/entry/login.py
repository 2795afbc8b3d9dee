"""Logging in, where a token or an identity provider is set up."""

import streamlit as st

from thalweg.dashboard import parts
from thalweg.dashboard.entry import access

# the browser keeps a signed end, not the token: what it has opens nothing once that is over
_COOKIE = st.components.v2.component(
    "thalweg_cookie",
    js="""
export default function ({ data }) {
  const safe = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${data.name}=${data.value}; path=/; max-age=${data.seconds}; SameSite=Strict${safe}`;
}
""",
)


def gate() -> None:
    """End the page here, with a way to log in, for who may not read."""
    allowed = access.access()
    if not allowed.may_read:
        parts.style(parts.look())
        if allowed.can_login:
            parts.empty("Log in to read", "The results of this group are shown to its members.")
            form("gate")
        else:
            parts.empty(
                "Not shown to others",
                "This dashboard can be reached from other machines, and nobody can log in: set "
                "THALWEG_DASHBOARD_TOKEN, or allow everybody to read with --public.",
            )
        st.stop()


def keep_cookie() -> None:
    """Let the browser keep, or forget, that somebody logged in with a token."""
    if st.session_state.get("logged-out"):
        _COOKIE(key="cookie", data={"name": access.COOKIE, "value": "", "seconds": 0}, height=1)
    elif st.session_state.get("fresh-login"):
        data = {"name": access.COOKIE, "value": st.session_state["fresh-login"]}
        _COOKIE(key="cookie", data={**data, "seconds": access.COOKIE_SECONDS}, height=1)


def form(key: str) -> None:
    """Ways to log in: by the identity provider, or with the token."""
    _, middle, _ = st.columns([1, 1.4, 1])
    with middle:
        if access.has_oidc() and st.button("Log in", type="primary", key=f"{key}-oidc", width="stretch"):
            st.login()
        if access.has_token():
            _token_form(key)


def _token_form(key: str) -> None:
    with st.form(f"{key}-token", border=False):
        given = st.text_input("Token", type="password", autocomplete="current-password", max_chars=200)
        sent = st.form_submit_button("Log in", type="primary", width="stretch")
    if sent:
        why_not = access.try_token(given)
        if why_not:
            st.error(why_not, icon=":material/lock:")
        else:
            st.session_state["fresh-login"] = access.cookie()
            st.session_state["logged-out"] = False
            st.rerun()


def leave() -> None:
    """A way to log out, for who logged in."""
    known = access.who()
    if known is not None and st.button(f"Log out ({known})", type="tertiary", key="log-out"):
        from_provider = access.by_oidc()
        access.log_out()
        if from_provider:
            st.logout()
        st.rerun()
