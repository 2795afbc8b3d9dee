"""Tables of stations: layouts, units, times, and what is refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from thalweg.storage.errors import InputError
from thalweg.storage.quality import check_quality
from thalweg.storage.sources import SourceChanged, find_source, read_all, read_source
from thalweg.storage.store import ingest, open_store, quality_report

SITES = ("alp", "jura")
VARIABLES = {
    "precipitation": {"column": "rain", "units": "mm"},
    "temperature": {"column": "temp", "units": "degF"},
    "discharge": {"column": "q", "units": "L/s"},
}


def series(site, days=6):
    """Rain (mm), temperature (degF) and discharge (L/s)."""
    start = SITES.index(site)
    number = np.arange(days, dtype=float)
    return pd.DataFrame(
        {"rain": number + start, "temp": 50 + 9 * number, "q": 100.0 * (start + 1) + number},
        index=pd.date_range("2000-02-27", periods=days, name="date"),
    )


@pytest.fixture
def stations(tmp_path):
    file = tmp_path / "stations.csv"
    file.write_text(
        "site,latitude,longitude,area,region,soil\njura,47.2,7.1,50,x,clay\nalp,46.5,8.5,100,y,\n"
    )
    return file


@pytest.fixture
def spec(tmp_path, stations):
    """A source of one file a station."""
    for site in SITES:
        series(site).to_csv(tmp_path / f"{site}.csv")
    return {
        "kind": "csv_stations",
        "path": f"{tmp_path}/{{site}}.csv",
        "stations": stations,
        "variables": VARIABLES,
    }


def test_one_file_a_station(spec):
    dataset = read_source(spec)
    assert dataset["site"].values.tolist() == ["alp", "jura"]
    assert dataset["precipitation"].values.tolist() == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]
    assert dataset["temperature"].values[0] == pytest.approx([10, 15, 20, 25, 30, 35])
    # 100 L/s over 100 km2 and 200 L/s over 50 km2
    assert dataset["discharge"].values[:, 0] == pytest.approx([0.1 * 86.4 / 100, 0.2 * 86.4 / 50])
    assert dataset["region"].values.tolist() == ["y", "x"]
    assert dataset["soil"].values.tolist() == ["", "clay"]
    assert "Oudin" in dataset["potential_evapotranspiration"].attrs["comment"]


@pytest.mark.parametrize("name", ["..", ".", "../other", "/etc/passwd", ".hidden", "a/b", "a\\b"])
def test_a_site_or_column_in_a_path_does_not_lead_elsewhere(spec, tmp_path, stations, name):
    """Whoever writes the table of stations, or a column's name, does not choose which files are read."""
    stations.write_text(f"site,latitude,longitude,area\n{name},47.2,7.1,50\n")
    with pytest.raises(InputError, match="cannot become") as refused:
        read_source(spec)
    assert str(refused.value).count("\n") == 0
    assert repr(name) in str(refused.value)
    stations.write_text("site,latitude,longitude\njura,47.2,7.1\n")
    variables = {"temperature": {"column": name, "units": "degC"}}
    with pytest.raises(InputError, match=r"\{variable\} cannot become"):
        read_source(spec | {"path": f"{tmp_path}/{{variable}}.csv", "variables": variables})


def test_two_dots_from_two_columns(spec, tmp_path):
    (tmp_path / "in").mkdir()
    path = f"{tmp_path}/in/{{variable}}{{variable}}/jura.csv"
    with pytest.raises(InputError, match="cannot become"):
        read_source(spec | {"path": path, "variables": {"temperature": "."}})
    with pytest.raises(InputError, match="cannot become ''"):
        read_source(
            spec | {"path": f"{tmp_path}/in/.{{variable}}./jura.csv", "variables": {"temperature": ""}}
        )


