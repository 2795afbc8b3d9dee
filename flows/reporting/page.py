"""Put sections on one page that needs nothing else: no server, no network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined

from thalweg.flows.reporting.section import Section


def page(title: str, about: Sequence[str], sections: Sequence[Section], source: str = "") -> str:
    """Give the HTML of a report.

    Parameters
    ----------
    about : lines below the title.
    sections : those without parts are left out.
    source : the experiment's file.
    """
    template = resources.files("thalweg.flows.reporting").joinpath("page.html").read_text(encoding="utf-8")
    shown = [section for section in sections if section.parts]
    # figures are ours; everything else, names from files above all, is escaped
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(
        title=title,
        about=about,
        sections=shown,
        short=[sentence for section in shown for sentence in section.short],
        source=source,
    )
