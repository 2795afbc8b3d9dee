"""Scores that follow from sums over days: NSE, KGE, RMSE, MAE, bias, correlation, ratios of mean and spread.

Each takes :class:`~thalweg.evaluation.moments.Moments` and gives ``(site,)``, NaN where undefined. In the
formulas s is simulated, o observed, an overbar the mean and σ the standard deviation over the days
that were observed.
"""

from __future__ import annotations

import numpy as np

from thalweg.evaluation.moments import Array, Moments


def nse(moments: Moments) -> Array:
    """Nash-Sutcliffe efficiency: ``1 - Σ(s - o)² / Σ(o - ō)²``, in (-∞, 1].

    0 is as good as the mean of the observations. Undefined where the observations are constant.

    Nash and Sutcliffe (1970), J. Hydrol. 10, 282-290, 10.1016/0022-1694(70)90255-6.
    """
    return 1.0 - ratio(moments.mean_squared_error, moments.variance_observed)


def kge_2009(moments: Moments) -> Array:
    """Kling-Gupta efficiency: ``1 - √((r - 1)² + (α - 1)² + (β - 1)²)``, in (-∞, 1].

    r is the correlation, α = σs / σo, β = s̄ / ō. The mean of the observations as a simulation has no
    defined r; its limit is 1 - √2. Undefined where either series is constant or ō = 0.

    Gupta et al. (2009), J. Hydrol. 377, 80-91, 10.1016/j.jhydrol.2009.08.003.
    """
    return distance_to_one(correlation(moments), variance_ratio(moments), mean_ratio(moments))


def kge_2012(moments: Moments) -> Array:
    """Modified Kling-Gupta efficiency: as :func:`kge_2009` with γ = (σs / s̄) / (σo / ō) in place of α.

    The ratio of the coefficients of variation keeps bias and variability apart. Undefined where either
    series is constant or has a mean of zero.

    Kling et al. (2012), J. Hydrol. 424-425, 264-277, 10.1016/j.jhydrol.2012.01.011.
    """
    beta = mean_ratio(moments)
    return distance_to_one(correlation(moments), ratio(variance_ratio(moments), beta), beta)


def rmse(moments: Moments) -> Array:
    """Root mean squared error: ``√(mean (s - o)²)`` (mm/day)."""
    return np.sqrt(moments.mean_squared_error)


def mae(moments: Moments) -> Array:
    """Mean absolute error: ``mean |s - o|`` (mm/day). Large errors weigh less in it than in :func:`rmse`."""
    return moments.mean_absolute_error


def bias(moments: Moments) -> Array:
    """Relative bias: ``100 · Σ(s - o) / Σo`` (%), positive where the simulation has too much water.

    The sign is that of Yilmaz et al. (2008), 10.1029/2007WR006716, eq. A1; some programs give PBIAS with the
    opposite one. Undefined where Σo = 0.
    """
    return 100.0 * (mean_ratio(moments) - 1.0)


def correlation(moments: Moments) -> Array:
    """Pearson correlation: ``cov(s, o) / (σs σo)``, in [-1, 1].

    Undefined where either series is constant. It does not see bias or a wrong spread.
    """
    spread = np.sqrt(moments.variance_simulated) * np.sqrt(moments.variance_observed)
    return np.clip(ratio(moments.covariance, spread), -1.0, 1.0)


def variance_ratio(moments: Moments) -> Array:
    """Ratio of standard deviations: ``α = σs / σo``, the variability term of :func:`kge_2009`.

    Below 1 the simulation varies too little. It is the ratio of deviations, not of their squares.
    Undefined where the observations are constant.

    Gupta et al. (2009), 10.1016/j.jhydrol.2009.08.003.
    """
    return np.sqrt(ratio(moments.variance_simulated, moments.variance_observed))


def mean_ratio(moments: Moments) -> Array:
    """Ratio of means: ``β = s̄ / ō``, the bias term of :func:`kge_2009`; :func:`bias` is 100 (β - 1).

    Undefined where ō = 0.

    Gupta et al. (2009), 10.1016/j.jhydrol.2009.08.003.
    """
    return ratio(moments.mean_simulated, moments.mean_observed)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = numerator / np.where(denominator == 0.0, np.nan, denominator)
    return np.asarray(quotient, dtype=np.float64)


def distance_to_one(*terms: Array) -> Array:
    """Give one minus the Euclidean distance of the terms from one, as every Kling-Gupta efficiency does."""
    return 1.0 - np.sqrt(sum((term - 1.0) ** 2 for term in terms))
