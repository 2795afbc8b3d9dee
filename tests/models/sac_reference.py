"""Snow-17 and SAC-SMA for one place, straight from the manuals: branches and loops, no tensors.

Contents are depths over the area that has them, as in the manuals; the names are the manuals' too.
"""

import math

# The manuals' names of the parameters.
SNOW_NAMES = {
    "snowfall_correction": "SCF",
    "snowfall_temperature": "PXTEMP",
    "melt_factor_summer": "MFMAX",
    "melt_factor_winter": "MFMIN",
    "melt_temperature": "MBASE",
    "wind_function": "UADJ",
    "cooling_factor": "NMF",
    "antecedent_weight": "TIPM",
    "snow_water_holding": "PLWHC",
    "ground_melt": "DAYGM",
    "full_cover_snow": "SI",
}
SOIL_NAMES = {
    "upper_tension_capacity": "UZTWM",
    "upper_free_capacity": "UZFWM",
    "lower_tension_capacity": "LZTWM",
    "supplemental_capacity": "LZFSM",
    "primary_capacity": "LZFPM",
    "upper_recession": "UZK",
    "supplemental_recession": "LZSK",
    "primary_recession": "LZPK",
    "percolation_increase": "ZPERC",
    "percolation_exponent": "REXP",
    "percolation_to_free": "PFREE",
    "impervious_area": "PCTIM",
    "variable_impervious_area": "ADIMP",
    "riparian_area": "RIVA",
    "deep_recharge": "SIDE",
    "reserved": "RSERV",
}

CURVE = (0.05, 0.09, 0.16, 0.31, 0.54, 0.74, 0.84, 0.89, 0.93, 0.97, 1.0)


def depletion(share):
    if share >= 1.0:
        return 1.0
    place = int(10 * share)
    return CURVE[place] + (CURVE[place + 1] - CURVE[place]) * (10 * share - place)


def snow17(day, state, p):
    """One day; ``day`` is (precipitation, temperature, day of year), ``state`` a dict that is changed.

    Rates of ``p`` are per day. Gives rain plus melt, rain, and snowfall (mm).
    """
    px, ta, doy = day
    rain = snowfall = 0.0
    if ta <= p["PXTEMP"]:
        snowfall = px * p["SCF"]
    else:
        rain = px
    fallen = rain, snowfall
    state["WE"] += snowfall
    total = state["WE"] + state["LIQW"]
    state["ACCMAX"] = max(state["ACCMAX"], total)
    new_cold = min(ta, 0.0)
    if snowfall > 1.5 * 24:
        state["TINDEX"] = new_cold

    def melt_out(water):
        state.update(WE=0.0, LIQW=0.0, NEGHS=0.0, TINDEX=0.0, ACCMAX=0.0)
        return water, *fallen

    if state["WE"] <= p["DAYGM"]:
        return melt_out(rain + total)
    full = min(state["ACCMAX"], p["SI"])
    cover = depletion(total / full)

    season = 0.5 * math.sin((doy - 80) * 2 * math.pi / 365) + 0.5
    factor = p["MFMIN"] + season * (p["MFMAX"] - p["MFMIN"])
    cooling = factor / p["MFMAX"] * p["NMF"] * (state["TINDEX"] - new_cold)
    weight = 1 - (1 - p["TIPM"]) ** 4
    state["TINDEX"] = min(state["TINDEX"] + weight * (ta - state["TINDEX"]), 0.0)
    rain_heat = 0.0125 * rain * max(ta, 0.0)
    if rain > 0.25 * 24:
        vapour = 0.9 * 2.7489e8 * math.exp(-4278.63 / (ta + 242.792))
        radiation = 0.0612 * 24 * (((ta + 273) / 100) ** 4 - 55.55)
        latent = 8.5 * (vapour - 6.11) * p["UADJ"]
        sensible = 7.5 * 0.000646 * 33.86 * 29.9 * p["UADJ"] * ta
        melt = max(radiation + latent + sensible + rain_heat, 0.0)
    else:
        melt = factor * max(ta - p["MBASE"], 0.0) + rain_heat

    melt *= cover
    cooling *= cover
    ground = p["DAYGM"] * cover
    lost = ground / state["WE"] * state["LIQW"]
    beside = (1 - cover) * rain
    rain -= beside
    cooling = max(cooling, -state["NEGHS"])
    state["WE"] -= ground
    state["LIQW"] -= lost
    if melt >= state["WE"]:
        return melt_out(beside + ground + lost + state["WE"] + state["LIQW"] + rain)
    state["WE"] -= melt
    water = melt + rain
    holds = p["PLWHC"] * state["WE"]
    deficit = min(state["NEGHS"] + cooling - new_cold * snowfall / 160, 0.33 * state["WE"])
    excess = 0.0
    if water + state["LIQW"] >= holds + deficit + p["PLWHC"] * deficit:
        excess = water + state["LIQW"] - holds - deficit - p["PLWHC"] * deficit
        state["LIQW"] = holds + p["PLWHC"] * deficit
        state["WE"] += deficit
        deficit = 0.0
    elif water >= deficit:
        state["LIQW"] += water - deficit
        state["WE"] += deficit
        deficit = 0.0
    else:
        state["WE"] += water
        deficit -= water
    state["NEGHS"] = deficit
    if deficit == 0.0:
        state["TINDEX"] = 0.0
    return beside + ground + lost + excess, *fallen


