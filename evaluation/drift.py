"""Whether a model's recent errors are larger than those of its test: a block test on windows of days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

LEAST_SHARE = 0.5  # of a window's days that must be observed for a site to count in it
LEAST_WINDOWS = 4  # that the test must be long, for its windows to say anything


@dataclass(frozen=True)
class Drift:
    """What came of the comparison.

    Attributes
    ----------
    ratio : recent error over that of the test, median over sites.
    limit : above which it is an alarm.
    p_value : share of the test's windows in which the errors were at least as large.
    share : share of sites whose own recent error is above the same quantile of their own windows.
    sites : that count.
    """

    ratio: float
    limit: float
    p_value: float
    share: float
    sites: int

    @property
    def drift(self) -> bool:
        """Whether it is an alarm."""
        return self.ratio > self.limit


def drift(
    tested: xr.Dataset, recent: xr.Dataset, *, level: float = 0.01, margin: float = 1.1
) -> Drift | None:
    """Compare the errors of recent days with those of the test period.

    The statistic is the median over sites of the logarithm of a site's root mean square error in a window,
    over that of its whole test. The distribution that it has without drift is taken from all windows of the
    same length in the test period (moving blocks: Künsch 1989, Ann. Stat. 17, 1217-1241,
    10.1214/aos/1176347265), at all sites at once: what belongs together in time and in space stays together.
    Errors are those of square roots where nothing is negative, so that one flood does not decide.

    Parameters
    ----------
    tested, recent : ``simulated`` and ``observed`` ``(site, time)``, of the test and of the days to judge, in
        the same units; sites that both have count.
    level : share of windows of the test that would be an alarm.
    margin : by how much recent errors must be larger than the test's at least.

    Returns
    -------
    The comparison; None where days or sites are too few to say anything.

    Raises
    ------
    ValueError
        When level or margin make no sense.
    """
    if not 0 < level < 0.5 or margin < 1:
        raise ValueError(f"level {level:g} must be between 0 and 0.5, and margin {margin:g} at least 1")
    shared = np.intersect1d(tested["site"].values, recent["site"].values)
    tested, recent = tested.sel(site=shared), recent.sel(site=shared)
    length = recent.sizes["time"]
    if not shared.size or not length or tested.sizes["time"] < LEAST_WINDOWS * length:
        return None
    roots = all(float(each["observed"].min(skipna=True)) >= 0 for each in (tested, recent))
    before, now = _squares(tested, roots), _squares(recent, roots)
    whole = _log_rmse(np.nansum(before, 1), np.isfinite(before).sum(1), 1)
    windows = _windows(before, length) - whole[:, None]
    least = max(1, int(np.ceil(LEAST_SHARE * length)))
    ours = _log_rmse(np.nansum(now, 1), np.isfinite(now).sum(1), least) - whole
    there = np.isfinite(ours) & np.isfinite(windows).any(1)
    if not there.any():
        return None
    ours, windows = ours[there], windows[there]
    null = _median(windows)
    null = null[np.isfinite(null)]
    statistic = float(np.median(ours))
    limit = max(float(np.quantile(null, 1 - level)), float(np.log(margin)))
    own = np.nanquantile(windows, 1 - level, axis=1)
    return Drift(
        float(np.exp(statistic)),
        float(np.exp(limit)),
        float((1 + (null >= statistic).sum()) / (1 + null.size)),
        float((ours > np.maximum(own, np.log(margin))).mean()),
        int(there.sum()),
    )


def _squares(series: xr.Dataset, roots: bool) -> NDArray[np.float64]:
    """Give squared errors ``(site, time)``; NaN where not observed."""
    both = ("simulated", "observed")
    values = [series[name].transpose("site", "time").values.astype(float) for name in both]
    one, two = (np.sqrt(np.maximum(each, 0.0)) if roots else each for each in values)
    return np.asarray((one - two) ** 2)


def _windows(squares: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Give the logarithm of the error in every window of some days, ``(site, window)``."""
    there = np.isfinite(squares)
    sums, counts = _moving(np.where(there, squares, 0.0), length), _moving(there.astype(float), length)
    return _log_rmse(sums, counts, max(1, int(np.ceil(LEAST_SHARE * length))))


def _moving(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    total = np.pad(np.cumsum(values, 1), ((0, 0), (1, 0)))
    return np.asarray(total[:, length:] - total[:, :-length])


def _log_rmse(sums: NDArray[np.float64], counts: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """Give the logarithm of the root of the mean; NaN where fewer than ``least`` count, or all is exact."""
    enough = (counts >= least) & (sums > 0)
    mean = np.where(enough, sums, 1.0) / np.where(enough, counts, 1.0)
    return np.where(enough, 0.5 * np.log(mean), np.nan)


def _median(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the median over sites of each window that half of the sites have; NaN for others."""
    enough = np.isfinite(windows).mean(0) >= 0.5
    found = np.full(windows.shape[1], np.nan)
    found[enough] = np.nanmedian(windows[:, enough], axis=0)
    return found
