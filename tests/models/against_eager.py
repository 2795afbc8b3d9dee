"""The comparison with the eager backend, which is the reference: on the CPU, in Triton, on a GPU."""

import torch
from random_weather import weather

from thalweg.models.engine import simulate
from thalweg.models.process import Parameter, ProcessModel, State, Variable

VALUES = {torch.float32: 1e-5, torch.float64: 1e-9}
GRADIENTS = {torch.float32: 1e-4, torch.float64: 1e-9}


def inputs(process, days, sites, components, dtype, varying=(), seed=0, ends=True, device="cpu"):
    """Random forcing, parameters over their whole range (its ends too), and states; all leaves."""
    generator = torch.Generator().manual_seed(seed)
    forcing = weather(process.forcings, days, sites, dtype, generator)
    parameters, state = {}, {}
    for item in process.parameters:
        shape = (*((days,) if item.name in varying else ()), sites, components)
        share = torch.rand(shape, generator=generator, dtype=torch.float64)
        if ends:
            share[..., 0, 0], share[..., -1, -1] = 0.0, 1.0
        parameters[item.name] = (item.lower + (item.upper - item.lower) * share).to(dtype)
    for item in process.states:
        state[item.name] = (30 * torch.rand(sites, components, generator=generator)).to(dtype)
    groups = forcing, parameters, state
    return tuple({name: t.to(device).requires_grad_() for name, t in group.items()} for group in groups)


def outcome(backend, process, given, *, fluxes=None, states=(), wanted=None, seed=0, **options):
    """Give every result and the gradient of a random sum of them, by name."""
    forcing, parameters, state = given
    result = simulate(
        process, forcing, parameters, initial=state, fluxes=fluxes, states=states, backend=backend, **options
    )
    results = {
        **{f"flux {n}": t for n, t in result.fluxes.items()},
        **{f"state {n}": t for n, t in result.states.items()},
        **{f"final {n}": t for n, t in result.final.items()},
    }
    generator = torch.Generator().manual_seed(seed)
    weights = {n: torch.rand(t.shape, generator=generator, dtype=t.dtype) for n, t in results.items()}
    total = sum((t * weights[n].to(t.device)).sum() for n, t in results.items())
    leaves = {**forcing, **parameters, **state}
    leaves = {name: leaves[name] for name in (leaves if wanted is None else wanted)}
    gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return results, dict(zip(leaves, gradients, strict=True))


def assert_same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value is None or found[name] is None:
            others = [t for t in (value, found[name]) if t is not None]
            assert all(not t.any() for t in others), name
            continue
        assert found[name].shape == value.shape, name
        scale = float(value.detach().abs().max())
        torch.testing.assert_close(
            found[name],
            value,
            rtol=tolerance,
            atol=tolerance * scale,
            msg=lambda text, n=name: f"{n}: {text}",
        )


def assert_agrees(process, given, dtype, **options):
    expected, expected_gradients = outcome("eager", process, given, **options)
    found, gradients = outcome("fused", process, given, **options)
    assert_same(found, expected, VALUES[dtype])
    assert_same(gradients, expected_gradients, GRADIENTS[dtype])


class Functions(ProcessModel):
    """Most of what a step can call."""

    forcings = (Variable("x", "1"), Variable("y", "1"))
    states = (State("sum", "1", 0.0),)
    parameters = (Parameter("k", "1", 0.5, 1.5),)
    fluxes = tuple(
        Variable(name, "1")
        for name in (
            *("power", "positive_power", "square", "inverse", "root", "exp", "exp2", "expm1", "log", "log10"),
            *("log1p", "tanh", "sigmoid", "softplus", "sin", "atan2", "clamp", "relu", "maximum", "sign"),
            *("floor", "rounded", "remainder", "lerp", "mask", "constant", "erf", "absolute", "fourth"),
            *("rest", "quotient", "gamma", "hardtanh", "fused"),
        )
    )

    def step(self, forcing, state, parameter):
        x, y, k = forcing.x, forcing.y, parameter.k
        fluxes = self.Fluxes(
            power=x**y,
            positive_power=x.clamp(1e-3, 1.0) ** (k * y),
            square=(k * x) ** 2,
            inverse=k / x + x ** (-1),
            root=torch.sqrt(x) + x**0.5,
            exp=torch.exp(k * x),
            exp2=torch.exp2(y),
            expm1=torch.expm1(x),
            log=torch.log(x),
            log10=torch.log10(x) + torch.log2(x),
            log1p=torch.log1p(x * x),
            tanh=torch.tanh(k * x),
            sigmoid=torch.sigmoid(y),
            softplus=torch.nn.functional.softplus(y),
            sin=torch.sin(x) + torch.cos(y),
            atan2=torch.atan2(x, y),
            clamp=torch.clamp(y, -k, k) + torch.clamp(x, -1.0, 2.0),
            relu=torch.relu(y),
            maximum=torch.maximum(x, y),
            sign=torch.sign(y) * k,
            floor=torch.floor(x) + torch.ceil(y) + torch.trunc(x),
            rounded=torch.round(x),
            remainder=torch.remainder(y, 0.7) * k,
            lerp=torch.lerp(x, y, k) + torch.lerp(x, y, 0.3),
            mask=torch.where((x > 0) & ~(y > 1) | (x == 2.0), k * x, torch.zeros_like(x)),
            constant=torch.full_like(x, 2.5),
            erf=torch.erf(x) + 1.0 - k,
            absolute=torch.abs(y) - x.neg(),
            fourth=(k + y) ** 4 + 2.0**y,
            rest=torch.fmod(y, k),
            quotient=torch.div(y, k, rounding_mode="floor") + torch.div(x, k, rounding_mode="trunc") * k,
            gamma=torch.lgamma(x),
            hardtanh=torch.nn.functional.hardtanh(y, -0.3, 0.4),
            fused=torch.addcmul(x, y, k, value=0.3) + torch.addcdiv(x, y, k, value=0.7).add(y, alpha=0.3),
        )
        return self.CurrentState(state.sum + torch.reciprocal(1.0 + k)), fluxes


