import torch

from thalweg.models.engine import simulate
from thalweg.models.processes import find_process
from thalweg.models.raw import of_raw, to_range


def test_raw_numbers_give_what_their_parameters_give():
    process = find_process("hbv")
    generator = torch.Generator().manual_seed(0)
    forcing = {f.name: 5 * torch.rand(20, 3, generator=generator) for f in process.forcings}
    raw = {p.name: torch.randn(3, 4, generator=generator).requires_grad_() for p in process.parameters}
    raw["percolation"] = torch.randn(20, 3, 4, generator=generator).requires_grad_()
    mapped = {p.name: to_range(raw[p.name], p) for p in process.parameters}
    found = []
    for model, parameters in ((process, mapped), (of_raw(process), raw)):
        flow = simulate(model, forcing, parameters).fluxes["discharge"]
        found.append((flow, *torch.autograd.grad(flow.square().mean(), list(raw.values()))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5 * float(one.detach().abs().max()))
    assert of_raw(process).balance == process.balance
    assert type(process).__name__ == "Hbv"
