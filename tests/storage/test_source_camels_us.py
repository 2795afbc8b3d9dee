"""The official layout of CAMELS-US."""

import numpy as np
import pytest

from thalweg.storage.attributes import attribute_names, require_attributes
from thalweg.storage.errors import InputError
from thalweg.storage.quality import check_quality
from thalweg.storage.sources import read_source

FORCING = "basin_mean_forcing/maurer_extended/01/01013500_lump_maurer_forcing_leap.txt"


def read(path, **options):
    return read_source({"kind": "camels_us", "path": path, **options})


def test_reads_forcing_and_flow(camels):
    dataset = read(camels)
    assert dataset["site"].values.tolist() == ["camels_01013500", "camels_02046000", "camels_12010000"]
    assert [str(day)[:10] for day in dataset["time"].values[[0, 2, -1]]] == [
        "2000-02-27",
        "2000-02-29",
        "2000-03-02",
    ]
    assert dataset["precipitation"].values[1].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert dataset["temperature"].values[1].tolist() == [2, 3, 4, 5, 6]
    assert dataset["day_length"].values[0, 0] == 36000
    assert dataset["region"].values.tolist() == ["01", "02", "17"]
    # 102 ft3/s over 100 km2, on the third day of the flow record
    assert dataset["discharge"].values[1, 0] == pytest.approx(102 * 0.0283168466 * 86400 / 1e8 * 1000)
    assert np.isnan(dataset["discharge"].values[0]).tolist() == [False, True, True, False, False]
    assert "Hargreaves" in dataset["potential_evapotranspiration"].attrs["comment"]


def test_attributes(camels):
    dataset = read(camels)
    assert dataset["area"].values == pytest.approx(100.0)
    assert dataset["dom_land_cover"].values[0] == "Mixed Forests"
    assert dataset["geol_2nd_class"].values[0] == ""
    assert np.isnan(dataset["geol_porostiy"]).all()
    # what was derived from streamflow cannot be an input
    assert "baseflow_index" not in attribute_names(dataset)
    assert dataset["baseflow_index"].attrs["role"] == "signature"
    with pytest.raises(InputError, match="'baseflow_index' is derived from observed streamflow"):
        require_attributes(dataset, ["baseflow_index"])


def test_area_mismatch_is_reported(camels):
    report = check_quality(read(camels))
    findings = report[report["check"] == "area_mismatch"]
    assert len(findings) == 3
    assert findings["message"].iloc[0] == "area 100.0 km2 differs by -23% from area_geospa_fabric, 130.0 km2"


def test_equal_extremes_fall_back_to_oudin(camels):
    for file in camels.glob("basin_mean_forcing/*/*/*.txt"):
        head, rows = file.read_text().splitlines()[:4], file.read_text().splitlines()[4:]
        cells = [row.split("\t") for row in rows]
        file.write_text("\n".join(head + ["\t".join([*row[:9], row[8], row[10]]) for row in cells]) + "\n")
    dataset = read(camels)
    assert "Oudin" in dataset["potential_evapotranspiration"].attrs["comment"]


def test_names_of_sites(camels, tmp_path):
    for sites in (["12010000"], ["camels_12010000"]):
        assert read(camels, sites=sites)["site"].values.tolist() == ["camels_12010000"]
    names = tmp_path / "list.txt"
    names.write_text("12010000\n01013500\n")
    assert read(camels, sites=names)["site"].values.tolist() == ["camels_01013500", "camels_12010000"]


def test_folders_of_the_official_archives(camels, tmp_path):
    root = tmp_path / "official"
    inner = root / "basin_timeseries_v1p2_metForcing_obsFlow" / "basin_dataset_public_v1p2"
    inner.mkdir(parents=True)
    for name in ("basin_mean_forcing", "usgs_streamflow"):
        (camels / name).rename(inner / name)
    (root / "camels_attributes_v2.0").mkdir()
    (camels / "camels_attributes_v2.0").rename(root / "camels_attributes_v2.0" / "camels_attributes_v2.0")
    assert read(root).sizes["site"] == 3


def test_column_names_in_any_case(camels):
    file = camels / FORCING
    file.write_text(file.read_text().replace("prcp(mm/day)", "PRCP(mm/day)").replace("tmax(C)", "Tmax(C)"))
    assert read(camels, sites=["01013500"])["precipitation"].values[0, 0] == 0.5


def drop_flow(root):
    (root / "usgs_streamflow/01/02046000_streamflow_qc.txt").unlink()


def drop_attributes(root):
    for file in (root / "camels_attributes_v2.0").glob("*.txt"):
        file.write_text(
            "\n".join(line for line in file.read_text().splitlines() if "02046000" not in line) + "\n"
        )


def replace_in_forcing(old, new):
    return lambda root: (root / FORCING).write_text((root / FORCING).read_text().replace(old, new))


def rewrite_topography(change):
    def rewrite(root):
        file = root / "camels_attributes_v2.0/camels_topo.txt"
        file.write_bytes(change(file.read_bytes()))

    return rewrite


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, {"forcing": "daymet"}, "no forcing 'daymet'; known: maurer_extended"),
        (
            None,
            {"sites": ["01013501"]},
            "site '01013501': no maurer_extended forcing file .* mean '01013500'",
        ),
        (drop_flow, {}, "site '02046000': no streamflow file"),
        (drop_attributes, {}, "site 02046000 without attributes"),
        (replace_in_forcing("prcp(mm/day)", "rain(mm/day)"), {}, "no column 'prcp'; it has year, mnth"),
        (replace_in_forcing(" 100000000", "0"), {}, "area in line 3 is 0"),
        (replace_in_forcing("2000\t2\t28", "2000\t2\t27"), {}, "a day occurs twice"),
        (replace_in_forcing("200\t0.0", "200\tx y z"), {}, "cannot be read as CAMELS-US forcing"),
        (
            lambda root: (root / "camels_attributes_v2.0/camels_soil.txt").unlink(),
            {},
            "camels_soil.txt: no such file",
        ),
        (
            rewrite_topography(lambda text: text.replace(b"gauge_id", b"gauge")),
            {},
            r"camels_topo\.txt: no column 'gauge_id'; it has gauge, gauge_lat",
        ),
        (
            rewrite_topography(lambda text: text + text.splitlines()[1] + b"\n"),
            {},
            r"camels_topo\.txt: \d+ occurs twice",
        ),
        (
            rewrite_topography(lambda text: text.splitlines()[0] + b"\n"),
            {},
            r"camels_topo\.txt: no rows under the header",
        ),
        (rewrite_topography(lambda text: b""), {}, r"camels_topo\.txt: cannot be read as a table: No col"),
        (rewrite_topography(lambda text: text + b"\xff"), {}, r"camels_topo\.txt: cannot be read.*utf-8"),
        (
            lambda root: (root / "usgs_streamflow").rename(root / "flow"),
            {},
            "no folder usgs_streamflow; it has basin_mean_forcing",
        ),
    ],
)
def test_refusals(camels, change, options, message):
    if change:
        change(camels)
    with pytest.raises(InputError, match=message):
        read(camels, **options)
