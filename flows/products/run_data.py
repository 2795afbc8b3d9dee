"""What an evaluation may read of a run: its results, its experiment, its store, its trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import ValidationError

from thalweg.evaluation.stratified import attribute_classes
from thalweg.flows.experiment import FLOORS, Experiment, Model, override
from thalweg.flows.names import ENSEMBLE
from thalweg.flows.reproduction import cell_of
from thalweg.storage.attributes import default_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.layout import plain_text
from thalweg.storage.results import Run, forecast_of
from thalweg.storage.sites import site_rows
from thalweg.storage.store import open_store

if TYPE_CHECKING:
    from thalweg.flows.cell_spec import Cell
    from thalweg.flows.preparation import Preparation
    from thalweg.models import model as models

Forecast = xr.DataArray | xr.Dataset


@dataclass
class RunData:
    """A run that is done and all that belongs to it; each part is read when it is first asked for.

    Parameters
    ----------
    changes : dotted keys of the experiment with values that take the place of the manifest's.

    Attributes
    ----------
    member : the run whose model it is: itself, and of an ensemble the first member.
    """

    run: Run
    changes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment, as the manifest tells it."""
        try:
            return override(Experiment.model_validate(self.run.manifest["config"]), dict(self.changes))
        except (KeyError, ValidationError) as error:
            raise InputError(f"{self.run.path}/manifest.json: tells no experiment: {error}") from error

    @cached_property
    def spec(self) -> Model:
        """The model's section of the experiment."""
        try:
            return self.experiment.models[self.run.model.removesuffix(ENSEMBLE)]
        except KeyError:
            raise InputError(
                f"{self.run.path}/manifest.json: its experiment has no {self.run.model}"
            ) from None

    @property
    def floor(self) -> bool:
        """Whether it is a floor: nothing was trained."""
        return self.spec.kind in FLOORS

    @cached_property
    def member(self) -> Run:
        members = self.run.manifest.get("members")
        return Run(self.run.path.parent / str(members[0])) if members else self.run

    @cached_property
    def predictions(self) -> xr.Dataset:
        """``simulated`` and ``observed`` of the test part (mm/day), ``(site, time)``."""
        return plain_text(self._needed(self.run.predictions(), "predictions.zarr").load())

    @cached_property
    def validated(self) -> xr.Dataset | None:
        """The same of the validation part; None without one."""
        found = self.run.validated()
        return None if found is None else plain_text(found.load())

    @cached_property
    def forecast(self) -> Forecast | None:
        """The distribution of the test part, read when used; None for a model that gives none."""
        found = self.run.forecast()
        return None if found is None else forecast_of(plain_text(found))

    @cached_property
    def validated_forecast(self) -> Forecast | None:
        """The same of the validation part."""
        found = self.run.validated_forecast()
        return None if found is None else forecast_of(plain_text(found))

    @cached_property
    def store(self) -> xr.Dataset:
        """The store that the test part is in, at the version that was read; its data are read when used."""
        test = self.run.manifest.get("test") or {}
        if test.get("store"):
            return open_store(test["store"], test.get("version"))
        return open_store(self.experiment.data.store, str(self.run.manifest.get("snapshot")))

    def driver(self, name: str) -> xr.DataArray | None:
        """Give a variable of the store over sites and days of the test part; None where it has none such."""
        if name not in self.store:
            return None
        like = self.predictions["observed"]
        found = self.store[name].isel(site=self._rows())
        found = found.sel(time=like["time"]).load() if "time" in found.dims else found.load()
        return found.assign_coords(site=like["site"])

    @cached_property
    def attributes(self) -> xr.Dataset:
        """Static attributes of the tested sites ``(site,)``: those that the networks are given."""
        return self._tested(self.store_attributes)

    @cached_property
    def store_attributes(self) -> xr.Dataset:
        """The same of all sites of the store."""
        named = self.experiment.data.attributes
        names = list(default_attributes(self.store) if named is None else named)
        found = self.store[names].load()
        return found.drop_vars([name for name in found.coords if name != "site"])

    @property
    def attribute_classes(self) -> dict[str, xr.DataArray]:
        """Class of each tested site by each attribute, ``(site,)``, the same in all folds: of the store."""
        found = xr.Dataset({n: attribute_classes(values) for n, values in self.store_attributes.items()})
        return {str(name): classes for name, classes in self._tested(found).items()}

    @cached_property
    def cell(self) -> Cell:
        """The cell that was run: experiment, fold and seed."""
        return cell_of(self.member)

    @property
    def gauged(self) -> bool:
        """Whether the tested sites were trained on: of one fold either all are, or none."""
        return bool(set(self.cell.fold.test.sites) & set(self.cell.fold.train.sites))

    @cached_property
    def prepared(self) -> Preparation:
        """All data of the cell as tensors, scaled as for training."""
        from thalweg.flows.cell import prepare

        return prepare(self.cell)

    @cached_property
    def model(self) -> models.Model:
        """The trained model, with its weights, to evaluate; not for a floor."""
        import torch

        from thalweg.flows.cell import make_model

        path = self.member.path / "weights.pt"
        if not path.exists():
            raise InputError(f"{path}: is not there, so that its model cannot be asked")
        training = self.cell.experiment.training_for(self.cell.model)
        made = make_model(self.cell, self.prepared, self.prepared.training(training.warmup, training.window))
        made.load_state_dict(torch.load(path, weights_only=True, map_location=self.prepared.device))
        return made.eval()

    def _tested(self, found: xr.Dataset) -> xr.Dataset:
        """Give what belongs to the tested sites, in their order."""
        return found.isel(site=self._rows()).assign_coords(site=self.predictions["site"].values)

    def _rows(self) -> NDArray[np.int64]:
        """Give the rows of the tested sites in the store."""
        return site_rows(self.store, [str(site) for site in self.predictions["site"].values])

    def _needed(self, dataset: xr.Dataset | None, name: str) -> xr.Dataset:
        if dataset is None:
            raise InputError(f"{self.run.path}/{name}: {'; '.join(self.run.problems) or 'is not there'}")
        return dataset
