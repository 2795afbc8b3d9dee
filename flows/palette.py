"""The colours of models, the same in reports and on the dashboard."""

# Okabe and Ito (2008), told apart with any kind of colour vision. Black is kept for observations; the
# yellow is too faint on white.
MODELS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#3c9fd4", "#7a5195", "#8c564b")
