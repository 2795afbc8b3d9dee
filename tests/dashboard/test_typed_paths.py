"""Paths of a typed experiment's source: no pattern, placeholder, list or link reads what lies outside."""

import base64
import time
from pathlib import Path

import pytest
import streamlit as st
from small_experiment import RIVERS

from thalweg.dashboard.starting import typed, typed_paths

SECRET = "secret header,b\n1,2\n"
KINDS = {
    "csv_stations": "path: {}, stations: s.csv, variables: {{discharge: q}}",
    "grid": "path: {}, stations: s.csv, variables: {{discharge: q}}",
    "camels_us": "path: {}, forcing: daymet",
    "caravan": "path: {}",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with data of its own, and a secret beside it to which nothing in it leads as yet."""
    st.cache_data.clear()
    monkeypatch.delenv(typed_paths.FOLDERS, raising=False)
    inner = tmp_path / "workspace"
    (inner / "data" / "deep").mkdir(parents=True)
    for name in ("a", "b"):
        (inner / "data" / f"{name}.csv").write_text("date,q\n2000-01-01,1\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").write_text(SECRET)
    (tmp_path / "secret.csv").write_text(SECRET)
    monkeypatch.chdir(inner)
    return inner


def refused(source: str) -> list[tuple[int, str]]:
    """What is refused of an experiment with this source, as one text."""
    return typed.refusals(RIVERS.replace("zarr}", f"zarr, source: {{{source}}}}}"))


def one_line(source: str, words: str = "leaves the workspace") -> None:
    problems = refused(source)
    assert len(problems) == 1, problems
    assert problems[0][0] == 2
    assert words in problems[0][1]
    assert "\n" not in problems[0][1]


def of(kind: str, path: str) -> str:
    return f"kind: {kind}, " + KINDS[kind].format(path)


@pytest.mark.parametrize(
    "pattern",
    [
        "**/secret.csv",
        "**",
        "*/secret.csv",
        "lin?/secret.csv",
        "lin[k]/secret.csv",
        "l*/s*",
        "./lin?//secret.csv",
        "data/../lin?/*",
        "data/*/../../../secret.csv",
        "lin?/../secret.csv",
        "{site}/secret.csv",
        "{si{site}te}/secret.csv",
        "{variable}/secret.csv",
        "lin{site}/secret.csv",
        "{site}{variable}/{site}",
        '"lin[k\\n]/secret.csv"',
        "link/secret.csv",
        "lin[k" + "k" * 1200 + "]/secret.csv",
    ],
)
@pytest.mark.parametrize("kind", ["csv_stations", "grid"])
def test_patterns_and_placeholders_do_not_go_through_a_link(pattern: str, kind: str, place: Path) -> None:
    value = pattern if pattern.startswith('"') else f'"{pattern}"'
    if "link" in pattern or ".." in pattern:
        assert len(refused(of(kind, value))) <= 1
    else:
        assert refused(of(kind, value)) == []
    (place / "link").symlink_to(place.parent / "outside")
    one_line(of(kind, value))


@pytest.mark.parametrize("pattern", ["data/*.csv", "data/[c]", "data/{site}.csv", "**/*.csv", "d*/c*"])
def test_a_match_that_is_a_link_is_judged_by_where_it_leads(pattern: str, place: Path) -> None:
    source = of("csv_stations", f'"{pattern}"')
    (place / "data" / "c.csv").symlink_to(place / "data" / "a.csv")
    (place / "data" / "c").symlink_to("c.csv")
    assert refused(source) == []
    for name in ("c", "c.csv"):
        (place / "data" / name).unlink()
        (place / "data" / name).symlink_to(place.parent / "secret.csv")
    one_line(source, "by the link 'c")


def test_links_that_a_pattern_does_not_meet_do_not_matter(place: Path) -> None:
    (place / "link").symlink_to(place.parent / "outside")
    (place / ".venv").mkdir()
    (place / ".venv" / "python").symlink_to("/usr/bin/env")
    (place / "data" / "tool").symlink_to("/usr/bin/env")
    for pattern in ("data/*.csv", "data/{site}.csv", "data/**/*.csv", "*.nc", "[!l]*/*.csv"):
        assert refused(of("csv_stations", f'"{pattern}"')) == [], pattern


@pytest.mark.parametrize(
    "path",
    ["/etc/host*", "/*/hostname", "/**/hostname", "//etc/*", "/{site}/hostname", "~/*", "~root/*", "/"],
)
def test_absolute_patterns(path: str, place: Path) -> None:
    one_line(of("csv_stations", f'"{path}"'))


def test_absolute_paths_within_it_are_taken(place: Path) -> None:
    assert refused(of("csv_stations", f'"{place}/data/*.csv"')) == []
    (place / "data" / "c.csv").symlink_to(place.parent / "secret.csv")
    one_line(of("csv_stations", f'"{place}/data/*.csv"'))
    one_line(of("csv_stations", f'"{place}/../secret.csv"'))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_counts_with_all_that_is_in_it(kind: str, place: Path) -> None:
    for path in ("data", "./data/", "."):
        assert refused(of(kind, path)) == []
    inner = place / "data" / "timeseries" / "netcdf"
    inner.mkdir(parents=True)
    (inner / ".x").symlink_to("../../..")  # in circles
    assert refused(of(kind, "data")) == []
    (inner / "camels").symlink_to(place.parent / "outside")
    for path in ("data", "./data/", ".", "data/timeseries", '"data/tim*"'):
        one_line(of(kind, path), "by the link 'camels'")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "path", ["../outside", "/etc", "link", "link/deep", '"*/deep"', "file:///etc", ".hidden", "./.hidden"]
)
def test_every_kind_of_source_is_looked_at(kind: str, path: str, place: Path) -> None:
    (place.parent / "outside" / "deep").mkdir()
    (place / "link").symlink_to(place.parent / "outside")
    words = {"file:///etc": "only folders of the workspace", "deep": "leaves"}.get(path, "leaves")
    one_line(of(kind, path), "hidden files" if ".hidden" in path else words)


@pytest.mark.parametrize(
    "options",
    [
        "path: [data/a.csv, ../secret.csv]",
        'path: [data/a.csv, "lin?/secret.csv"]',
        "path: [[data/a.csv, [link]]]",
        "path: data/a.csv, stations: link/secret.csv",
        "path: data/a.csv, stations: {{file: ../secret.csv}}",
        "path: data/a.csv, sites: ../secret.csv",
        'path: data/a.csv, sites: "lin[k]/secret.csv"',
        "path: data/a.csv, weights: link/secret.csv",
        "path: data/a.csv, weights: ~/secret.csv",
        "path: data/a.csv, own: {{deep: [{{deeper: /etc/passwd}}]}}",
    ],
)
def test_every_option_of_a_source_is_looked_at(options: str, place: Path) -> None:
    (place / "link").symlink_to(place.parent / "outside")
    one_line("kind: grid, " + options.replace("{{", "{").replace("}}", "}"))


@pytest.mark.parametrize("name", [".", "..", "a/b", "/", "../..", "", ".x"])
@pytest.mark.parametrize("path", ["{variable}{variable}/outside.csv", "data/{variable}.csv"])
@pytest.mark.parametrize("written", ['"{}"', '{{column: "{}", units: mm/day}}'])
def test_columns_that_stand_in_a_path_are_names(name: str, path: str, written: str, place: Path) -> None:
    column = written.format(name)
    problems = refused(
        f'kind: csv_stations, path: "{path}", stations: s.csv, variables: {{discharge: {column}}}'
    )
    assert len(problems) == 1, problems
    assert "\n" not in problems[0][1]
    assert repr(name) in problems[0][1]


def test_columns_that_stand_in_no_path_may_be_called_anything(place: Path) -> None:
    source = 'kind: csv_stations, path: data/a.csv, stations: s.csv, variables: {discharge: "Q/A"}'
    assert refused(source) == []


def test_merged_mappings_are_no_way_around(place: Path) -> None:
    (place / "data" / "c.csv").symlink_to(place.parent / "secret.csv")
    text = RIVERS.replace("zarr}", "zarr, source: {kind: grid, <<: {path: data}}}")
    assert len(typed.refusals(text)) == 1
    text = RIVERS.replace("{store:", '{<<: {source: {kind: csv_stations, path: "data/c*"}}, store:')
    assert len(typed.refusals(text)) == 1


def test_what_is_written_in_base64_is_not_taken(place: Path) -> None:
    hidden = base64.b64encode(b"../secret.csv").decode()
    problems = typed.refusals(RIVERS.replace("data/rivers.zarr", f"!!binary {hidden}"))
    assert len(problems) == 1
    assert "binary values are not taken" in problems[0][1]


@pytest.mark.parametrize(
    "value",
    [".streamlit", ".hidden", "./.streamlit", ".git/config", "data/../.git/config", "data/./.x", "..."],
)
def test_hidden_files_are_refused(value: str, place: Path) -> None:
    for text in (RIVERS.replace("data/rivers.zarr", value), RIVERS + f'anything: ["{value}"]\n'):
        problems = typed.refusals(text)
        assert len(problems) == 1
        assert "hidden files and folders are not taken" in problems[0][1]
    (absolute,) = typed.refusals(RIVERS.replace("data/rivers.zarr", f"{place}/.git/config"))
    assert "hidden" in absolute[1]


def test_numbers_are_not_taken_for_hidden_files(place: Path) -> None:
    text = RIVERS + "anything: [.5, .5e-3, .inf, -.5, .nan, '.', './data']\n"
    assert typed.refusals(text) == []


def test_a_folder_that_is_allowed_besides_is_within_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    further = place.parent / ".data"  # that it is hidden itself is the operator's choice
    further.mkdir()
    (further / "a.csv").write_text(SECRET)
    (place / "link").symlink_to(further)
    one_line(of("csv_stations", '"lin?/a.csv"'))
    monkeypatch.setenv(typed_paths.FOLDERS, str(further))
    for path in ('"lin?/a.csv"', "link", f"{further}/a.csv", f'"{further}/*"'):
        assert refused(of("csv_stations", path)) == [], path
    one_line(of("csv_stations", f"{further}/.x"), "hidden files")


def test_looking_through_ends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x", "y", "z"):
        (place / "data" / name).symlink_to(place)  # 3 circles: without care there is no end of paths
    began = time.monotonic()
    assert refused(of("grid", '"**/**/**/a.nc"')) == []
    assert time.monotonic() - began < 5.0
    monkeypatch.setattr(typed_paths, "MOST_MET", 3)
    one_line(of("grid", "data"), "more than 3 files would have to be looked through")