def assert_functions_agree(dtype, scale, days=50, device="cpu"):
    """Compare all functions and their derivatives, on numbers up to about ``scale``."""
    generator = torch.Generator().manual_seed(1)
    forcing = {
        name: (scale * (torch.rand(days, 5, 1, generator=generator, dtype=torch.float64) + low)).to(dtype)
        for name, low in (("x", 1e-3), ("y", -0.5))
    }
    forcing = {name: series.to(device).requires_grad_() for name, series in forcing.items()}
    k = torch.linspace(0.5, 1.5, 20, dtype=dtype, device=device).reshape(5, 4).requires_grad_()
    given = forcing, {"k": k}, {"sum": torch.zeros(5, 4, dtype=dtype, device=device)}
    wanted = ("x", "y", "k")
    expected, expected_gradients = outcome("eager", Functions(), given, wanted=wanted)
    found, gradients = outcome("fused", Functions(), given, wanted=wanted)
    rough = 3e-6 if dtype == torch.float32 else 1e-12
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=10 * rough, atol=rough, msg=lambda t, n=name: f"{n}: {t}"
        )
    assert_same(gradients, expected_gradients, GRADIENTS[dtype])


BORDER = (
    *("power", "square", "inverse", "root", "exp", "exp2", "expm1", "log", "log10", "log1p", "tanh"),
    *("sigmoid", "softplus", "atan2", "clamp", "relu", "maximum", "sign", "floor", "rounded", "remainder"),
    *("mask", "erf", "absolute", "fourth", "gamma", "hardtanh", "quotient", "lerp", "fused"),
)


def assert_functions_agree_at_the_border(dtype, device="cpu", slopes=True):
    """Compare functions, and their slopes, of zeros, infinities, NaN and numbers near them, in all pairs."""
    odd = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e30, 100.0, -100.0, 1e-30, 1e-40]
    odd = torch.tensor([*odd, -1e-40, float("inf"), -float("inf"), float("nan")], dtype=dtype, device=device)
    x, y = (t.reshape(1, -1, 1) for t in torch.meshgrid(odd, odd, indexing="ij"))
    k = {"k": torch.ones(1, 1, dtype=dtype, device=device)}
    tiny = 1e-37 if dtype == torch.float32 else 1e-300
    found = []
    for backend in ("eager", "fused"):
        leaves = {"x": x.clone().requires_grad_(slopes), "y": y.clone().requires_grad_(slopes)}
        fluxes = simulate(Functions(), leaves, k, fluxes=BORDER, backend=backend).fluxes
        results = {name: flux.detach() for name, flux in fluxes.items()}
        for name, flux in fluxes.items() if slopes else ():
            by = torch.autograd.grad(flux.sum(), list(leaves.values()), retain_graph=True, allow_unused=True)
            for leaf, slope in zip(leaves, by, strict=True):
                results[f"slope of {name} by {leaf}"] = torch.zeros_like(x) if slope is None else slope
        found.append(results)
    for name, value in found[0].items():
        torch.testing.assert_close(
            found[1][name], value, rtol=1e-5, atol=tiny, equal_nan=True, msg=lambda t, n=name: f"{n}: {t}"
        )


class Overwritten(ProcessModel):
    """States whose slope is infinite on a dry day: one that nothing reads, one that counts two days later."""

    forcings = (Variable("rain", "mm/day"),)
    states = (
        State("storage", "mm", 0.5),
        State("unread", "1", 0.0),
        State("a", "1", 1.0),
        State("b", "1", 1.0),
    )
    parameters = (Parameter("k", "1", 0.0, 1.0),)
    fluxes = (Variable("outflow", "mm/day"), Variable("late", "1"))

    def step(self, forcing, state, parameter):
        wet = state.storage + forcing.rain
        outflow = parameter.k * wet * (forcing.rain > 0)
        root = torch.sqrt(parameter.k * forcing.rain)
        return (
            self.CurrentState(wet - outflow, torch.sqrt(outflow), root, state.a),
            self.Fluxes(outflow, parameter.k * state.b),
        )


def assert_absent_gradients_agree(days=40, device="cpu"):
    """Compare gradients on dry days, where a slope is infinite and nothing depends on it."""
    dry = {"outflow": [0, 1, 3, days - 1], "late": [days - 2, days - 1], "unread": [0, 2, days - 3]}
    generator = torch.Generator().manual_seed(0)
    for wanted, without in dry.items():
        rain = torch.rand(days, 3, dtype=torch.float64, generator=generator) + 0.1
        rain[without] = 0.0
        ways = ({}, {"state_days": (days - 2,)}, {"memory": 2000})
        for options in ways if wanted != "unread" else ways[:1]:
            slopes = []
            for backend in ("eager", "fused"):
                k = torch.full((3, 2), 0.3, dtype=torch.float64, device=device).requires_grad_()
                result = simulate(
                    Overwritten(), {"rain": rain.to(device)}, {"k": k}, backend=backend, **options
                )
                loss = {**result.fluxes, **result.final}[wanted].sum()
                slopes.append(torch.autograd.grad(loss, k)[0])
            assert slopes[0].isfinite().all(), wanted
            torch.testing.assert_close(slopes[1], slopes[0], msg=lambda t, n=(wanted, options): f"{n}: {t}")
