"""Random weather with winters, and random parameters, for models of snow."""

import math

import torch


def weather(days, sites, seed=0):
    """Winters of some months, thaws, heavy rain and heavy snow; ``(time, site)`` in double precision."""
    draw = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=draw, dtype=torch.float64)

    day = (torch.arange(days, dtype=torch.float64) % 365 + 1).unsqueeze(1).expand(days, sites)
    season = torch.cos((day - 20) * (2 * math.pi / 365))
    return {
        "precipitation": 80 * uniform(days, sites) ** 5 * (uniform(days, sites) < 0.45),
        "temperature": 9 - 13 * season + 10 * (uniform(days, sites) - 0.5) - 8 * uniform(1, sites),
        "day_of_year": day.contiguous(),
        "potential_evapotranspiration": (4 - 4 * season) * uniform(days, sites),
    }


def random_parameters(process, sites, seed=0):
    """Over the whole ranges; the first site has all at their lower end, the last at the upper."""
    draw = torch.Generator().manual_seed(seed)
    share = torch.rand(len(process.parameters), sites, 1, generator=draw, dtype=torch.float64)
    share[:, 0], share[:, -1] = 0.0, 1.0
    return {p.name: p.lower + (p.upper - p.lower) * share[i] for i, p in enumerate(process.parameters)}
