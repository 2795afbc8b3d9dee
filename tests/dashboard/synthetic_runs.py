"""Run folders with plausible rivers, made without training anything: for tests and for screenshots."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from thalweg.evaluation.skill import skill
from thalweg.storage.results import (
    run_name,
    write_history,
    write_manifest,
    write_metrics,
    write_predictions,
    write_status,
)

# latitude, longitude (degrees), HUC-2 region, mean annual precipitation (mm)
PLACES = (
    (45.2, -69.3, "01", 1100), (43.9, -71.5, "01", 1200), (42.4, -72.8, "01", 1250),
    (41.6, -74.6, "02", 1200), (39.8, -77.4, "02", 1080), (38.4, -79.2, "02", 1000),
    (35.9, -82.1, "03", 1450), (33.4, -84.3, "03", 1280), (31.2, -86.9, "03", 1550),
    (28.3, -81.6, "03", 1320), (44.2, -84.6, "04", 830), (42.9, -78.4, "04", 1050),
    (46.3, -90.1, "04", 860), (38.6, -81.0, "05", 1150), (39.6, -85.1, "05", 1090),
    (37.4, -84.8, "05", 1240), (35.6, -83.6, "06", 1600), (36.2, -86.8, "06", 1330),
    (45.6, -93.1, "07", 760), (43.1, -91.2, "07", 870), (41.0, -92.4, "07", 910),
    (34.6, -91.8, "08", 1330), (32.4, -90.2, "08", 1420), (47.6, -96.4, "09", 560),
    (46.9, -111.6, "10", 420), (44.3, -108.9, "10", 380), (43.6, -99.4, "10", 500),
    (41.1, -104.8, "10", 420), (40.2, -97.1, "10", 720), (39.0, -95.9, "10", 890),
    (38.7, -106.1, "11", 480), (36.4, -98.4, "11", 720), (35.8, -94.2, "11", 1180),
    (31.6, -98.9, "12", 740), (29.7, -97.1, "12", 890), (35.7, -105.8, "13", 450),
    (33.4, -105.7, "13", 480), (39.6, -106.5, "14", 640), (37.6, -107.8, "14", 760),
    (33.9, -109.6, "15", 560), (34.6, -111.6, "15", 480), (40.7, -111.5, "16", 720),
    (39.2, -119.9, "16", 690), (47.4, -121.4, "17", 2300), (44.1, -122.2, "17", 1900),
    (48.3, -116.4, "17", 860), (43.9, -115.2, "17", 780), (41.3, -123.4, "18", 1500),
    (38.1, -119.8, "18", 1080), (34.7, -119.3, "18", 620),
)  # fmt: skip
SHORTFALL = {"hybrid": 0.34, "lstm": 0.42, "physics": 0.52}
"""How far each model's parameters are from the truth, as a share."""


@dataclass(frozen=True)
class World:
    """True rivers: everything over (site, time), mm/day and degrees Celsius."""

    sites: tuple[str, ...]
    time: pd.DatetimeIndex
    places: pd.DataFrame
    precipitation: np.ndarray
    temperature: np.ndarray
    character: np.ndarray
    observed: np.ndarray