def test_a_site_called_tilde_is_not_the_home(spec, tmp_path, stations, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    series("jura").to_csv(tmp_path / "home" / "own.csv")
    stations.write_text("site,latitude,longitude,area\n~,47.2,7.1,50\n")
    with pytest.raises(InputError, match=r"~/own\.csv: no such file"):
        read_source(spec | {"path": "{site}/own.csv"})
    (tmp_path / "~").mkdir()
    series("jura").to_csv(tmp_path / "~" / "own.csv")
    assert read_source(spec | {"path": "{site}/own.csv"})["site"].values.tolist() == ["~"]
    (tmp_path / "home" / "~.csv").write_bytes((tmp_path / "home" / "own.csv").read_bytes())
    assert read_source(spec | {"path": "~/{site}.csv"})["site"].values.tolist() == ["~"]


def long_table():
    parts = []
    for site in SITES:
        part = series(site).reset_index().melt("date", var_name="what", value_name="how_much")
        parts.append(part.assign(station=site))
    return pd.concat(parts).sample(frac=1.0, random_state=1)


def test_all_layouts_give_the_same(spec, tmp_path):
    expected = read_source(spec)
    both = pd.concat([series(site).assign(station=site) for site in SITES])
    both.to_csv(tmp_path / "all.csv")
    for number, (_, part) in enumerate(both.groupby(both.index.day > 28)):
        part.to_csv(tmp_path / f"part{number}.csv")
    long_table().to_csv(tmp_path / "long.csv", index=False)
    for site in SITES:
        table = long_table()
        table[table["station"] == site].sort_values("date").to_csv(tmp_path / f"long_{site}.csv", index=False)
    for name in ("rain", "temp", "q"):
        pd.DataFrame({site: series(site)[name] for site in SITES}).to_csv(tmp_path / f"of_{name}.csv")
    long = {"variable": "what", "value": "how_much"}
    for changes in (
        {"path": f"{tmp_path}/all.csv", "site": "station"},
        {"path": f"{tmp_path}/part*.csv", "site": "station"},
        {"path": f"{tmp_path}/of_{{variable}}.csv"},
        {"path": f"{tmp_path}/long_{{site}}.csv", "long": long},
    ):
        xr.testing.assert_equal(read_source({**spec, **changes}), expected)
    # a table in any order is sorted, and that is said
    source = find_source({**spec, "path": f"{tmp_path}/long.csv", "long": long, "site": "station"})
    catalog = source.catalog()
    block = source.read(catalog.sites, catalog.first, catalog.last)
    assert {each["check"] for each in block.attrs["problems"]} == {"unsorted"}
    report = check_quality(block)
    assert report[report["check"] == "unsorted"]["severity"].tolist() == ["warning", "warning"]
    assert "rows were sorted by day" in report["message"].iloc[0]
    assert (read_all(source)["discharge"].values == expected["discharge"].values).all()


def test_foreign_forms_of_numbers_and_dates(spec, tmp_path):
    for site in SITES:
        table = series(site)
        table.loc[table.index[2], "rain"] = -99.9
        table.index = table.index.strftime("%d.%m.%Y")
        text = table.to_csv(sep=";", decimal=",").replace(";-99,9;", ";-99,90;")
        (tmp_path / f"{site}.csv").write_text("# by hand\n" + text)
    dataset = read_source(
        {
            **spec,
            "delimiter": ";",
            "decimal": ",",
            "skip_rows": 1,
            "time_format": "%d.%m.%Y",
            "missing": [-99.9],
        }
    )
    assert str(dataset["time"].values[0])[:10] == "2000-02-27"
    assert np.isnan(dataset["precipitation"].values[0]).tolist() == [False, False, True, False, False, False]


def test_year_month_and_day_in_columns(spec, tmp_path):
    expected = read_source(spec)
    for site in SITES:
        table = series(site)
        table.assign(y=table.index.year, m=table.index.month, d=table.index.day).to_csv(
            tmp_path / f"{site}.csv", index=False
        )
    xr.testing.assert_equal(read_source({**spec, "time": ["y", "m", "d"]}), expected)
    (tmp_path / "alp.csv").write_text("y,m,d,rain,temp,q\n2000,2,28,1,1,1\n2000,13,1,1,1,1\n2000,3,2,1,1,1\n")
    with pytest.raises(InputError, match=r"alp\.csv: line 3: 13 is no month"):
        read_source({**spec, "time": ["y", "m", "d"]})
    # 29 February of a year that has none is not the first of March
    (tmp_path / "alp.csv").write_text("y,m,d,rain,temp,q\n2001,2,28,1,1,1\n2001,2,29,1,1,1\n2001,3,2,1,1,1\n")
    with pytest.raises(InputError, match=r"alp\.csv: line 3: 2001-2-29 is no date"):
        read_source({**spec, "time": ["y", "m", "d"]})


def test_hours_become_days_where_an_aggregation_is_asked_for(spec, tmp_path):
    hours = pd.date_range("2000-01-01", periods=60, freq="h", name="date")
    for site in SITES:
        pd.DataFrame({"rain": 0.5, "temp": np.arange(60.0)}, index=hours).to_csv(tmp_path / f"{site}.csv")
    variables = {
        "precipitation": {"column": "rain", "units": "mm", "aggregation": "sum"},
        "temperature_max": {"column": "temp", "units": "degC", "aggregation": "max"},
    }
    dataset = read_source({**spec, "variables": variables})
    assert dataset["precipitation"].values[0, :2].tolist() == [12.0, 12.0]
    assert dataset["temperature_max"].values[0, :2].tolist() == [23.0, 47.0]
    assert np.isnan(dataset["precipitation"].values[0, 2])  # half a day
    assert "potential_evapotranspiration" not in dataset
    with pytest.raises(InputError, match="2000-01-01 occurs twice"):
        read_source({**spec, "variables": {"precipitation": {"column": "rain", "units": "mm"}}})


def test_names_of_the_columns_of_stations_and_other_variables(spec, stations):
    stations.write_text("Kennung;Breite;Laenge;sites\nalp;46.5;8.5;1\njura;47.2;7.1;2\n")
    own = {
        "file": str(stations),
        "delimiter": ";",
        "site": "Kennung",
        "latitude": "Breite",
        "longitude": "Laenge",
    }
    variables = {
        "soil_moisture": {"column": "q", "units": "mm", "role": "target", "long_name": "water in the soil"}
    }
    dataset = read_source({**spec, "stations": own, "variables": variables, "sites": ["jura"]})
    assert dataset["site"].values.tolist() == ["jura"]
    assert dataset["soil_moisture"].attrs == {
        "units": "mm",
        "role": "target",
        "long_name": "water in the soil",
    }


def test_a_bad_site_is_noted_and_the_others_are_read(spec, tmp_path):
    """One file has a wrong cell, one a day twice: each is named, nothing else is lost."""
    text = (tmp_path / "alp.csv").read_text()
    (tmp_path / "alp.csv").write_text(text.replace("59.0", "5g.0"))
    source = find_source(spec)
    catalog = source.catalog()
    block = source.read(catalog.sites, catalog.first, catalog.last)
    assert np.isnan(block["precipitation"].values).all(axis=1).tolist() == [True, False]
    finding = check_quality(block).iloc[0]
    assert (finding["check"], finding["site"]) == ("unreadable", "alp")
    assert finding["message"].endswith("alp.csv: line 3, column 'temp': '5g.0' is not a number")
    with pytest.raises(InputError, match=r"alp\.csv: line 3, column 'temp': '5g\.0' is not a number"):
        read_source(spec)
    rows = text.splitlines()
    (tmp_path / "alp.csv").write_text("\n".join([*rows[:3], rows[2], *rows[3:]]) + "\n")
    with pytest.raises(InputError, match=r"alp\.csv: 2000-02-28 occurs twice"):
        read_source(spec)


def test_stamps_change_with_the_site_alone(spec, tmp_path):
    before = find_source(spec).catalog()
    assert before.periods["alp"] == (before.first, before.last)
    series("alp", days=7).to_csv(tmp_path / "alp.csv")
    after = find_source(spec).catalog()
    assert before.stamps["jura"] == after.stamps["jura"]
    assert before.stamps["alp"] != after.stamps["alp"]
    assert (str(before.last), str(after.last)) == ("2000-03-03", "2000-03-04")
    together = {**spec, "path": f"{tmp_path}/all.csv", "site": "station"}
    both = [series(site).assign(station=site) for site in SITES]
    pd.concat(both).to_csv(tmp_path / "all.csv")
    before = find_source(together).catalog()
    both[0].iloc[1, 0] = 77.0
    pd.concat(both).to_csv(tmp_path / "all.csv")
    after = find_source(together).catalog()
    assert before.stamps["jura"] == after.stamps["jura"]
    assert before.stamps["alp"] != after.stamps["alp"]


def test_a_replaced_file_is_noticed_by_the_process_that_reads(spec, tmp_path):
    source = find_source(spec)
    catalog = source.catalog()
    sent = pickle.dumps(source)
    series("jura", days=9).to_csv(tmp_path / "jura.csv")
    with pytest.raises(SourceChanged, match=r"jura\.csv: changed while it was read"):
        pickle.loads(sent).read(catalog.sites, catalog.first, catalog.last)
    (tmp_path / "jura.csv").unlink()
    with pytest.raises(SourceChanged, match=r"jura\.csv: no longer there"):
        pickle.loads(sent).read(catalog.sites, catalog.first, catalog.last)


def test_rows_outside_of_the_first_and_last_are_not_lost_silently(spec, tmp_path):
    table = series("alp")
    table.iloc[[0, 5, 2, 3, 4, 1]].to_csv(tmp_path / "alp.csv")
    with pytest.raises(
        InputError, match=r"alp\.csv: 2000-03-03 lies outside of first and last row; sort the rows"
    ):
        read_source(spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"variables": {"precipitation": "regen"}},
            r"alp\.csv: no column 'regen'; it has date, rain, temp, q",
        ),
        (
            {"variables": {"precipitation": {"column": "rain", "units": "degC"}}},
            "column 'rain': unit 'degC' cannot",
        ),
        ({"variables": {"snow": "rain"}}, "'snow' is not canonical; give its units"),
        ({"variables": {}}, "'variables' is {}; write it as"),
        ({"time": "day"}, r"alp\.csv: no column 'day'"),
        ({"time": ["a", "b"]}, "one column, or year, month and day"),
        ({"time_format": "%d.%m.%Y"}, r"'2000-02-27' is no time as '%d\.%m\.%Y' has it"),
        ({"long": {"variable": "what"}}, "'long' needs the columns variable and value"),
        ({"long": {"name": "what", "value": "x"}}, "unknown key in 'long' .*'name'"),
        ({"path": "nowhere/{site}.csv"}, "nowhere/alp.csv: no such file"),
        ({"path": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"delimiter": ";;"}, "'delimiter' is ';;'; one character is needed"),
        ({"decimal": ""}, "'decimal' is ''; one character is needed"),
        ({"skip_rows": "two"}, "'skip_rows' is 'two'; a number of lines"),
        ({"time_format": 3}, "'time_format' is 3; write it as"),
        ({"sites": ["alb"]}, "site 'alb': no row in"),
        ({"stations": "none.csv"}, "none.csv: no such file"),
        ({"potential_evapotranspiration": "hargreaves"}, "hargreaves needs temperature_min"),
    ],
)
def test_refusals(spec, changes, message):
    with pytest.raises(InputError, match=message):
        read_source({**spec, **changes})