def sac_sma(water, demand, s, p, increments=None, program=True):
    """One day of SAC-SMA; ``s`` (UZTWC ...) is changed. Gives channel inflow, ET and deep recharge (mm).

    Parameters
    ----------
    increments : parts of the day; None for the program's one for every 5 mm of upper free water.
    program : with the small limits of the program, and its last line.
    """
    least = 1e-5 if program else 0.0
    zone = p["UZTWM"] + p["LZTWM"]
    e1 = demand * s["UZTWC"] / p["UZTWM"]
    e2 = 0.0
    if e1 > s["UZTWC"]:
        e1 = s["UZTWC"]
        s["UZTWC"] = 0.0
        e2 = min(demand - e1, s["UZFWC"])
        s["UZFWC"] -= e2
    else:
        s["UZTWC"] -= e1
        if s["UZTWC"] / p["UZTWM"] < s["UZFWC"] / p["UZFWM"]:
            filling = (s["UZTWC"] + s["UZFWC"]) / (p["UZTWM"] + p["UZFWM"])
            s["UZTWC"], s["UZFWC"] = p["UZTWM"] * filling, p["UZFWM"] * filling
    red = demand - e1 - e2
    for name in ("UZTWC", "UZFWC"):
        s[name] = 0.0 if s[name] < least else s[name]
    e3 = min(red * s["LZTWC"] / zone, s["LZTWC"])
    s["LZTWC"] -= e3
    saved = p["RSERV"] * (p["LZFPM"] + p["LZFSM"])
    ratio = (s["LZTWC"] + s["LZFPC"] + s["LZFSC"] - saved) / (p["LZTWM"] + p["LZFPM"] + p["LZFSM"] - saved)
    if s["LZTWC"] / p["LZTWM"] < ratio:
        moved = (ratio - s["LZTWC"] / p["LZTWM"]) * p["LZTWM"]
        s["LZTWC"] += moved
        s["LZFSC"] -= moved
        if s["LZFSC"] < 0.0:
            s["LZFPC"] += s["LZFSC"]
            s["LZFSC"] = 0.0
    s["LZTWC"] = 0.0 if s["LZTWC"] < least else s["LZTWC"]
    e5 = min(max(e1 + (red + e2) * (s["ADIMC"] - e1 - s["UZTWC"]) / zone, 0.0), s["ADIMC"])
    s["ADIMC"] -= e5

    excess = max(water + s["UZTWC"] - p["UZTWM"], 0.0)
    s["UZTWC"] = min(s["UZTWC"] + water, p["UZTWM"])
    s["ADIMC"] += water - excess
    direct, surface, interflow, base = _drain(excess, s, p, increments, program)
    pervious = 1 - p["ADIMP"] - p["PCTIM"]
    base *= pervious
    channel = water * p["PCTIM"] + p["ADIMP"] * direct + surface + pervious * interflow
    channel += base / (1 + p["SIDE"])
    e4 = min((demand - e1 - e2 - e3) * p["RIVA"], channel)
    if program and s["ADIMC"] < s["UZTWC"]:
        s["ADIMC"] = s["UZTWC"]
    evaporated = pervious * (e1 + e2 + e3) + p["ADIMP"] * e5 + e4
    return channel - e4, evaporated, base - base / (1 + p["SIDE"])


