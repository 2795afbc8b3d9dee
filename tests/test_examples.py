"""The shipped examples are what the README says they are."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
import yaml

from thalweg.flows.experiment import Experiment, load_experiment
from thalweg.models.engine import simulate
from thalweg.models.process import mass_residual
from thalweg.models.process_check import check_step

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


# a nightly chain is no experiment, but names one
EXPERIMENTS = sorted(path for path in (ROOT / "examples").glob("*.yaml") if path.name != "nightly.yaml")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_every_example_is_a_valid_experiment(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    assert load_experiment(path).models


def test_the_experiment_in_the_readme_is_valid():
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert set(Experiment.model_validate(yaml.safe_load(text)).models) == {"physics", "lstm", "hybrid"}


def test_the_model_in_the_readme_is_the_one_that_is_shipped_and_closes_its_balance():
    source = (ROOT / "examples" / "my_model.py").read_text(encoding="utf-8")
    assert source[source.index("import torch") :].strip() in README
    spec = importlib.util.spec_from_file_location("my_model", ROOT / "examples" / "my_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    process = module.Bucket()
    check_step(process)
    torch.manual_seed(0)
    forcing = {item.name: 10 * torch.rand(300, 5, dtype=torch.float64) ** 3 for item in process.forcings}
    parameters = {
        p.name: p.lower + (p.upper - p.lower) * torch.rand(5, 2, dtype=torch.float64)
        for p in process.parameters
    }
    result = simulate(process, forcing, parameters, backend="fused")
    initial = {s.name: torch.full((5, 2), s.initial, dtype=torch.float64) for s in process.states}
    residual = mass_residual(process, forcing, result.fluxes, initial, result.final)
    assert float(residual.abs().max()) < 1e-9


def test_every_file_the_readme_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
