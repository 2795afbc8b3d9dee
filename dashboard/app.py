"""Entry of the dashboard: `streamlit run app.py`, or `thalweg dashboard`.

Each page is a script of the folder `views`; THALWEG_RUNS names the folder of runs. (In a folder called
`pages` Streamlit would find them by itself, and a link to one would open it without this file.)
"""

import streamlit as st

from thalweg.dashboard.logo import icon, logo
from thalweg.dashboard.parts import look


@st.fragment(run_every="2s")
def follow_theme() -> None:
    """Draws the page again after the viewer changed the theme, of which Streamlit tells nobody."""
    if st.context.theme.type != st.session_state.setdefault("theme", st.context.theme.type):
        del st.session_state["theme"]
        st.rerun()


# an icon of our own: Streamlit fetches those of its icon font from the internet
st.set_page_config(page_title="Thalweg", page_icon=icon(), layout="wide")
st.logo(logo(look().ink), size="large")
st.navigation(
    [
        st.Page("views/runs.py", title="Runs", icon=":material/stacks:", default=True),
        st.Page("views/skill.py", title="Skill", icon=":material/analytics:"),
        st.Page("views/extrapolation.py", title="Extrapolation", icon=":material/travel_explore:"),
        st.Page("views/site.py", title="Site", icon=":material/show_chart:"),
        st.Page("views/data.py", title="Data", icon=":material/database:"),
    ],
    position="top",
).run()
follow_theme()