def _drain(excess, s, p, increments, program):
    if increments is None:
        increments = int(1 + 0.2 * (s["UZFWC"] + excess))
    part = excess / increments
    share = {k: 1 - (1 - p[k]) ** (1 / increments) for k in ("UZK", "LZPK", "LZSK")}
    pervious = 1 - p["ADIMP"] - p["PCTIM"]
    direct = surface = interflow = base = 0.0
    for _ in range(increments):
        ratio = max((s["ADIMC"] - s["UZTWC"]) / p["LZTWM"], 0.0)
        shed = part * ratio**2
        open_surface = 0.0
        for name, rate in (("LZFPC", "LZPK"), ("LZFSC", "LZSK")):
            flow = s[name] * share[rate]
            s[name] -= flow
            if program and s[name] <= 0.0001:
                flow += s[name]
                s[name] = 0.0
            base += flow
        if part + s["UZFWC"] > (0.01 if program else 0.0):
            interflow += _percolate(s, p, share)
            if part > 0.0:
                above = max(part + s["UZFWC"] - p["UZFWM"], 0.0)
                s["UZFWC"] = min(part + s["UZFWC"], p["UZFWM"])
                open_surface = above * (1 - shed / part)
                surface += above * pervious + open_surface * p["ADIMP"]
        else:
            s["UZFWC"] += part
        s["ADIMC"] += part - shed - open_surface
        over = max(s["ADIMC"] - p["UZTWM"] - p["LZTWM"], 0.0)
        s["ADIMC"] -= over
        direct += shed + over
        s["ADIMC"] = 0.0 if program and s["ADIMC"] < 1e-5 else s["ADIMC"]
    return direct, surface, interflow, base


def _percolate(s, p, share):
    """Move upper free water to the lower zone; gives the interflow of the increment (mm)."""
    capacity = p["LZTWM"] + p["LZFPM"] + p["LZFSM"]
    dryness = 1 - (s["LZTWC"] + s["LZFPC"] + s["LZFSC"]) / capacity
    percolation = (p["LZFPM"] * share["LZPK"] + p["LZFSM"] * share["LZSK"]) * s["UZFWC"] / p["UZFWM"]
    percolation *= 1 + p["ZPERC"] * max(dryness, 0.0) ** p["REXP"]
    percolation = min(percolation, s["UZFWC"])
    room = capacity - s["LZTWC"] - s["LZFPC"] - s["LZFSC"]
    percolation = max(min(percolation, room), 0.0)
    s["UZFWC"] -= percolation
    interflow = s["UZFWC"] * share["UZK"]
    s["UZFWC"] -= interflow

    to_tension = percolation * (1 - p["PFREE"])
    free = max(to_tension + s["LZTWC"] - p["LZTWM"], 0.0)
    s["LZTWC"] = min(s["LZTWC"] + to_tension, p["LZTWM"])
    free += percolation * p["PFREE"]
    if free > 0.0:
        primary, supplemental = 1 - s["LZFPC"] / p["LZFPM"], 1 - s["LZFSC"] / p["LZFSM"]
        size = p["LZFPM"] / (p["LZFPM"] + p["LZFSM"])
        to_primary = 1.0
        if primary + supplemental > 0.0:
            to_primary = min(2 * size * primary / (primary + supplemental), 1.0)
        to_supplemental = min(free - free * to_primary, p["LZFSM"] - s["LZFSC"])
        s["LZFSC"] += to_supplemental
        s["LZFPC"] += free - to_supplemental
        if s["LZFPC"] > p["LZFPM"]:
            s["LZTWC"] += s["LZFPC"] - p["LZFPM"]
            s["LZFPC"] = p["LZFPM"]
    return interflow
