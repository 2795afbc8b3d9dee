"""Spatial blocks: blocks, buffers, distances, and what a random split hides."""

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.storage.errors import InputError
from thalweg.storage.geography import EARTH_RADIUS, blocks, nearest_km, nearest_trained_km, positions
from thalweg.storage.splits import make_folds

SITES = 40


@pytest.fixture
def dataset(make_dataset):
    """Forty sites in a patch of 10 by 12 degrees."""
    made = make_dataset(sites=SITES, days=100)
    random = np.random.default_rng(5)
    made["latitude"].values[:] = random.uniform(38, 48, SITES)
    made["longitude"].values[:] = random.uniform(-104, -92, SITES)
    return made


def folds_of(dataset, text, seed=1):
    return make_folds(dataset, yaml.safe_load(text), seed)


def great_circle(one, other):
    """Haversine distance (km), the usual formula."""
    (a, b), (c, d) = np.radians(one), np.radians(other)
    h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(h))


def test_distances():
    zurich, bern, apia, suva = (47.377, 8.541), (46.948, 7.447), (-13.833, -171.767), (-18.142, 178.442)
    found = nearest_km(np.array([zurich, apia]), np.array([bern, suva]))
    np.testing.assert_allclose(found, [great_circle(zurich, bern), great_circle(apia, suva)], rtol=1e-9)
    assert found[0] == pytest.approx(95, abs=2)
    assert found[1] < 1200  # across the date line, not around the world
    np.testing.assert_allclose(
        nearest_km(np.array([[0, 0], [90, 10]]), np.array([[0, 180.0]])),
        [np.pi * EARTH_RADIUS, np.pi / 2 * EARTH_RADIUS],
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 360)), min_size=1, max_size=30),
    st.sampled_from([50.0, 333.0, 5000.0, 50_000.0]),
)
def test_a_block_is_no_wider_than_its_side(places, side):
    places = np.array(places)
    found = blocks(places, side)
    for number in set(found):
        inside = places[found == number]
        apart = [great_circle(a, b) for a in inside for b in inside]
        # the diagonal of a square, and what rounding to whole blocks adds; near a pole a block is a wedge
        assert max(apart) <= 2.5 * side or side > 5000
    turned = blocks(
        np.column_stack([places[:, 0], np.where(places[:, 1] < 0, places[:, 1] + 360, places[:, 1])]), side
    )
    assert len(set(turned)) == len(set(found))


def test_blocks_are_alike_in_size_at_all_latitudes():
    latitude, longitude = np.meshgrid(np.arange(-60, 60, 0.5), np.arange(0, 60, 0.5), indexing="ij")
    places = np.column_stack([latitude.ravel(), longitude.ravel()])
    weight = np.cos(np.radians(places[:, 0]))
    found = blocks(places, 500)
    area = np.bincount(found, weights=weight)
    whole = np.array([a for number, a in enumerate(area) if (found == number).any()])
    assert np.median(whole) == pytest.approx(whole.max(), rel=0.15)


@pytest.mark.parametrize("buffer", [0, 150])
def test_every_site_is_tested_once_and_none_near_it_is_trained_on(dataset, buffer):
    folds = folds_of(dataset, f"{{kind: spatial_blocks, folds: 4, block_km: 250, buffer_km: {buffer}}}")
    assert sorted(site for fold in folds for site in fold.test.sites) == sorted(dataset["site"].values)
    block = dict(
        zip(dataset["site"].values, blocks(positions(dataset, dataset["site"].values), 250), strict=True)
    )
    for fold in folds:
        assert not {block[site] for site in fold.test.sites} & {block[site] for site in fold.train.sites}
        tested, trained = (positions(dataset, part.sites) for part in (fold.test, fold.train))
        assert nearest_km(trained, tested).min() > buffer
        assert 7 <= len(fold.test.sites) <= 13  # of 40 in four folds
        near = nearest_km(positions(dataset, sorted(block)), tested) <= buffer
        assert len(fold.train.sites) + int(near.sum()) == SITES or buffer == 0
        assert nearest_trained_km(dataset, fold) >= buffer