def test_a_volume_needs_an_area(spec, stations):
    stations.write_text("site,latitude,longitude\nalp,46.5,8.5\njura,47.2,7.1\n")
    with pytest.raises(InputError, match=r"column 'q': unit 'L/s' needs the area .* has no column area"):
        read_source(spec)


def test_a_site_without_rows_is_named(spec, tmp_path):
    series("alp").assign(station="alp").to_csv(tmp_path / "all.csv")
    with pytest.raises(InputError, match=r"all\.csv: no rows or column of site 'jura'"):
        read_source({**spec, "path": f"{tmp_path}/all.csv", "site": "station"})


def test_an_area_that_is_no_number_is_named_with_its_line(spec, stations):
    stations.write_text('site,latitude,longitude,area\njura,47.2,7.1,50\nalp,46.5,8.5,"1,5"\n')
    with pytest.raises(InputError, match=r"stations\.csv: line 3, column 'area': '1,5'; km2 are needed"):
        read_source(spec)


def test_spaces_around_names_of_sites_lose_no_rows(spec, tmp_path):
    expected = read_source(spec)
    both = pd.concat([series(site).assign(station=site) for site in SITES])
    both.iloc[2:4, -1] = " alp "
    both.to_csv(tmp_path / "all.csv")
    together = {**spec, "path": f"{tmp_path}/all.csv", "site": "station"}
    xr.testing.assert_equal(read_source(together), expected)
    both.iloc[4, -1] = None
    both.to_csv(tmp_path / "all.csv")
    with pytest.raises(InputError, match=r"all\.csv: line 6, column 'station': no name of a site"):
        read_source(together)


