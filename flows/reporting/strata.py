"""What `thalweg evaluate` found by season, class of flow, region and attribute, of all runs of a model."""

from __future__ import annotations

import numpy as np
import pandas as pd

OF_DAYS = ("season", "flow")
"""Strata of days; the others are of sites."""


def strata_means(strata: pd.DataFrame) -> pd.DataFrame:
    """Give the median skill of each model in each class; of several runs their mean, weighted by sites.

    Parameters
    ----------
    strata : of one metric, with the columns ``model`` and ``split``: runs of one model are folds, which
        hold different sites, and seeds.

    Returns
    -------
    Columns ``split``, ``model``, ``by`` (what the classes are of), ``label`` (the class), ``value``,
    ``low`` and ``high`` (the 90 % interval over sites; NaN where more than one run was averaged) and
    ``sites`` (of all folds; of several seeds of one of them).
    """
    label = np.where(strata["days"] == "all", strata["sites_of"], strata["days"])
    known = strata.assign(label=label.astype(str))[strata["median"].notna()]
    known = known.assign(weighted=known["median"] * known["sites"])
    keys = ["split", "model", "by", "label"]
    seeds = known["seed"] if "seed" in known else pd.Series(0, known.index)
    groups = known.assign(seed_=seeds).groupby(keys, sort=False)
    made = groups.agg(
        weighted=("weighted", "sum"),
        total=("sites", "sum"),
        low=("low", "first"),
        high=("high", "first"),
        runs=("sites", "size"),
        seeds=("seed_", "nunique"),
    ).reset_index()
    alone = made["runs"] == 1
    made["value"] = made["weighted"] / made["total"]
    made["low"], made["high"] = (made[name].where(alone) for name in ("low", "high"))
    made["sites"] = (made["total"] / made["seeds"]).round().astype(int)
    return made[[*keys, "value", "low", "high", "sites"]]


def attribute_spread(means: pd.DataFrame) -> pd.DataFrame:
    """Give how much skill differs between sites with low and with high values of each attribute.

    Parameters
    ----------
    means : of :func:`strata_means`; only classes that are ranges of numbers count.

    Returns
    -------
    Columns ``by`` (the attribute), ``model``, ``lowest`` and ``highest`` (value in these classes) and
    ``change``; the largest change first.
    """
    start = means["label"].str.extract(r"^(\S+) to \S+$")[0].astype(float)
    ranges = means.assign(start=start).dropna(subset=["start"])
    ranges = ranges[~ranges["by"].isin((*OF_DAYS, "region"))].sort_values("start")
    ends = ranges.groupby(["by", "model"], sort=False)["value"].agg(["first", "last", "size"]).reset_index()
    ends = ends[ends["size"] > 1].rename(columns={"first": "lowest", "last": "highest"})
    ends["change"] = ends["highest"] - ends["lowest"]
    order = ends["change"].abs().sort_values(ascending=False, kind="stable").index
    return ends.loc[order, ["by", "model", "lowest", "highest", "change"]].reset_index(drop=True)
