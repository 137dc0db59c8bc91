"""A person as it is read in Pipedrive, and how a reading is ordered among webhooks."""

from datetime import UTC, datetime, timedelta

import pytest

from pipedrive_sync.domain.custom_fields import FieldKeys
from pipedrive_sync.domain.notice import Cleared, Quota, Version
from pipedrive_sync.domain.record import person_record

QUOTA, USED, BALANCE, USER = (letter * 40 for letter in "abcd")
KEYS = FieldKeys(quota=QUOTA, used=USED, balance=BALANCE, user_id=USER)
UPDATED = datetime(2026, 11, 22, 12, 0, 35, tzinfo=UTC)


def record(read_after_s: float = 60, **fields):
    item = {
        "id": 8,
        "name": "Ann",
        "emails": [{"value": "A@x", "primary": True}],
        "update_time": "2026-11-22T12:00:35Z",
        "custom_fields": {QUOTA: 50_000, USER: "u1", USED: 1, BALANCE: 2},
        **fields,
    }
    return person_record(item, keys=KEYS, read_at=UPDATED + timedelta(seconds=read_after_s))


def test_values_stand_bare_in_the_api():
    found = record()
    assert (found.wanted, found.user_ref, found.used, found.balance) == (Quota(tokens=50_000), "u1", 1, 2)
    assert record(custom_fields={QUOTA: None}).wanted == Cleared()
    assert record(custom_fields=None).wanted == Cleared()
    assert record(custom_fields={QUOTA: {"value": 7, "currency": "EUR"}}).wanted == Quota(tokens=7)


def test_a_reading_is_newer_than_all_that_was_over_when_it_was_made():
    assert record(read_after_s=60).version.at == UPDATED + timedelta(seconds=55)


def test_a_reading_never_counts_from_before_the_change_that_it_shows():
    assert record(read_after_s=5.5).version.at == UPDATED + timedelta(milliseconds=999)


def test_while_the_second_may_go_on_a_webhook_of_it_is_newer():
    assert record(read_after_s=1).version.at == UPDATED


def test_of_two_readings_the_later_one_wins():
    assert record(read_after_s=2).version.place < record(read_after_s=3).version.place


def test_a_reading_that_a_webhook_caused_is_not_older_than_it():
    notified = Version(at=UPDATED + timedelta(milliseconds=616), event="w:1")
    notice = record(read_after_s=1).notice(actor="a", reason="r", asked_because=notified)
    assert notice.version.at == notified.at


def test_unless_the_record_shows_no_change_of_that_time():
    forged = Version(at=UPDATED + timedelta(seconds=30), event="w:1")
    notice = record(read_after_s=31).notice(actor="a", reason="r", asked_because=forged)
    assert notice.version.at == UPDATED + timedelta(seconds=26)


@pytest.mark.parametrize(
    "fields",
    [
        {"update_time": None},
        {"update_time": "soon"},
        {"update_time": []},
        {"id": "x"},
        {"id": None},
        {"id": {}},
        {"id": 0},
        {"id": 2**63},
    ],
)
def test_what_is_no_person_is_refused(fields):
    with pytest.raises((KeyError, TypeError, ValueError)):
        record(**fields)


@pytest.mark.parametrize("odd", [5, "text", [], [None], {"value": {}}, True])
def test_what_is_of_another_kind_in_a_person_is_as_if_it_were_not_there(odd: object):
    found = record(name=[odd], emails=odd, custom_fields={QUOTA: 7, USER: [odd]})
    assert (found.name, found.emails, found.user_ref, found.wanted) == (None, (), None, Quota(tokens=7))
