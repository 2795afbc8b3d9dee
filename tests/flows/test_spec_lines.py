"""Reading YAML with line numbers, without the traps of YAML 1.1."""

from datetime import date

import pytest

from thalweg.flows import specfile
from thalweg.storage.errors import InputError


def error(path):
    with pytest.raises(InputError) as caught:
        specfile.read(path)
    return str(caught.value)


def test_lines_of_keys(write):
    source = specfile.read(write("a: 1\nb:\n  c: {d: 2}\n  e:\n    - x\n    - {y: 1}\n"))
    assert source.line(["b", "c", "d"]) == 3
    assert source.line(["b", "e", 1, "y"]) == 6
    assert source.line(["b", "missing", "deeper"]) == 2
    assert source.line([]) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-2.5E+1", -25.0),
        ("1_000", 1000),
        ("01", "01"),
        ("08", "08"),
        ("190:20:30", "190:20:30"),
        ("1999-10-01", date(1999, 10, 1)),
        ("true", True),
        ("null", None),
        ("1e", "1e"),
        (".", "."),
        ("a: [1", InputError),
    ],
)
def test_values(text, value):
    if value is InputError:
        with pytest.raises(InputError, match="--set k"):
            specfile.value(text, "--set k")
    else:
        found = specfile.value(text, "here")
        assert found == value
        assert type(found) is type(value)


def test_what_is_no_experiment(folder, write):
    write("a: 1", "sample.yaml")
    assert "missing.yaml: no such file; . has sample.yaml" in error("missing.yaml")
    assert "the folder nowhere does not exist" in error("nowhere/a.yaml")
    assert "is a folder" in error(".")
    assert error(write("", "empty.yaml")) == "empty.yaml: is empty"
    assert "holds a list" in error(write("- a\n", "list.yaml"))
    assert "holds only 'text'" in error(write("text\n", "text.yaml"))
    assert error(write("a: [1, 2\nb: 3\n", "broken.yaml")).startswith("broken.yaml:2: is no valid YAML")
    assert error(write("a: 1\nb: 2\na: 3\n", "twice.yaml")) == "twice.yaml:3: a: is given twice; keep one"
    assert "dates.yaml:2: 1999-02-30: day is out of range" in error(
        write("a: 1\nb: 1999-02-30\n", "dates.yaml")
    )
    (folder / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    assert error("latin.yaml") == "latin.yaml: is not text in UTF-8"


def test_an_anchor_that_holds_itself(write):
    assert "an anchor (&) may hold itself" in error(write("a: &a\n  b: *a\n"))


def test_a_file_cannot_run_code(write):
    assert "no valid YAML" in error(write("a: !!python/object/apply:os.getcwd []\n"))
