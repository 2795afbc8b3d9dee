"""Metrics as the pages show them: short names, units, decimals, and which values are good."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from thalweg.evaluation.skill import METRICS

_SHORT = {
    "nse": "NSE",
    "kge_2009": "KGE 2009",
    "kge_2012": "KGE 2012",
    "kge_np": "KGE non-parametric",
    "log_nse": "log NSE",
    "correlation": "Correlation",
    "variance_ratio": "Spread ratio",
    "mean_ratio": "Mean ratio",
    "bias": "Bias",
    "rmse": "RMSE",
    "mae": "MAE",
    "rmse_high": "RMSE, high flows",
    "rmse_low": "RMSE, low flows",
    "fhv": "FHV",
    "flv": "FLV",
    "fms": "FMS",
    "peak_timing": "Peak timing",
    "missed_peaks": "Missed peaks",
}
_FIRST = ("nse", "kge_2009", "kge_2012", "log_nse", "bias", "fhv", "flv", "fms", "peak_timing")
_NEUTRAL_AT_ZERO = {"nse", "kge_2009", "kge_2012", "kge_np", "log_nse", "correlation"}


@dataclass(frozen=True)
class Scale:
    """Colours of a metric on a map, from `low` to `high`."""

    low: float
    high: float
    diverging: bool
    reverse: bool
    marks_below: bool

    def quality(self, values: np.ndarray) -> np.ndarray:
        """Larger is better: the order in which sites are drawn."""
        if self.diverging:
            return -np.abs(values - (self.low + self.high) / 2)
        return -values if self.reverse else values

    def tick_text(self, ticks: np.ndarray) -> list[str]:
        """Labels of the colour bar; ≤ and ≥ where values beyond share the last colour."""
        spread = self.high - self.low
        decimals = 0 if spread >= 10 else 1 if spread >= 0.9 else 2
        labels = [f"{tick:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for tick in ticks]
        if self.diverging:
            labels[0] = f"≤ {labels[0]}"
        if self.diverging or self.reverse:
            labels[-1] = f"≥ {labels[-1]}"
        return labels


@dataclass(frozen=True)
class Measure:
    """A metric for reading."""

    name: str
    short: str
    long: str
    units: str
    better: str
    perfect: float

    @property
    def suffix(self) -> str:
        """Units after a number: ` %`, ` mm/day`, or nothing."""
        return f" {self.units}" if self.units not in ("", "1", "-") else ""

    @property
    def about(self) -> dict[str, str]:
        """Attributes of the metric in a file."""
        return {"units": self.units or "1", "long_name": self.long}

    @property
    def axis(self) -> str:
        """Title of an axis, always with units."""
        return f"{self.short} ({self.suffix.strip() or '–'})"

    @property
    def decimals(self) -> int:
        """Decimals that mean something."""
        return 1 if self.units == "%" else 2

    @property
    def signed(self) -> bool:
        """Whether the sign tells the direction of the error."""
        return self.better == "zero"

    @property
    def centred(self) -> bool:
        """Whether the best value lies in the middle."""
        return self.better in ("zero", "one")

    def rank(self, values: pd.Series) -> pd.Series:
        """Smaller is better."""
        if self.better == "high":
            return -values
        return (values - self.perfect).abs() if self.centred else values

    def window(self, values: np.ndarray) -> tuple[float, float]:
        """The range of values worth drawing: all but a long bad tail."""
        values = values[np.isfinite(values)]
        if values.size == 0:
            return (0.0, 1.0)
        if self.better == "high":
            low = min(0.0, max(-0.6, float(np.quantile(values, 0.05))))
            return (float(np.floor(low * 5) / 5), max(1.0, self.perfect))
        if self.centred:
            reach = _round_up(float(np.quantile(np.abs(values - self.perfect), 0.95)))
            return (self.perfect - reach, self.perfect + reach)
        return (0.0, _round_up(float(np.quantile(values, 0.98))))

    def scale(self, values: np.ndarray) -> Scale:
        """Range and kind of the colours on a map."""
        values = values[np.isfinite(values)]
        if self.better == "high":
            return Scale(0.0, 1.0, diverging=False, reverse=False, marks_below=self.name in _NEUTRAL_AT_ZERO)
        if self.centred:
            spread = np.abs(values - self.perfect) if values.size else np.array([1.0])
            reach = _round_up(float(np.quantile(spread, 0.9)))
            return Scale(self.perfect - reach, self.perfect + reach, True, False, False)
        high = _round_up(float(np.quantile(values, 0.95))) if values.size else 1.0
        return Scale(0.0, high, diverging=False, reverse=True, marks_below=False)


def measures(columns: Iterable[str]) -> dict[str, Measure]:
    """The metrics among these columns, the most asked for first."""
    present = [name for name in METRICS if name in set(columns)]
    order = [name for name in _FIRST if name in present] + [name for name in present if name not in _FIRST]
    return {name: _measure(name) for name in order}


def _measure(name: str) -> Measure:
    metric = METRICS[name]
    return Measure(
        name=name,
        short=_SHORT.get(name, metric.long_name.capitalize()),
        long=metric.long_name[:1].upper() + metric.long_name[1:],
        units=metric.units,
        better=metric.better,
        perfect=float(metric.perfect),
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten; 1 for nothing."""
    if not np.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)))
