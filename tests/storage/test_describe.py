"""The words: canonical variables, attributes and regions."""

from thalweg.storage.sources.describe import describe_attribute, huc_regions, is_class
from thalweg.storage.suggestions import suggest
from thalweg.storage.units import convert
from thalweg.storage.variables import VARIABLES


def test_every_canonical_variable_is_complete():
    for name, variable in VARIABLES.items():
        assert variable.name == name
        assert variable.minimum < variable.maximum
        assert variable.role in ("forcing", "target")
        assert variable.attributes["units"]
        convert([1.0], variable.units, variable.units)


def test_regions_of_all_camels_gauges():
    regions = huc_regions()
    assert len(regions) == 671
    assert regions["01022500"] == "01"
    assert set(regions.values()) == {f"{number:02d}" for number in range(1, 19)}


def test_attributes_are_described_from_the_table_or_from_their_code():
    assert describe_attribute("caravan", "area")["units"] == "km2"
    assert describe_attribute("caravan", "area")["usual_input"] == "yes"
    code = describe_attribute("caravan", "tmp_dc_s07")
    assert code["units"] == "0.1 degC"
    assert code["long_name"] == "air temperature (s07)"
    assert "usual_input" not in code
    assert describe_attribute("camels_us", "q_mean")["role"] == "signature"
    assert describe_attribute("caravan", "my_own") == {"long_name": "my own", "role": "attribute"}
    assert is_class("caravan", "glc_cl_smj")
    assert not is_class("caravan", "for_pc_sse")
    assert is_class("camels_us", "dom_land_cover")


def test_nothing_derived_from_streamflow_is_a_usual_input():
    for name in ("q_mean", "runoff_ratio", "baseflow_index", "hfd_mean"):
        assert "usual_input" not in describe_attribute("camels_us", name)
    for name in ("dis_m3_pyr", "run_mm_syr", "aridity", "pet_mean"):
        assert "usual_input" not in describe_attribute("caravan", name)


def test_suggestions():
    assert suggest("Temperatur", ["temperature", "rain"]) == "did you mean 'temperature'?"
    assert suggest("x", ["b", "a"]) == "known: a, b"
    assert suggest("x", []) == "there is none"
    assert suggest("zz", [f"name{i}" for i in range(10)], limit=2) == "known: name0, name1 and 8 more"