def make_world(sites: int, start: str, end: str, seed: int = 0) -> World:
    """Weather and observed flow at the first or an even choice of the places."""
    generator = np.random.default_rng(seed)
    pick = np.linspace(0, len(PLACES) - 1, sites).round().astype(int)
    places = pd.DataFrame([PLACES[i] for i in pick], columns=["latitude", "longitude", "region", "annual"])
    places.index = pd.Index([f"camels_{1022500 + 3791 * int(i):08d}" for i in pick], name="site")
    time = pd.date_range(start, end, freq="D")
    day = time.day_of_year.to_numpy()
    latitude, annual = places["latitude"].to_numpy()[:, None], places["annual"].to_numpy()[:, None]
    season = np.cos(2 * np.pi * (day - 200) / 365.25)
    temperature = 30.5 - 0.52 * latitude + 11.5 * season + generator.normal(0, 2.6, (sites, len(time)))
    winter = np.where(places["region"].isin(["17", "18"]), 0.75, -0.15).astype(float)[:, None]
    wet = generator.random((sites, len(time))) < np.clip(0.28 * (1 - winter * season), 0.03, 0.9)
    amount = generator.gamma(0.75, 1.0, (sites, len(time))) * wet
    precipitation = amount * annual / 365.25 / np.maximum(amount.mean(axis=1, keepdims=True), 1e-6)
    character = generator.random((sites, 4))
    flow = bucket(precipitation, temperature, character)
    noise = np.exp(generator.normal(0, 0.06, flow.shape))
    observed = flow * noise
    observed[:, 40:52] = np.nan
    return World(tuple(places.index), time, places, precipitation, temperature, character, observed)


def bucket(precipitation: np.ndarray, temperature: np.ndarray, character: np.ndarray) -> np.ndarray:
    """Flow (mm/day) of a snow, soil and two-reservoir model; `character` in 0..1 per (site, 4)."""
    melt, field, quick, slow = character.T
    melt, field = 1.5 + 4 * melt, 60 + 260 * field
    quick, slow = 0.12 + 0.5 * quick, 0.004 + 0.03 * slow
    count = len(melt)
    snow, soil, fast, deep = np.zeros(count), field * 0.5, np.zeros(count), np.full(count, 25.0)
    flow = np.empty_like(precipitation)
    demand = np.clip(0.22 * (temperature + 3), 0, None)
    for t in range(precipitation.shape[1]):
        warm = temperature[:, t]
        frozen = warm < 0
        snow = snow + np.where(frozen, precipitation[:, t], 0.0)
        melted = np.minimum(snow, melt * np.clip(warm, 0, None))
        snow = snow - melted
        water = melted + np.where(frozen, 0.0, precipitation[:, t])
        recharge = water * np.clip(soil / field, 0, 1) ** 2
        soil = soil + water - recharge
        soil = np.clip(soil - demand[:, t] * np.clip(soil / (0.7 * field), 0, 1), 0, field)
        fast, deep = fast + 0.6 * recharge, deep + 0.4 * recharge
        flow[:, t] = quick * fast + slow * deep
        fast, deep = fast * (1 - quick), deep * (1 - slow)
    return flow


def simulate(world: World, model: str, split: str, seed: int) -> np.ndarray:
    """What a model would say: the truth's model with wrong parameters, more wrong where ungauged."""
    observed = world.observed
    if model == "persistence":
        lagged = np.roll(observed, 1, axis=1)
        lagged[:, 0] = np.nan
        return pd.DataFrame(lagged.T).ffill().bfill().to_numpy().T
    if model == "climatology":
        by_day = pd.DataFrame(observed.T, index=world.time).groupby(world.time.day_of_year).transform("mean")
        return by_day.rolling(15, 1, center=True).mean().to_numpy().T
    generator = np.random.default_rng(zlib.crc32(f"{model} {split}".encode()) + seed)
    wrong = SHORTFALL.get(model, 0.4) * (1.0 if split == "temporal" else 1.7)
    shift = generator.normal(0, wrong, world.character.shape)
    flow = bucket(world.precipitation, world.temperature, np.clip(world.character + shift, 0.0, 1.0))
    volume = np.exp(generator.normal(0, 0.35 * wrong, (len(world.sites), 1)))
    return flow * volume * np.exp(generator.normal(0, 0.04, flow.shape))


