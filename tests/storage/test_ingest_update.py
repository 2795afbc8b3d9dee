"""The rules of an update: what is read again, and what is refused."""

from dataclasses import dataclass
from datetime import date

import pytest

from thalweg.storage.errors import InputError
from thalweg.storage.ingest.update import Change, Known, changes

FIRST, LAST = date(2000, 1, 1), date(2001, 12, 31)


@dataclass(frozen=True)
class Catalog:
    sites: tuple[str, ...]
    stamps: dict[str, str]
    first: date = FIRST
    last: date = LAST


def catalog(first=FIRST, last=LAST, **stamps):
    return Catalog(tuple(stamps), stamps, first, last)


def known(**stamps):
    return Known(tuple(stamps), FIRST, LAST, stamps)


def test_all_is_new_to_an_empty_store():
    found = changes(catalog(b="1", a="1"), None)
    assert found == [Change("a", "new", FIRST, LAST), Change("b", "new", FIRST, LAST)]


def test_nothing_changed():
    assert changes(catalog(a="1", b="1"), known(b="1", a="1")) == []


def test_a_new_site_follows_those_that_are_there():
    found = changes(catalog(a="1", b="1", c="1"), known(c="1", a="1"))
    assert found == [Change("b", "new", FIRST, LAST)]


def test_what_differs_is_read_again_as_a_whole():
    assert changes(catalog(a="2", b="1"), known(a="1", b="1")) == [Change("a", "revised", FIRST, LAST)]
    later = date(2002, 1, 31)
    assert changes(catalog(last=later, a="2", b="1"), known(a="1", b="1")) == [
        Change("a", "appended", FIRST, later)
    ]


def test_late_days_are_read_again_whatever_the_stamps_say():
    later = date(2002, 1, 2)
    assert changes(catalog(last=later, a="1", b="2"), known(a="1", b="1"), late_days=30) == [
        Change("a", "late", date(2001, 12, 2), later),
        Change("b", "appended", FIRST, later),
    ]
    everything = changes(catalog(a="1"), known(a="1"), late_days=10_000)
    assert everything == [Change("a", "late", FIRST, LAST)]


def test_earlier_days_move_every_place_in_the_store():
    earlier = date(1999, 1, 1)
    found = changes(catalog(first=earlier, a="1", b="1", c="1"), known(b="1", a="1"))
    assert found == [
        Change("b", "revised", earlier, LAST),
        Change("a", "revised", earlier, LAST),
        Change("c", "new", earlier, LAST),
    ]


def test_more_late_days_than_the_store_has():
    for many in (1096, 10**8):
        found = changes(catalog(a="1"), known(a="1"), late_days=many)
        assert found == [Change("a", "late", FIRST, LAST)]


def test_everything_on_request():
    assert [change.reason for change in changes(catalog(a="1", b="1"), known(a="1"), full=True)] == [
        "revised",
        "new",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            catalog(a="1"),
            r"source x: got shorter: 1 of the store's 2 sites are gone \(b\); nothing was changed",
        ),
        (catalog(last=date(2001, 12, 30), a="1", b="1"), "ends on 2001-12-30, the store on 2001-12-31"),
        (catalog(first=date(2000, 1, 2), a="1", b="1"), "begins on 2000-01-02, the store on 2000-01-01"),
        (catalog(first=date(1990, 1, 1), last=date(2000, 1, 1), a="1", b="1"), "ends on 2000-01-01"),
    ],
)
def test_a_source_that_got_shorter_is_refused(source, message):
    with pytest.raises(InputError, match=message):
        changes(source, known(a="1", b="1"), where="source x")