def test_validation_takes_whole_blocks_and_the_buffer_too(dataset):
    text = "{kind: spatial_blocks, folds: 4, block_km: 250, buffer_km: 100, validate_share: 0.2}"
    folds = folds_of(dataset, text)
    for fold in folds:
        places = [positions(dataset, part.sites) for part in (fold.train, fold.validate, fold.test)]
        assert nearest_km(places[0], places[1]).min() > 100
        assert nearest_km(places[1], places[2]).min() > 100
    assert folds_of(dataset.isel(site=slice(None, None, -1)), text) == folds
    assert folds_of(dataset, text, seed=2) != folds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: spatial_blocks, block_km: 5000}", "all 40 sites lie in . blocks?; 5 folds need as many"),
        ("{kind: spatial_blocks, block_km: 0}", "block_km is 0; a number above 0"),
        ("{kind: spatial_blocks, buffer_km: -1}", "buffer_km is -1; a number of at least 0"),
        ("{kind: spatial_blocks, buffer_km: .nan}", "buffer_km is nan"),
        (
            "{kind: spatial_blocks, buffer_km: 2000}",
            r"fold 0: 0 sites are left to train on: of 40, \d+ are tested and the others lie within 2000 km",
        ),
        ("{kind: spatial_blocks, folds: 1}", "folds is 1; a whole number of at least 2"),
        ("{kind: spatial_blocks, regions: 3}", "unknown key of split spatial_blocks: 'regions'"),
    ],
)
def test_refusals(dataset, text, message):
    with pytest.raises(InputError, match=message):
        folds_of(dataset, text)


def test_a_site_without_a_place(dataset):
    dataset["longitude"].values[[3, 5]] = np.nan
    with pytest.raises(InputError, match="site s03 and 1 more have no latitude or longitude"):
        folds_of(dataset, "{kind: spatial_blocks}")
    (fold, *_) = folds_of(dataset, "{kind: ungauged_sites}")
    assert nearest_trained_km(dataset, fold) is None


CLUSTERS, EACH = 12, 5  # stations stand in groups, as gauges do
SPREAD_KM, RANGE_KM, NUGGET = 18.0, 420.0, 0.02  # of a group; of the field's correlation; of a station alone


def stations(template, random):
    """Sixty stations, and a field that neighbours share: its covariance and its values."""
    middle = np.column_stack([random.uniform(38, 48, CLUSTERS), random.uniform(-104, -90, CLUSTERS)])
    scatter = random.normal(0, SPREAD_KM / 111.2, (CLUSTERS * EACH, 2)) * [1, 1.3]
    places = np.repeat(middle, EACH, axis=0) + scatter
    apart = np.array([nearest_km(places, place[None]) for place in places])
    covariance = np.exp(-apart / RANGE_KM) + NUGGET * np.eye(len(places))
    dataset = template.copy(deep=True)
    dataset["latitude"].values[:], dataset["longitude"].values[:] = places.T
    return dataset, covariance, np.linalg.cholesky(covariance) @ random.standard_normal(len(places))


def cross_validated(folds, covariance, field):
    """R2 over all stations of ordinary kriging, the best there is when the covariance is known."""
    predicted = np.full(len(field), np.nan)
    for fold in folds:
        train, test = ([int(site[1:]) for site in part.sites] for part in (fold.train, fold.test))
        inverse = np.linalg.inv(covariance[np.ix_(train, train)])
        mean = (inverse @ field[train]).sum() / inverse.sum()
        predicted[test] = mean + covariance[np.ix_(test, train)] @ inverse @ (field[train] - mean)
    return 1 - ((field - predicted) ** 2).sum() / ((field - field.mean()) ** 2).sum()


def test_a_random_split_flatters_what_a_spatial_one_tests(make_dataset):
    """Random folds give 0.81 and blocks of land 0.20: the first is interpolation to the next station."""
    scores, template = [], make_dataset(sites=CLUSTERS * EACH, days=40)
    for seed in range(40):
        dataset, covariance, field = stations(template, np.random.default_rng(seed))
        kinds = ("{kind: ungauged_sites}", "{kind: spatial_blocks, block_km: 190, buffer_km: 0}")
        folds = [folds_of(dataset, text, seed) for text in kinds]
        scores.append([cross_validated(each, covariance, field) for each in folds])
        near = [np.median([nearest_trained_km(dataset, fold) for fold in each]) for each in folds]
        assert near[0] < 30 < near[1]
    random, grouped = np.mean(scores, axis=0)
    assert random == pytest.approx(0.82, abs=0.03)
    assert grouped == pytest.approx(0.23, abs=0.1)
