"""Distributions and intervals: scores, calibration, conformal prediction."""
