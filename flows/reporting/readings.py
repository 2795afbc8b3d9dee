"""How the tables of `thalweg evaluate` are read, for the report and the dashboard alike."""

from __future__ import annotations

import pandas as pd

from thalweg.flows.reporting.section import number

# Columns of the table `physics`: from observations, simulated, and what it is with its units.
UNTRAINED = (
    ("baseflow_index_reference", "baseflow_index_simulated", "baseflow index", "1"),
    ("balance", "evapotranspiration", "evapotranspiration", "mm/year"),
    ("runoff_ratio_observed", "runoff_ratio_simulated", "runoff ratio", "1"),
    ("flow_observed", "melt", "centre of melt and of flow", "days"),
)


def untrained_pairs(sites: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Give those of ``UNTRAINED`` that a table of sites has values for."""
    return [
        pair
        for pair in UNTRAINED
        if {pair[0], pair[1]} <= set(sites.columns) and sites[[pair[0], pair[1]]].notna().all(axis=1).any()
    ]


def verdict(audit: pd.DataFrame) -> str:
    """Give the median over the runs of a model in one check, and of several how many are flagged, if any."""
    flagged = int(audit["flag"].astype(bool).sum())
    if audit["value"].isna().all() and not flagged:
        return "too few sites"
    count = f" ({flagged} of {len(audit)} runs)" if flagged and len(audit) > 1 else ""
    return number(audit["value"].median()) + count


def flag_sentences(audit: pd.DataFrame) -> list[str]:
    """Say in words what contradicts the physics of each model, the commonest over its runs first."""
    sentences: list[tuple[float, str]] = []
    for (split, model, _, _), own in audit.groupby(["split", "model", "check", "statistic"], sort=False):
        flagged = own[own["flag"].astype(bool)]
        if len(flagged):
            count = f" in {len(flagged)} of {len(own)} runs" if len(own) > 1 else ""
            told = f"{model}, {split}{count}: {flagged['reason'].iloc[0]}."
            sentences.append((len(flagged) / len(own), told))
    return [told for _, told in sorted(sentences, key=lambda pair: -pair[0])]


def balance_sentence(balance: pd.DataFrame) -> str:
    """Say whether mass and energy balances close, over all sites and runs."""
    open_sites = int((~balance["closed"].astype(bool)).sum())
    stay = "stays" if open_sites == 1 else "stay"
    told = "every site's balance closes"
    if open_sites:
        told = f"{open_sites:,} of {len(balance):,} balances of sites {stay} open"
    return (
        f"Mass and energy: {told}; the largest residual over a whole test is "
        f"{balance['share'].abs().max():.1e} of what was turned over."
    )


def failed_checks(checks: pd.DataFrame, method: str) -> list[str] | None:
    """Name the sanity checks that a method fails; None where it has none of its own."""
    own = checks[checks["method"] == method] if len(checks) else checks
    if own.empty:
        return None
    return list(dict.fromkeys(own.loc[~own["passes"].astype(bool), "check"]))