def test_what_cannot_be_a_table_of_days(spec, tmp_path):
    """Each is the problem of one site, with its file; the other is read."""
    good = (tmp_path / "alp.csv").read_bytes()
    wrong = {
        "is no text in UTF-8": good.replace(b"q\n", b"q,H\xf6he\n", 1),
        "column 'rain' is there 2 times": good.replace(b"temp", b"rain", 1),
        "the day 9999-12-31 is none from 1678-01-01 to 2261-12-31": good.replace(
            b"2000-03-03", b"9999-12-31"
        ),
        "the day 0200-02-27 is none from": good.replace(b"2000-02-27", b"0200-02-27"),
    }
    for message, content in wrong.items():
        (tmp_path / "alp.csv").write_bytes(content)
        source = find_source(spec)
        catalog = source.catalog()
        problems = source.read(catalog.sites, catalog.first, catalog.last).attrs["problems"]
        assert [(each["check"], each["site"]) for each in problems] == [("unreadable", "alp")]
        assert f"alp.csv: {message}" in problems[0]["message"]


def test_a_last_line_without_an_end_is_noted(spec, tmp_path):
    """A copy that stopped between two digits looks like any other number."""
    expected = read_source(spec)
    whole = (tmp_path / "alp.csv").read_text()
    (tmp_path / "alp.csv").write_text(whole.rstrip("\n"))
    source = find_source(spec)
    catalog = source.catalog()
    finding = check_quality(source.read(catalog.sites, catalog.first, catalog.last)).iloc[0]
    assert (finding["severity"], finding["check"], finding["site"]) == ("warning", "unfinished", "alp")
    assert str(finding["first_day"])[:10] == "2000-03-03"
    xr.testing.assert_equal(read_source(spec), expected)  # it may be whole all the same


