"""Entry of the dashboard: `streamlit run app.py`, or `thalweg dashboard`.

Each page is a script of the folder `pages`; THALWEG_RUNS names the folder of runs.
"""

import streamlit as st
from thalweg.dashboard.logo import logo
from thalweg.dashboard.parts import look

st.set_page_config(page_title="Thalweg", page_icon=":material/water:", layout="wide")
st.logo(logo(look().ink), size="large")
st.navigation(
    [
        st.Page("pages/runs.py", title="Runs", icon=":material/stacks:", default=True),
        st.Page("pages/skill.py", title="Skill", icon=":material/analytics:"),
        st.Page("pages/site.py", title="Site", icon=":material/show_chart:"),
    ],
    position="top",
).run()
