"""Random weather with seasons, droughts and frosts, for whatever forcings a process declares."""

import torch

# Usual daily means, from and to, of forcings other than the three below; any other is between 0 and 1.
USUAL = {
    "shortwave_radiation": (20.0, 350.0),  # W/m2
    "longwave_radiation": (200.0, 400.0),  # W/m2
    "vapor_pressure": (200.0, 2500.0),  # Pa
    "day_length": (28800.0, 57600.0),  # s
    "wind_speed": (0.5, 8.0),  # m/s
    "relative_humidity": (0.3, 1.0),  # 1
    "discharge": (0.0, 10.0),  # mm/day
    "day_of_year": (1.0, 366.0),  # 1
}
WARMER = {"temperature_min": -5.0, "temperature_max": 5.0}  # degC, than the daily mean


def weather(forcings, days, sites, dtype, generator):
    """Four seasons, half of the sites in a drought and half of them in a long frost.

    Gives ``(time, site, 1)`` tensors by name for the declared ``forcings``.
    """

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    season = torch.sin(torch.arange(days) * (2 * torch.pi / 90))[:, None, None]
    rain = draw(days, sites, 1) ** 6 * 60 * (draw(days, sites, 1) < 0.4)
    temperature = 12 * season + 20 * draw(1, sites, 1) - 10 + 10 * (draw(days, sites, 1) - 0.5)
    rain[days // 4 : days // 2, : sites // 2] = 0.0
    temperature[days // 2 : 3 * days // 4, sites // 2 :] = -20.0
    series = {
        "precipitation": rain,
        "temperature": temperature,
        "potential_evapotranspiration": 6 * draw(days, sites, 1) * (draw(days, sites, 1) > 0.1),
        **{name: temperature + warmer for name, warmer in WARMER.items()},
    }
    for item in forcings:
        if item.name not in series:
            low, high = USUAL.get(item.name, (0.0, 1.0))
            series[item.name] = low + (high - low) * (0.5 + 0.3 * season + 0.4 * (draw(days, sites, 1) - 0.5))
    return {item.name: series[item.name].to(dtype) for item in forcings}
