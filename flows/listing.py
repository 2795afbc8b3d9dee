"""`thalweg list`: what an experiment can name."""

from __future__ import annotations

from typing import Any

from thalweg.flows.console import console, table

Row = dict[str, Any]


def rows(what: str) -> list[Row]:
    """Give one mapping for each thing there is of a sort."""
    return _LISTS[what]()


def show(what: str, found: list[Row]) -> None:
    """Print the list as a table."""
    made = table(*(key for key in found[0] if key != "parameters"))
    for row in found:
        made.add_row(*(_text(value) for key, value in row.items() if key != "parameters"))
    console().print(made)
    if what == "processes":
        for row in found:
            made = table("parameter", "units", "lower", "upper", "description", title=f"\n{row['name']}")
            for parameter in row["parameters"]:
                made.add_row(*(_text(value) for value in parameter.values()))
            console().print(made)


def _models() -> list[Row]:
    from typing import get_args

    from thalweg.flows.experiment import Model

    return [
        {
            "kind": get_args(model.model_fields["kind"].annotation)[0],
            "description": _first_line(model.__doc__),
            "keys": [name for name in model.model_fields if name != "kind"],
        }
        for model in get_args(get_args(Model)[0])
    ]


def _processes() -> list[Row]:
    from thalweg.models.processes import PROCESSES

    return [
        {
            "name": name,
            "description": _first_line(process.__doc__),
            "forcings": [item.name for item in process.forcings],
            "parameters": [
                {
                    "name": item.name,
                    "units": item.units,
                    "lower": item.lower,
                    "upper": item.upper,
                    "description": item.description,
                }
                for item in process.parameters
            ],
        }
        for name, process in PROCESSES.items()
    ]


def _sources() -> list[Row]:
    import inspect

    from thalweg.storage.sources import SOURCES

    return [
        {
            "kind": name,
            "description": _first_line(reader.__doc__),
            "keys": list(inspect.signature(reader).parameters),
        }
        for name, reader in SOURCES.items()
    ]


def _heads() -> list[Row]:
    from thalweg.models.heads import KINDS

    return [{"kind": kind, "description": description} for kind, description in KINDS.items()]


def _losses() -> list[Row]:
    from thalweg.models.losses import LOSSES

    return [{"name": name, "description": _first_line(loss.__doc__)} for name, loss in LOSSES.items()]


def _splits() -> list[Row]:
    from thalweg.storage.splits import KINDS

    return [
        {"kind": str(name), "tests": kind.proves, "keys": list(kind.keys)} for name, kind in KINDS.items()
    ]


def _metrics() -> list[Row]:
    from thalweg.evaluation.skill import METRICS

    return [
        {
            "name": name,
            "description": metric.long_name,
            "units": metric.units,
            "perfect": metric.perfect,
            "better": metric.better,
        }
        for name, metric in METRICS.items()
    ]


_LISTS = {
    "models": _models,
    "processes": _processes,
    "sources": _sources,
    "losses": _losses,
    "heads": _heads,
    "splits": _splits,
    "metrics": _metrics,
}


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
