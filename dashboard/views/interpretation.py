"""What the models learned: what their physics says, what the network decides, and what it uses."""

import streamlit as st

from thalweg.dashboard import choices, data, parts
from thalweg.dashboard.look import Look, strokes
from thalweg.dashboard.scope import choose_scope
from thalweg.dashboard.views.learned_network import network_view
from thalweg.dashboard.views.learned_parameters import parameter_view
from thalweg.dashboard.views.learned_physics import physics_view
from thalweg.dashboard.views.learned_water import water_view

_ASKED = {
    "physics": "Does the physics hold?",
    "parameters": "Parameters",
    "water": "Water balance",
    "network": "What the network uses",
}
_OF_ALL = "physics"  # shows all models beside each other


@parts.page
def page(look: Look) -> None:
    """Draws the page."""
    runs = data.cards()
    first, second, third = st.columns([3, 5, 3], gap="medium")
    scope = choose_scope(runs, first, second)
    if scope is None:
        return
    models = [model for model in scope.models if model not in scope.floors]
    if not models:
        parts.empty("Nothing was trained here", "Floors have nothing inside: choose another split.")
        parts.notices(scope.problems)
        return
    asked = choices.segments("ask", "Question", list(_ASKED), show=lambda name: _ASKED[name])
    lines = strokes(*data.model_names(runs), look)
    if asked == _OF_ALL:
        problems = physics_view(scope, models, lines, look)
    else:
        with third:
            model = choices.select("model", "Model", models)
        draw = {"parameters": parameter_view, "water": water_view, "network": network_view}[asked]
        problems = draw(scope, model, lines[model], look)
    parts.notices([*scope.problems, *problems])


if __name__ == "__main__":
    page()
