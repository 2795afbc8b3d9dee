"""Hydrological signatures of one site, observed and simulated, from the flows that the page shows."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.dashboard.look import Stroke, number, text
from thalweg.dashboard.parts import named, swatch
from thalweg.dashboard.tables import row_of, table
from thalweg.evaluation.signatures import SIGNATURES, compare_signatures

_DECIMALS = {"days since 1 October": 0, "days/year": 1, "days": 1}


def signatures_of(flows: pd.DataFrame, models: Sequence[str], rain: pd.Series | None) -> pd.DataFrame:
    """Signatures of each model and of what was observed, all over the observed days.

    Parameters
    ----------
    flows : index time, consecutive days; column ``observed`` and one column a model (mm/day).
    rain : precipitation of the same days (mm/day); without it runoff ratio and elasticity are left out.

    Returns
    -------
    Index ``observed`` and the models, a column a signature; NaN where undefined.
    """
    days = flows.asfreq("D")
    time = pd.DatetimeIndex(days.index)

    def series(values: Sequence[pd.Series]) -> xr.DataArray:
        array = np.stack([one.reindex(time).to_numpy(float) for one in values])
        return xr.DataArray(array, coords={"site": list(models), "time": time}, dims=("site", "time"))

    given = None if rain is None else series([rain] * len(models))
    # the models stand beside each other as if they were sites
    found = compare_signatures(
        series([days[model] for model in models]), series([days["observed"]] * len(models)), given
    )
    rows = {"observed": found.sel(series="observed", site=models[0])}
    rows |= {model: found.sel(series="simulated", site=model) for model in models}
    return pd.DataFrame.from_dict(
        {
            name: {str(key): float(value) for key, value in one.data_vars.items()}
            for name, one in rows.items()
        },
        orient="index",
    )


def signature_table(found: pd.DataFrame, strokes: Mapping[str, Stroke]) -> str:
    """One row a signature; the model that comes closest to what was observed in bold."""
    models = [name for name in found.index if name != "observed"]
    head = ['<th class="l">Signature</th>', '<th class="l">Units</th>', "<th>Observed</th>"]
    head += [f"<th>{swatch(strokes[model])}&ensp;{named(model)}</th>" for model in models]
    head.append('<th class="l">What it is</th>')
    rows = []
    for name, about in SIGNATURES.items():
        if name not in found or found[name].isna().all():
            continue
        values = found[name]
        apart = (values[models] - values["observed"]).abs()
        # all that come closest, but not where all do
        best = set(apart.index[apart == apart.min()]) if apart.nunique() > 1 else set()
        cells = [
            f'<td class="l">{text(about.long_name[:1].upper() + about.long_name[1:])}</td>',
            f'<td class="l"><small>{text("–" if about.units == "1" else about.units)}</small></td>',
            f"<td>{_value(values['observed'], about.units)}</td>",
        ]
        for model in models:
            strong = ' class="best"' if model in best else ""
            cells.append(f"<td{strong}>{_value(values[model], about.units)}</td>")
        wraps = 'class="l" style="white-space:normal"'
        cells.append(f"<td {wraps}><small>{text(about.definition)}</small></td>")
        rows.append(row_of(cells))
    return table(head, rows)


def _value(value: float, units: str) -> str:
    return number(float(value), _DECIMALS.get(units, 2))
