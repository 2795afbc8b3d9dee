"""How much of the rain evaporates in the long run, given how dry the climate is."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from thalweg.evaluation.moments import Array

OMEGA = 2.6  # of the Fu curve nearest to Budyko's: Zhang et al. (2004), 10.1029/2003WR002710


def budyko(dryness: Array) -> Array:
    """Give E/P for PET/P: Budyko (1974), Climate and Life, ``√(φ tanh(1/φ) (1 - exp(-φ)))``."""
    safe = np.where(dryness > 0.0, dryness, np.nan)
    return np.asarray(np.sqrt(safe * np.tanh(1.0 / safe) * (1.0 - np.exp(-safe))), dtype=np.float64)


def fu(dryness: Array, omega: float = OMEGA) -> Array:
    """Give E/P for PET/P: Fu (1981), as in Zhang et al. (2004), eq. 5, ``1 + φ - (1 + φ^ω)^(1/ω)``.

    Parameters
    ----------
    omega : above 1; the larger, the more evaporates. It stands for soils, plants and slopes.
    """
    safe = np.where(dryness > 0.0, dryness, np.nan)
    return np.asarray(1.0 + safe - (1.0 + safe**omega) ** (1.0 / omega), dtype=np.float64)


def fit_fu(dryness: Array, evaporated: Array) -> float:
    """Give the ω of the Fu curve nearest to E/P of some sites by least squares; NaN with fewer than two."""
    known = np.isfinite(dryness) & np.isfinite(evaporated) & (dryness > 0.0)
    if known.sum() < 2:
        return np.nan
    x, y = dryness[known], evaporated[known]
    found = minimize_scalar(lambda omega: float(((fu(x, omega) - y) ** 2).sum()), bounds=(1.01, 10.0))
    return float(found.x)
