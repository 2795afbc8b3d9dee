"""Every command of the pages is run for real, or before a stand-in; what is only parsed is listed here."""

from pathlib import Path

import pytest
from doc_blocks import named
from doc_ways import LAB, PAGES, WAYS, all_ways, way_of

HERE = Path(__file__).parent
FOUND = all_ways()


def test_only_what_installs_is_parsed_alone():
    parsed = {command for _, command, way in FOUND if way.kind == "parsed"}
    assert parsed == {"make demo", "make test", "make install"}
    real = sum(way.kind == "real" for _, _, way in FOUND)
    assert real > 60
    assert real > 2 * sum(way.kind == "stand-in" for _, _, way in FOUND)


def test_every_way_is_gone():
    """None is left over from a page that has changed, and each test that is named knows of the page."""
    used = {way for _, _, way in FOUND}
    python_alone = {"search.md"}  # its commands stand in its text
    assert {way for way in WAYS if way not in used and way.page not in python_alone} == set()
    for way in used:
        if way.kind != "parsed":
            (test,) = [place / way.where for place in (HERE, HERE.parent) if (place / way.where).exists()]
            assert way.page == "*" or way.page in test.read_text() or way.where not in (PAGES, LAB), way


def test_a_command_that_nothing_runs_is_found():
    with pytest.raises(LookupError, match=r"engine\.md: thalweg runs: nothing runs it"):
        way_of("engine.md", "thalweg runs")


@pytest.mark.parametrize("block", dict.fromkeys(block for block, _, _ in FOUND), ids=named)
def test_a_stand_in_takes_whole_blocks(block):
    """Else what comes before or after in a block would be run without it."""
    kinds = {way_of(block.page, each).where for each in block.commands if not each.startswith("make")}
    assert len(kinds) <= 1 or block.page in ("storage.md", "README.md")
