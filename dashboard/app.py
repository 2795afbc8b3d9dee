"""Entry of the dashboard: `streamlit run app.py`, or `thalweg dashboard`.

Each page is a script of the folder `views`; THALWEG_RUNS names the folder of runs. (In a folder called
`pages` Streamlit would find them by itself, and a link to one would open it without this file.)
"""

import streamlit as st

from thalweg.dashboard import address, parts
from thalweg.dashboard.entry import access, login
from thalweg.dashboard.logo import icon, logo

# the pages in their order: script in `views`, title, icon
PAGES = {
    "overview": ("Overview", ":material/stacks:"),
    "skill": ("Skill", ":material/analytics:"),
    "extrapolation": ("Extrapolation", ":material/travel_explore:"),
    "interpretation": ("Interpretation", ":material/psychology:"),
    "site": ("Site", ":material/show_chart:"),
    "compare": ("Compare", ":material/compare_arrows:"),
    "data": ("Data", ":material/database:"),
    "submit": ("Submit", ":material/play_circle:"),
}


@st.fragment(run_every="2s")
def follow_theme() -> None:
    """Draws the page again after the viewer changed the theme, of which Streamlit tells nobody."""
    if st.context.theme.type != st.session_state.setdefault("theme", st.context.theme.type):
        del st.session_state["theme"]
        st.rerun()


# an icon of our own: Streamlit fetches those of its icon font from the internet
st.set_page_config(page_title="Thalweg", page_icon=icon(), layout="wide")
st.logo(logo(parts.look().ink), size="large")
page = st.navigation(
    [
        st.Page(f"views/{name}.py", title=title, icon=sign, default=name == "overview")
        for name, (title, sign) in PAGES.items()
    ],
    position="top" if access.access().may_read else "hidden",
)
login.keep_cookie()
login.gate()
parts.name_page(page.title)
page.run()
login.leave()
address.one_step_back()
follow_theme()
