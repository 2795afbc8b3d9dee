"""Experiments and jobs started from the page Submit: what is typed, checked, run and stopped."""
