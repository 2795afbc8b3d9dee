"""The report of quality, and which sites are kept out of a store because of it.

The checks are in :mod:`thalweg.storage.checks`. Nothing is ever corrected: a site with defects that leave its
record in doubt is quarantined with the reason, and the others go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd
import xarray as xr

from thalweg.storage.checks import CHECKS, Finding
from thalweg.storage.errors import InputError
from thalweg.storage.sources.problems import problems_of
from thalweg.storage.suggestions import refuse_unknown

__all__ = [
    "CHECKS",
    "COLUMNS",
    "QUARANTINE_COLUMNS",
    "SEVERITIES",
    "QualityRules",
    "check_quality",
    "merge_reports",
    "quarantine",
    "refuse_too_many",
]

SEVERITIES = ("error", "warning", "info")
COLUMNS = ("severity", "check", "site", "variable", "first_day", "count", "message")
QUARANTINE_COLUMNS = ("site", "check", "variable", "reason")

# Largest share of days that a site may have such findings on and stay. A few impossible values can be
# masked by whoever uses them; more of them are a wrong unit or a broken file.
QUARANTINE = {
    "unreadable": 0.0,
    "duplicates": 0.0,
    "no_forcing": 0.0,
    "negative": 0.01,
    "out_of_range": 0.01,
    "water_balance": 0.0,
}


@dataclass(frozen=True)
class QualityRules:
    """What keeps a site out of a store.

    Attributes
    ----------
    quarantine : mapping
        Check to the largest share of days (0 to 1) that may have findings of severity ``error`` before
        the site is quarantined; a check that is not named here never quarantines. Given entries are
        added to the default; None takes one out.
    max_quarantined : float
        Share of sites (0 to 1); when more are quarantined, the ingest fails.
    """

    quarantine: Mapping[str, float | None] = field(default_factory=dict)
    max_quarantined: float = 0.1

    def __post_init__(self) -> None:
        refuse_unknown(self.quarantine, CHECKS, "check in 'quarantine' of quality")
        for name, share in {**self.quarantine, "max_quarantined": self.max_quarantined}.items():
            number = isinstance(share, int | float) and not isinstance(share, bool)
            if share is not None and not (number and 0.0 <= share <= 1.0):
                raise InputError(f"quality: {name} is {share!r}; a share from 0 to 1 is needed")

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None) -> QualityRules:
        """Return the rules that a spec's key ``quality`` gives."""
        known = [each.name for each in fields(cls)]
        if options is not None and not isinstance(options, Mapping):
            raise InputError(f"quality: {options!r} is not a mapping; its keys are {', '.join(known)}")
        refuse_unknown(options or {}, known, "key in quality")
        return cls(**(options or {}))

    @property
    def shares(self) -> dict[str, float]:
        """Return the checks that quarantine, each with its share of days."""
        given = {**QUARANTINE, **self.quarantine}
        return {name: float(share) for name, share in given.items() if share is not None}


def check_quality(dataset: xr.Dataset) -> pd.DataFrame:
    """Run all checks.

    Parameters
    ----------
    dataset : xarray.Dataset
        Dims ``(site, time)``, as :func:`thalweg.storage.conform.conform` gives it: any sites, each with
        its whole record. The attribute ``problems`` holds what a source noted.

    Returns
    -------
    pandas.DataFrame
        Columns ``severity, check, site, variable, first_day, count, message``; errors first. `count` is a
        number of days for variables over time, and 1 for static attributes. A site that could not be
        read has that finding alone.
    """
    findings = [finding for check in CHECKS.values() for finding in check(dataset)]
    lost = {problem.site for problem in problems_of(dataset) if problem.check == "unreadable"}
    return _report(
        finding for finding in findings if finding.site not in lost or finding.check == "unreadable"
    )


def merge_reports(reports: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the findings of blocks of different sites as one report, in the order of one check of all."""
    return _report(
        Finding(*row)
        for report in reports
        for row in report[list(COLUMNS)].itertuples(index=False, name=None)
    )


def _report(found: Iterable[Finding]) -> pd.DataFrame:
    order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    findings = sorted(
        found, key=lambda finding: (order[finding.severity], finding.check, finding.variable, finding.site)
    )
    columns = list(zip(*findings, strict=True)) or [()] * len(COLUMNS)
    report = pd.DataFrame({name: list(column) for name, column in zip(COLUMNS, columns, strict=True)})
    text = ["severity", "check", "site", "variable", "message"]
    report[text] = report[text].astype(object)
    report["first_day"] = report["first_day"].astype("datetime64[ns]")
    report["count"] = report["count"].astype("int64")
    return report


def quarantine(report: pd.DataFrame, days: int, rules: QualityRules = QualityRules()) -> pd.DataFrame:
    """Return the sites that are kept out, each with the gravest reason.

    Parameters
    ----------
    report : pandas.DataFrame
        As :func:`check_quality` gives it.
    days : int
        Length of the time axis that was checked.
    rules : QualityRules

    Returns
    -------
    pandas.DataFrame
        Columns ``site, check, variable, reason``, sorted by site.
    """
    found: dict[str, tuple[str, str, str, str]] = {}
    errors = report[report["severity"] == "error"]
    for check, share in rules.shares.items():
        for row in errors[errors["check"] == check].to_dict("records"):
            if row["count"] > share * days and row["site"] not in found:
                found[row["site"]] = (row["site"], check, row["variable"], row["message"])
    return pd.DataFrame(
        [found[site] for site in sorted(found)], columns=list(QUARANTINE_COLUMNS), dtype=object
    )


def refuse_too_many(quarantined: pd.DataFrame, sites: int, rules: QualityRules = QualityRules()) -> None:
    """Fail when more sites are quarantined than the rules allow, or all of them.

    Raises
    ------
    InputError
        With the number of sites and the first reason.
    """
    count = len(quarantined)
    if count and (count > rules.max_quarantined * sites or count == sites):
        first = quarantined.iloc[0]
        raise InputError(
            f"quality: {count} of {sites} sites are quarantined, more than max_quarantined "
            f"{rules.max_quarantined:g} allows; first {first['site']}: {first['reason']}"
        )