def test_an_update_leaves_out_a_last_line_without_an_end(spec, tmp_path):
    """The store never shows half of a number; the day comes when the file goes on."""
    spec = {**spec, "stations": str(spec["stations"])}
    store, file = tmp_path / "store.zarr", tmp_path / "alp.csv"
    ingest(store, spec)
    whole = series("alp", days=7).to_csv()
    file.write_text(whole[:-2])  # 106.0 ends as 106.
    series("jura", days=7).to_csv(tmp_path / "jura.csv")
    cut = ingest(store, spec)
    assert np.isfinite(cut["discharge"].values).sum(axis=1).tolist() == [6, 7]
    assert np.isnan(cut["precipitation"].values[0, -1])
    message = quality_report(store).set_index("check").loc["unfinished", "message"]
    assert message.endswith("its last value is wrong; the day is taken when the file goes on")
    file.write_text(whole)
    assert np.isfinite(ingest(store, spec)["discharge"].values).all()

    file.write_text(whole[:-2])  # a day that the store has stays as it is
    expected = open_store(store)["discharge"].values[0]
    np.testing.assert_array_equal(ingest(store, spec)["discharge"].values[0], expected)


def test_a_path_with_a_semicolon(spec, tmp_path):
    folder = tmp_path / "a; b"
    folder.mkdir()
    for site in SITES:
        series(site).to_csv(folder / f"{site}.csv")
    xr.testing.assert_equal(
        read_source({**spec, "path": f"{folder}/{{site}}.csv"}).drop_attrs(), read_source(spec).drop_attrs()
    )
