"""How fast other packages' data loaders give training windows; run by a Python that has them.

    PEER_PYTHON benchmarks/storage_peers.py neuralhydrology|xbatcher FOLDER --window 365 --batch 256

FOLDER holds ``data.npz`` with ``forcings (site, time, variable)``, ``target (site, time)`` and ``first``, the
first day. For every line on its standard input it prints one JSON object: the way of loading -> windows a
second in a spell of a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

SPELL = 1.0  # s


def rate(batches: Callable[[], Iterable], count: Callable[[object], int]) -> float:
    """Give windows a second, the first batch (which starts worker processes) not counted."""
    stream = iter(batches())
    next(stream)
    seen, begun = 0, time.perf_counter()
    for batch in stream:
        seen += count(batch)
        if time.perf_counter() - begun > SPELL:
            break
    return seen / (time.perf_counter() - begun)


Loaders = dict[str, Callable[[], float]]


def neuralhydrology(folder: Path, window: int, batch: int) -> Loaders:
    """Its generic dataset, one predicted day or all of them alike: a sample is one window of one site."""
    import pandas as pd
    import torch
    import xarray as xr
    from neuralhydrology.datasetzoo.genericdataset import GenericDataset
    from neuralhydrology.utils.config import Config

    data = np.load(folder / "data.npz")
    forcings, target = data["forcings"], data["target"]
    days = pd.date_range(str(data["first"]), periods=target.shape[1])
    names = [f"forcing_{place}" for place in range(forcings.shape[2])]
    sites = [f"site_{place:05d}" for place in range(len(target))]
    (folder / "time_series").mkdir(exist_ok=True)
    (folder / "attributes").mkdir(exist_ok=True)
    (folder / "basins.txt").write_text("\n".join(sites))
    for row, site in enumerate(sites):
        columns = {name: ("date", forcings[row, :, place]) for place, name in enumerate(names)}
        xr.Dataset({**columns, "discharge": ("date", target[row])}, {"date": days}).to_netcdf(
            folder / "time_series" / f"{site}.nc"
        )
    static = pd.DataFrame(np.random.default_rng(0).normal(size=(len(sites), 27)), index=sites)
    static.columns = [f"attribute_{place}" for place in range(27)]
    static.rename_axis("site").to_csv(folder / "attributes" / "attributes.csv")
    day = "%d/%m/%Y"
    config = Config(
        {
            "experiment_name": "loader",
            "run_dir": str(folder),
            "train_dir": str(folder / "train"),
            "data_dir": str(folder),
            "dataset": "generic",
            "dynamic_inputs": names,
            "static_attributes": list(static.columns),
            "target_variables": ["discharge"],
            "seq_length": window,
            "predict_last_n": 1,
            "batch_size": batch,
            "model": "cudalstm",
            "head": "regression",
            "loss": "NSE",
            "train_basin_file": str(folder / "basins.txt"),
            "train_start_date": days[window].strftime(day),
            "train_end_date": days[-1].strftime(day),
            "num_workers": 0,
            "verbose": 0,
        }
    )
    (folder / "train").mkdir(exist_ok=True)
    dataset = GenericDataset(config, is_train=True, period="train")

    def count(found: dict) -> int:
        return len(found["y"])

    def loader(workers: int) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(
            dataset, batch_size=batch, shuffle=True, num_workers=workers, collate_fn=dataset.collate_fn
        )

    return {
        "neuralhydrology, in the process": lambda: rate(lambda: loader(0), count),
        "neuralhydrology, two workers": lambda: rate(lambda: loader(2), count),
    }


def xbatcher(folder: Path, window: int, batch: int) -> Loaders:
    """Data in memory, one array for all forcings: windows one by one, shuffled, and blocks of sites."""
    import torch
    import xarray as xr
    from xbatcher import BatchGenerator
    from xbatcher.loaders.torch import MapDataset

    data = np.load(folder / "data.npz")
    forcings = xr.DataArray(data["forcings"], dims=("site", "time", "variable"))
    target = xr.DataArray(data["target"], dims=("site", "time"))

    def windows(sites: int) -> MapDataset:
        # a window may begin every fifth of its length: each day would make millions of patches
        lengths, overlap = {"site": sites, "time": window}, {"time": window - window // 5}
        inputs = BatchGenerator(
            forcings,
            {**lengths, "variable": forcings.sizes["variable"]},
            input_overlap=overlap,
            preload_batch=False,
        )
        outputs = BatchGenerator(target, lengths, input_overlap=overlap, preload_batch=False)
        return MapDataset(
            inputs,
            outputs,
            transform=lambda values: torch.from_numpy(values.data),
            target_transform=lambda values: torch.from_numpy(values.data),
        )

    single, block = windows(1), windows(64)

    def shuffled(workers: int) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(single, batch_size=batch, shuffle=True, num_workers=workers)

    def blocks() -> Iterable:
        # copied, as what is trained on is not a view of what is read
        for place in torch.randperm(len(block)).tolist():
            x, y = block[place]
            yield x.clone(), y.clone()

    def count(found: tuple) -> int:
        return len(found[1])

    return {
        "xbatcher, windows shuffled, in the process": lambda: rate(lambda: shuffled(0), count),
        "xbatcher, windows shuffled, two workers": lambda: rate(lambda: shuffled(2), count),
        "xbatcher, 64 neighbours with one first day": lambda: rate(blocks, count),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("package", choices=["neuralhydrology", "xbatcher"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--window", type=int, default=365)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    function = {"neuralhydrology": neuralhydrology, "xbatcher": xbatcher}[options.package]
    import torch

    torch.set_num_threads(1)  # as a run of Thalweg has by default; with more, a busy machine stalls all
    loaders = function(options.folder, options.window, options.batch)
    print(json.dumps(list(loaders)), flush=True)
    for _ in sys.stdin:
        print(json.dumps({name: loader() for name, loader in loaders.items()}), flush=True)


if __name__ == "__main__":
    main()
