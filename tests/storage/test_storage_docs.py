"""docs/storage.md: each failure has a test that exists, and its commands and its spec can be given."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from thalweg.flows import cli
from thalweg.flows.ingestion import options_of, read_spec

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "storage.md").read_text(encoding="utf-8")
TABLE = [line for line in TEXT.partition("## Failures")[2].splitlines() if line.startswith("| ")]
ROWS = [line.strip("| ").split(" | ") for line in TABLE]
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("thalweg ")
]


def test_every_failure_has_what_a_reader_sees_what_a_run_does_and_a_test():
    assert ROWS[0] == ["failure", "a reader sees", "the same command again", "test"]
    assert len(ROWS) > 25
    assert {len([cell for cell in row if cell]) for row in ROWS} == {4}


@pytest.mark.parametrize("name", [row[3].strip("`") for row in ROWS[1:]])
def test_the_test_of_a_failure_exists(name):
    file, _, test = name.partition("::")
    function, _, parameter = test.partition("[")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert f"\ndef {function}(" in text
    if parameter:
        assert f'("{parameter.rstrip("]")}", ' in text


def test_every_point_at_which_an_ingest_is_killed_is_a_row():
    text = (ROOT / "tests" / "storage" / "test_ingest_failures.py").read_text(encoding="utf-8")
    points = re.findall(r'^        \("([a-z-]+)", (?:True|False), \d\),$', text, re.MULTILINE)
    assert len(points) == 6
    assert set(re.findall(r"test_killed\[([a-z-]+)\]", TEXT)) == set(points)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_given(command):
    cli.parser().parse_args(shlex.split(command)[1:])


def test_the_spec_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    Path("rivers.yaml").write_text(block)
    spec = read_spec(Path("rivers.yaml"))
    options = options_of(spec)
    assert options.late_days == yaml.safe_load(block)["ingest"]["late_days"] == 5
    assert options.rules.max_quarantined == 0.05