def write_run(
    root: Path,
    experiment: str,
    world: World,
    model: str,
    split: str,
    fold: str,
    seed: int,
    own: Sequence[int] | None = None,
) -> Path:
    """One finished run, tested at the sites with the numbers `own` (all of them where None)."""
    own = list(range(len(world.sites))) if own is None else list(own)
    folder = root / experiment / run_name(model, split, fold, seed)
    simulated, observed = simulate(world, model, split, seed)[own], world.observed[own]
    places = world.places.iloc[own]
    start_run(folder, experiment, world, model, split, fold, seed, len(own))
    dims = ("site", "time")
    predictions = xr.Dataset(
        {"simulated": (dims, simulated), "observed": (dims, observed)},
        coords={
            "site": list(places.index),
            "time": world.time,
            **{name: ("site", places[name].to_numpy()) for name in ("latitude", "longitude", "region")},
        },
    )
    write_predictions(folder, predictions)
    write_metrics(folder, skill(predictions["simulated"], predictions["observed"]))
    epochs = None if model in ("climatology", "persistence") else 30
    if epochs:
        write_history(folder, curve(epochs, seed + len(model)))
    seconds = (
        {"train": 140.0 + 10 * seed, "evaluate": 4.0, "total": 144.0 + 10 * seed}
        if epochs
        else {"total": 1.2}
    )
    write_status(
        folder, {"state": "done", "epoch": epochs, "epochs": epochs, "seconds": seconds, "attempts": 1}
    )
    return folder


def start_run(
    folder: Path,
    experiment: str,
    world: World,
    model: str,
    split: str,
    fold: str,
    seed: int,
    sites: int | None = None,
) -> None:
    """The manifest of a run."""
    floor = model in ("climatology", "persistence")
    write_manifest(
        folder,
        {
            "experiment": experiment,
            "model": model,
            "kind": "floor" if floor else {"physics": "calibrated"}.get(model, model),
            "split": split,
            "fold": fold,
            "seed": seed,
            "config": {"name": experiment},
            "snapshot": "5b1c0e94a7d2",
            "test": {
                "sites": sites or len(world.sites),
                "start": str(world.time[0].date()),
                "end": str(world.time[-1].date()),
            },
        },
    )


def curve(epochs: int, seed: int) -> pd.DataFrame:
    """A training curve that falls and flattens."""
    generator = np.random.default_rng(seed)
    epoch = np.arange(1, epochs + 1)
    loss = 0.3 + 0.6 * np.exp(-epoch / 6) + generator.normal(0, 0.008, epochs)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": loss,
            "validation": loss + 0.05 + 0.0015 * epoch,
            "learning_rate": 1e-3,
            "seconds": 4.6,
        }
    )


def write_experiments(
    root: Path, world: World, models: Sequence[str], seeds: Sequence[int], folds: int
) -> None:
    """Two experiments: one whole, and one with a failed, a running, a waiting and a half-written run."""
    for experiment, with_folds in (("sample", True), ("nightly", False)):
        for model in models:
            for seed in (0,) if model in ("climatology", "persistence") else seeds:
                write_run(root, experiment, world, model, "temporal", "0", seed)
                for fold in range(folds if with_folds else 0):
                    own = range(fold, len(world.sites), folds)
                    write_run(root, experiment, world, model, "ungauged_sites", str(fold), seed, own)
    broken = root / "nightly"
    for fold, status in (
        (
            "1",
            {
                "state": "failed",
                "epoch": 7,
                "epochs": 30,
                "message": "loss became NaN at epoch 7 (learning rate 0.05)",
            },
        ),
        ("2", {"state": "running", "epoch": 12, "epochs": 30, "loss": 0.41, "seconds": {"total": 61.0}}),
        ("3", {"state": "waiting", "epoch": 0, "epochs": 30}),
    ):
        folder = broken / run_name("lstm", "ungauged_sites", fold, 1)
        start_run(folder, "nightly", world, "lstm", "ungauged_sites", fold, 1)
        write_status(folder, status)
        write_history(folder, curve(int(status["epoch"]) or 1, 3).head(int(status["epoch"])))
    half = broken / run_name("hybrid", "ungauged_sites", "1", 1)
    half.mkdir(parents=True)
    (half / "manifest.json").write_text('{"format": 1, "experiment": "nightly", "mod', encoding="utf-8")
