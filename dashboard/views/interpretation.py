"""What the models learned: what their physics says, what the network decides, and what it uses."""

import streamlit as st

from thalweg.dashboard import choices, parts
from thalweg.dashboard.look import Look, strokes
from thalweg.dashboard.reading import cards
from thalweg.dashboard.scope import choose_scope
from thalweg.dashboard.sections.learned_network import network_view
from thalweg.dashboard.sections.learned_parameters import parameter_view
from thalweg.dashboard.sections.learned_physics import physics_view
from thalweg.dashboard.sections.learned_water import water_view
from thalweg.dashboard.sharing import taken
from thalweg.dashboard.sharing.share import share

_ASKED = {
    "physics": "Does the physics hold?",
    "parameters": "Parameters",
    "water": "Water balance",
    "network": "What the network uses",
}
_TAKEN = {
    "physics": {
        "Checks of the physics": "physics_audit",
        "Untrained variables by site": "physics",
        "Shares of the network": "network_share",
    },
    "parameters": {
        "Parameters by site": "parameters",
        "Correlations with attributes": "parameter_response",
        "Parameters in classes of attributes": "parameter_classes",
    },
    "water": {"Water balance by site": "balance"},
    "network": {
        "Importance of inputs": "explanation_importance",
        "Checks of attributions": "explanation_checks",
        "Attributions over lags": "explanation_lags",
    },
}
_OF_ALL = "physics"  # shows all models beside each other


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = cards.read()
    first, second, third, fourth = st.columns([3, 5, 2.4, 1], gap="medium", vertical_alignment="bottom")
    scope = choose_scope(runs, first, second)
    if scope is None:
        return
    models = [model for model in scope.models if model not in scope.floors]
    if not models:
        parts.empty("Nothing was trained here", "Floors have nothing inside: choose another split.")
        parts.notices(scope.problems)
        return
    asked = choices.segments("ask", "Question", list(_ASKED), show=lambda name: _ASKED[name])
    lines = strokes(*cards.model_names(runs), look)
    shown = models
    if asked == _OF_ALL:
        problems = physics_view(scope, models, lines, look)
    else:
        with third:
            model = choices.select("model", "Model", models)
        shown = [model]
        draw = {"parameters": parameter_view, "water": water_view, "network": network_view}[asked]
        problems = draw(scope, model, lines[model], look)
    parts.notices([*scope.problems, *problems])
    of_these = [run for run in scope.runs if run.model in shown]
    with fourth:
        share(lambda: taken.of_evaluation(of_these, _TAKEN[asked]))


if __name__ == "__main__":
    page()
