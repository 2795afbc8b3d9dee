"""The colours of models, in reports and on the dashboard."""

from thalweg.flows.names import ENSEMBLE

# Okabe and Ito (2008), told apart with any kind of colour vision. Black is kept for observations; the
# yellow is too faint on white.
MODELS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#3c9fd4", "#7a5195", "#8c564b")


def place(model: str) -> tuple[bool, str]:
    """Where a model stands among those of an experiment: by name, ensembles, which come later, last."""
    return model.endswith(ENSEMBLE), model
