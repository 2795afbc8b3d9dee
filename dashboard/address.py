"""The browser's history: one step back for one act of the visitor, as with pages that were made by hand."""

import streamlit as st

# Streamlit adds an entry for every choice that a page writes into its address: to leave a page that fills in
# five defaults took six steps back. Here the first after a click or a key is added, the others replace it.
_STEPS = st.components.v2.component(
    "thalweg_history",
    js="""
export default function () {
  if (window.thalwegHistory) return;
  window.thalwegHistory = true;
  let acted = false;
  for (const act of ["pointerdown", "keydown"])
    window.addEventListener(act, () => { acted = true; }, true);
  window.addEventListener("popstate", () => { acted = false; }, true);
  const push = history.pushState.bind(history);
  history.pushState = (state, unused, url) => {
    const elsewhere = new URL(url, location.href).pathname !== location.pathname;
    if (acted || elsewhere) push(state, unused, url);
    else history.replaceState(state, unused, url);
    acted = false;
  };
}
""",
)


def one_step_back() -> None:
    """Let what a page fills in replace the entry of what the visitor did, rather than follow it."""
    _STEPS(key="history", height=1)
