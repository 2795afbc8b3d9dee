"""Run folders: written whole, read by anyone, found whatever state they are in."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.storage import results
from thalweg.storage.errors import InputError

SITES = ["camels_01013500", "camels_09510200", "camels_14400000"]


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "experiment": "sample",
        "model": "hybrid",
        "kind": "hybrid",
        "split": "temporal",
        "fold": "0",
        "seed": 1,
        "test": {"sites": 3, "start": "1999-10-01", "end": "2009-09-30"},
        **changes,
    }


def daily(variables: tuple[str, ...], components: int | None = None, days: int = 40) -> xr.Dataset:
    generator = np.random.default_rng(1)
    dims: tuple[str, ...] = ("site", "time")
    shape: tuple[int, ...] = (3, days)
    if components:
        dims, shape = (*dims, "component"), (*shape, components)
    return xr.Dataset(
        {name: (dims, generator.random(shape)) for name in variables},
        coords={
            "site": SITES,
            "time": pd.date_range("1999-10-01", periods=days),
            "latitude": ("site", [47.2, 33.9, 42.8]),
            "longitude": ("site", [-68.6, -111.5, -124.1]),
            "region": ("site", ["01", "15", "17"]),
        },
    )


def write_run(root: Path, experiment: str = "sample", **changes: Any) -> Path:
    """Write a whole run."""
    content = manifest(experiment=experiment, **changes)
    folder = (
        root / experiment / results.run_name(*(content[key] for key in ("model", "split", "fold", "seed")))
    )
    results.write_manifest(folder, content)
    results.write_status(folder, {"state": "done", "epoch": 2, "epochs": 2})
    for epoch in (1, 2):
        results.append_history(folder, {"epoch": epoch, "loss": 1 / 3 / epoch, "learning_rate": 0.001})
    place = daily(()).coords
    results.write_metrics(
        folder, xr.Dataset({"nse": ("site", [0.5, np.nan, 0.7])}, coords=place).drop_vars("time")
    )
    results.write_predictions(folder, daily(("simulated", "observed")))
    return folder


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    run = results.Run(folder)
    assert run.problems == []
    assert run.id == "sample/hybrid--temporal--0--s1" == run.manifest["id"]
    assert (run.experiment, run.model, run.kind, run.split, run.fold, run.seed, run.state) == (
        "sample", "hybrid", "hybrid", "temporal", "0", 1, "done",
    )  # fmt: skip
    assert run.manifest["format"] == 1
    assert run.history()["loss"].tolist() == pytest.approx([1 / 3, 1 / 6], rel=1e-15)
    assert run.history()["validation"].isna().all()
    metrics = run.metrics()
    assert metrics.columns.tolist() == ["site", "latitude", "longitude", "region", "nse"]
    assert metrics["region"].tolist() == ["01", "15", "17"]
    predictions = run.predictions()
    assert predictions is not None
    assert predictions["simulated"].attrs["units"] == "mm/day"
    given = daily(("simulated", "observed")).astype("float32")
    np.testing.assert_array_equal(predictions["observed"], given["observed"])
    assert predictions.sel(site="camels_09510200", time="1999-10-03")["simulated"].ndim == 0
    assert predictions.sel(site=SITES[1:])["region"].values.tolist() == ["15", "17"]
    assert run.parameters() is None
    assert run.fluxes() is None
    assert run.problems == []


def test_the_files_are_read_without_thalweg_and_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = write_run(tmp_path)
        assert json.loads((folder / "manifest.json").read_text())["experiment"] == "sample"
        assert len(pd.read_csv(folder / "history.csv")) == 2
        assert len(pd.read_parquet(folder / "metrics.parquet")) == 3
        with xr.open_zarr(folder / "predictions.zarr", chunks=None) as predictions:
            assert predictions["simulated"].dims == ("site", "time")
            assert predictions["simulated"].dtype == np.float32
            assert predictions.attrs["format"] == 1
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_components_are_averaged_where_time_is(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    both = daily(("recharge_exponent",), components=4)
    both["recharge_exponent"].attrs["units"] = "1"
    both["field_capacity"] = (("site", "component"), np.full((3, 4), 200.0), {"units": "mm"})
    results.write_parameters(folder, both)
    results.write_fluxes(
        folder, daily(("recharge", "snowpack"), components=4).transpose("time", "site", "component")
    )
    run = results.Run(folder)
    parameters, fluxes = run.parameters(), run.fluxes()
    assert parameters is not None
    assert fluxes is not None
    assert parameters["field_capacity"].dims == ("site", "component")
    assert parameters["recharge_exponent"].dims == ("site", "time")
    assert parameters["recharge_exponent"].attrs["units"] == "1"
    expected = both["recharge_exponent"].mean("component")
    np.testing.assert_allclose(parameters["recharge_exponent"], expected, rtol=1e-6)
    assert {array.dims for array in fluxes.data_vars.values()} == {("site", "time")}
    results.write_parameters(folder, both[["field_capacity"]])
    static = results.Run(folder).parameters()
    assert static is not None
    assert dict(static.sizes) == {"site": 3, "component": 4}, "no days where nothing varies in time"


def test_long_records_and_single_days_are_stored(tmp_path: Path) -> None:
    for days in (1, 9000):
        given = daily(("simulated", "observed"), days=days)
        results.write_predictions(tmp_path, given)
        read = xr.open_zarr(tmp_path / "predictions.zarr", chunks=None)
        np.testing.assert_array_equal(read["simulated"], given["simulated"].astype("float32"))
        assert read.indexes["time"].equals(given.indexes["time"])


def test_status_is_plain_json_and_has_a_time(tmp_path: Path) -> None:
    results.write_status(tmp_path, {"state": "running", "loss": math.nan, "epoch": np.int64(3)})
    text = (tmp_path / "status.json").read_text()
    assert "NaN" not in text
    status = json.loads(text)
    assert status["loss"] is None
    assert status["epoch"] == 3
    assert status["updated"].endswith("+00:00")
    with pytest.raises(ValueError, match="unknown state 'finished'"):
        results.write_status(tmp_path, {"state": "finished"})


def test_a_manifest_must_say_which_run_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks \['seed'\]"):
        results.write_manifest(tmp_path, {key: "x" for key in manifest() if key != "seed"})
    with pytest.raises(TypeError, match="no place in a JSON file"):
        results.write_manifest(tmp_path, manifest(config=object()))


def test_epochs_repeated_after_a_resume_are_there_once(tmp_path: Path) -> None:
    for epoch in (1, 2, 3, 2, 3, 4):
        results.append_history(tmp_path, {"epoch": epoch, "loss": epoch, "seconds": 1.5, "extra": 2})
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table.columns.tolist() == [*results.HISTORY_COLUMNS, "extra"]


def test_metrics_without_a_place_have_empty_columns(tmp_path: Path) -> None:
    results.write_metrics(tmp_path, pd.DataFrame({"nse": [0.1], "site": ["a"]}))
    table = pd.read_parquet(tmp_path / "metrics.parquet")
    assert table["latitude"].isna().all()
    assert table["region"].tolist() == [""]
    with pytest.raises(ValueError, match="no `site`"):
        results.write_metrics(tmp_path, pd.DataFrame({"nse": [0.1]}))
    with pytest.raises(ValueError, match="lack \\['observed'\\]"):
        results.write_predictions(tmp_path, daily(("simulated",)))


def test_runs_are_found_in_a_fixed_order(tmp_path: Path) -> None:
    for fold in ("10", "9", "2"):
        write_run(tmp_path, split="ungauged_sites", fold=fold)
    write_run(tmp_path, experiment="other")
    (tmp_path / "sample" / "search").mkdir()
    (tmp_path / "sample" / "notes.txt").touch()
    (tmp_path / "sample" / ".half--temporal--0--s1").mkdir()
    assert [run.fold for run in results.find_runs(tmp_path, "sample")] == ["2", "9", "10"]
    assert len(results.find_runs(tmp_path)) == 4
    assert results.find_runs(tmp_path, "absent") == []
    assert results.find_runs(tmp_path / "absent") == []


def damage(folder: Path, kind: str) -> str:
    """Damage a run's folder in one way; gives what its problems must then say."""
    match kind:
        case "no manifest":
            (folder / "manifest.json").unlink()
            return "manifest.json: missing"
        case "half a manifest":
            text = (folder / "manifest.json").read_text()
            (folder / "manifest.json").write_text(text[: len(text) // 2])
            return "manifest.json: cannot be read"
        case "a list":
            (folder / "status.json").write_text("[1, 2]")
            return "status.json: cannot be read (holds a list"
        case "binary":
            (folder / "status.json").write_bytes(b"\xff\xfe\x00")
            return "status.json: cannot be read"
        case "newer":
            results.write_manifest(folder, manifest(format=2))
            return "format 2 is unknown"
        case "half the metrics":
            content = (folder / "metrics.parquet").read_bytes()
            (folder / "metrics.parquet").write_bytes(content[:100])
            return "metrics.parquet: cannot be read"
        case "no predictions' metadata":
            (folder / "predictions.zarr" / "zarr.json").unlink()
            return "predictions.zarr: cannot be read"
        case "predictions of nothing":
            shutil.rmtree(folder / "predictions.zarr")
            xr.Dataset({"simulated": ("site", [1.0])}).to_zarr(
                folder / "predictions.zarr", consolidated=False
            )
            return "predictions.zarr: lacks observed"
        case "empty history":
            (folder / "history.csv").write_text("")
            return "history.csv: cannot be read"
        case "another history":
            (folder / "history.csv").write_text("a,b\n1,2\n")
            return "history.csv: lacks epoch, loss"
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "no manifest", "half a manifest", "a list", "binary", "newer", "half the metrics",
        "no predictions' metadata", "predictions of nothing", "empty history", "another history",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Failed to open Zarr store")
def test_a_damaged_run_is_found_and_says_what_is_wrong(tmp_path: Path, kind: str) -> None:
    whole, damaged = write_run(tmp_path), write_run(tmp_path, seed=2)
    expected = damage(damaged, kind)
    runs = {run.path: run for run in results.find_runs(tmp_path)}
    assert set(runs) == {whole, damaged}
    run = runs[damaged]
    for read in (run.history, run.metrics, run.predictions, run.parameters, run.fluxes, run.metrics):
        read()
    assert len(run.problems) == 1
    assert expected in run.problems[0]
    assert "\n" not in run.problems[0]
    assert (run.experiment, run.model, run.split, run.fold) == ("sample", "hybrid", "temporal", "0")
    assert runs[whole].problems == []
    assert len(results.collect_metrics(runs.values())) == (3 if kind == "half the metrics" else 6)


def test_an_empty_run_folder_is_a_run_without_results(tmp_path: Path) -> None:
    (tmp_path / "sample" / "lstm--ungauged_regions--01+02--s3").mkdir(parents=True)
    (run,) = results.find_runs(tmp_path)
    assert (run.model, run.split, run.fold, run.seed, run.state) == (
        "lstm",
        "ungauged_regions",
        "01+02",
        3,
        "unknown",
    )
    assert run.problems == ["manifest.json: missing", "status.json: missing"]
    assert run.history().columns.tolist() == list(results.HISTORY_COLUMNS)
    assert run.metrics().empty
    assert run.predictions() is None


def test_a_run_that_has_not_begun_has_no_manifest_to_miss(tmp_path: Path) -> None:
    folder = tmp_path / "sample" / "lstm--temporal--0--s1"
    for state, missed in (("waiting", []), ("running", []), ("failed", ["manifest.json: missing"])):
        results.write_status(folder, {"state": state})
        run = results.Run(folder)
        assert run.problems == missed
        assert (run.model, run.split, run.state) == ("lstm", "temporal", state)


def test_a_run_is_found_by_its_id_or_its_beginning(tmp_path: Path) -> None:
    for seed in (1, 10):
        write_run(tmp_path, seed=seed)
    write_run(tmp_path, experiment="other", model="lstm")
    for wanted in (
        "sample/hybrid--temporal--0--s1",
        "hybrid--temporal--0--s1",
        f"{tmp_path}/sample/hybrid--temporal--0--s1/",
    ):
        assert results.find_run(tmp_path, wanted).seed == 1
    assert results.find_run(tmp_path, "other/").model == "lstm"
    assert results.find_run(tmp_path, "lstm").experiment == "other"
    with pytest.raises(InputError, match="fits 2 runs"):
        results.find_run(tmp_path, "sample/hybrid")
    with pytest.raises(InputError, match="did you mean sample/hybrid--temporal--0--s1"):
        results.find_run(tmp_path, "sample/hibrid--temporal--0--s1")
    for nothing in ("", "../../etc"):
        with pytest.raises(InputError):
            results.find_run(tmp_path, nothing)
    with pytest.raises(InputError, match="there are 0 runs"):
        results.find_run(tmp_path / "absent", "x")


def test_the_same_name_in_two_experiments_needs_the_experiment(tmp_path: Path) -> None:
    write_run(tmp_path, experiment="a")
    write_run(tmp_path, experiment="b")
    with pytest.raises(InputError, match="fits 2 runs"):
        results.find_run(tmp_path, "hybrid--temporal--0--s1")
    assert results.find_run(tmp_path, "b/hybrid--temporal--0--s1").experiment == "b"


def test_metrics_of_all_runs_in_one_table(tmp_path: Path) -> None:
    write_run(tmp_path)
    write_run(tmp_path, model="climatology", kind="floor", seed=0)
    waiting = tmp_path / "sample" / "lstm--temporal--0--s1"
    results.write_manifest(waiting, manifest(model="lstm"))
    results.write_status(waiting, {"state": "failed", "message": "not finite"})
    runs = results.find_runs(tmp_path)
    table = results.collect_metrics(runs)
    assert table.columns.tolist() == [*results.CELL_COLUMNS, "site", "latitude", "longitude", "region", "nse"]
    assert table["model"].tolist() == ["climatology"] * 3 + ["hybrid"] * 3
    assert table["seed"].tolist() == [0] * 3 + [1] * 3
    assert results.collect_metrics([]).empty
    cells = results.collect_runs(runs)
    assert cells["state"].tolist() == ["done", "done", "failed"]
    assert cells["sites"].tolist() == [3, 3, 3]
    assert cells["message"].tolist() == ["", "", "not finite"]


def test_no_room_leaves_every_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path)
    before = results.Run(folder).metrics()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: results.write_predictions(folder, daily(("simulated", "observed"), days=3)),
        lambda: results.write_metrics(folder, pd.DataFrame({"site": ["a"], "nse": [1.0]})),
        lambda: results.write_status(folder, {"state": "running"}),
        lambda: results.append_history(folder, {"epoch": 3}),
    ):
        with pytest.raises(InputError, match="no room left on the disk"):
            write()
    run = results.Run(folder)
    pd.testing.assert_frame_equal(run.metrics(), before)
    assert run.state == "done"
    predictions = run.predictions()
    assert predictions is not None
    assert predictions.sizes["time"] == 40
    assert len(run.history()) == 2
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_run_names_are_safe_as_folder_names() -> None:
    assert results.run_name("hybrid", "ungauged_sites", 0, 1) == "hybrid--ungauged_sites--0--s1"
    assert results.run_name("lstm", "by region", "../Þ 01/02", 2) == "lstm--by_region--..___01_02--s2"
