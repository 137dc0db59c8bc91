"""What a webhook of Pipedrive means, in all the shapes that it may have."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from common.integration_inbox import InboxRow
from pipedrive_sync.domain.custom_fields import FieldKeys
from pipedrive_sync.domain.notice import (
    Cleared,
    FiguresTouched,
    Ignored,
    PersonGone,
    Quota,
    QuotaNotice,
    Rejected,
    Unusable,
)
from pipedrive_sync.domain.webhook import Ourselves, read_webhook

QUOTA, USED, BALANCE, USER = (letter * 40 for letter in "abcd")
KEYS = FieldKeys(quota=QUOTA, used=USED, balance=BALANCE, user_id=USER)
OURSELVES = Ourselves(company_id="8087566", user_id="111")
AT = datetime(2022, 11, 24, 15, 18, 35, 616_000, tzinfo=UTC)


def person(quota: Any = None, **custom: Any) -> dict[str, Any]:
    fields = {} if quota is None else {QUOTA: {"type": "double", "value": quota}}
    return {
        "id": 8,
        "name": "Ann Lee",
        "emails": [
            {"value": "second@example.com", "primary": False, "label": "home"},
            {"value": " Ann@Example.com ", "primary": True, "label": "work"},
        ],
        "update_time": "2022-11-24T15:18:35Z",
        "custom_fields": fields | custom,
    }


def body(
    data: Any = None, previous: Any = None, action: str = "change", entity: str = "person", **meta: Any
) -> dict[str, Any]:
    return {
        "data": data,
        "previous": previous,
        "meta": {
            "action": action,
            "entity": entity,
            "entity_id": "8",
            "company_id": "8087566",
            "user_id": "12415231",
            "id": "7c812ffd-8f50-45ea-a597-b8fcba2da9c0",
            "timestamp": "2022-11-24T15:18:35.616Z",
            "change_source": "app",
            "is_bulk_edit": False,
            "attempt": 1,
            "version": "2.0",
            "webhook_id": "1",
            **meta,
        },
    }


def read(content: Any, keys: FieldKeys = KEYS, received_at: datetime = AT + timedelta(seconds=1)) -> Any:
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    row = InboxRow(
        id="w:8087566:e1", channel="webhook", received_at=received_at, body=text, actor="pipedrive"
    )
    return read_webhook(row, keys=keys, ourselves=OURSELVES)


def changed(quota_before: Any = None) -> dict[str, Any]:
    return {"custom_fields": {QUOTA: quota_before}}


def test_a_changed_quota_says_who_how_much_when_and_by_whom():
    notice = read(body(person(50_000), changed()))
    assert isinstance(notice, QuotaNotice)
    assert notice.wanted == Quota(tokens=50_000)
    assert notice.subject.person_id == 8
    assert notice.subject.emails == ("ann@example.com", "second@example.com")
    assert notice.version.at == AT
    assert notice.version.event == notice.inbox_id == "w:8087566:e1"
    assert notice.actor == "pipedrive:user:12415231"


@pytest.mark.parametrize(
    "value",
    [
        {"type": "double", "value": 50_000},
        {"type": "double", "value": 50_000.0},
        {"type": "varchar", "value": "50 000"},
        {"type": "monetary", "value": 50_000, "currency": "EUR"},
    ],
)
def test_the_field_may_have_any_type_that_holds_a_number(value):
    data = person() | {"custom_fields": {QUOTA: value}}
    assert read(body(data, changed())).wanted == Quota(tokens=50_000)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {QUOTA: None},
        {QUOTA: {"type": "double", "value": None}},
        {QUOTA: {"type": "varchar", "value": ""}},
    ],
)
def test_a_cleared_field_is_cleared_however_it_looks(fields):
    data = person() | {"custom_fields": fields}
    assert read(body(data, changed({"type": "double", "value": 5}))).wanted == Cleared()


@pytest.mark.parametrize(
    ("value", "problem"), [(-5, "negative"), ("many", "not_a_number"), (1.5, "not_whole")]
)
def test_what_is_no_quota_is_kept_as_it_was_written(value, problem):
    assert read(body(person(value), changed())).wanted == Unusable(problem=problem, text=str(value))


@pytest.mark.parametrize(
    "timestamp",
    ["2022-11-24T15:18:35.616Z", "2022-11-24T16:18:35.616+01:00", "2022-11-24 15:18:35.616", 1669303115.616],
)
def test_both_forms_of_the_timestamp_are_read(timestamp):
    assert read(body(person(1), changed(), timestamp=timestamp)).version.at == AT


@pytest.mark.parametrize("timestamp", ["1669303115", 1669303115])
def test_seconds_since_1970_are_read(timestamp):
    assert read(body(person(1), changed(), timestamp=timestamp)).version.at == AT.replace(microsecond=0)


@pytest.mark.parametrize("timestamp", [None, "", "soon", True, [], 1e30, -5])
def test_without_a_timestamp_the_update_time_counts(timestamp):
    notice = read(body(person(1), changed(), timestamp=timestamp))
    assert notice.version.at == datetime(2022, 11, 24, 15, 18, 35, tzinfo=UTC)


def test_a_time_far_ahead_does_not_shut_out_what_comes_later():
    notice = read(body(person(1), changed(), timestamp="2099-01-01T00:00:00Z"), received_at=AT)
    assert notice.version.at == AT + timedelta(minutes=1)


def test_a_change_of_something_else_is_nothing_to_us():
    assert isinstance(read(body(person(50_000), {"name": "Ann"})), Ignored)
    assert isinstance(read(body(person(50_000), {"custom_fields": {"e" * 40: None}})), Ignored)


def test_a_change_of_who_it_is_brings_the_quota_along():
    mapped = person(50_000, **{USER: {"type": "varchar", "value": " u1 "}})
    notice = read(body(mapped, {"custom_fields": {USER: None}}))
    assert notice.wanted == Quota(tokens=50_000)
    assert notice.subject.user_ref == "u1"
    assert isinstance(read(body(person(50_000), {"emails": []})), QuotaNotice)


def test_a_new_person_with_a_quota_counts_and_one_without_does_not():
    assert read(body(person(7), None, action="create")).wanted == Quota(tokens=7)
    assert isinstance(read(body(person(), None, action="create")), Ignored)


@pytest.mark.parametrize("previous", [{"custom_fields": {USER: None}}, {"emails": []}, {"name": "Ann"}])
def test_a_quota_that_is_missing_was_not_taken_away_unless_it_was_there(previous):
    assert isinstance(read(body(person(), previous)), Ignored)
    assert isinstance(read(body(person(), {}, merged_from_id="7")), Ignored)


def test_our_own_echo_is_ignored_and_others_who_write_our_figures_are_not():
    touched = {"custom_fields": {USED: {"type": "double", "value": 1}, BALANCE: None}}
    own = read(body(person(5), touched, change_source="api", user_id="111"))
    assert own == Ignored(why="our own echo")
    assert read(body(person(5), touched, change_source="api")) == FiguresTouched(person_id=8)
    assert read(body(person(5), touched, user_id="111")) == FiguresTouched(person_id=8)


def test_another_tools_change_of_the_quota_counts_even_by_our_own_token():
    notice = read(body(person(5), changed(), change_source="api", user_id="111"))
    assert isinstance(notice, QuotaNotice)


def test_a_deletion_and_a_merge_name_the_person_that_is_left():
    gone = read(body(None, person(5), action="delete"))
    assert isinstance(gone, PersonGone)
    assert gone.into is None
    assert read(body(None, person(5), action="delete", merged_to_id="9")).into == 9
    merged = read(body(person(5), {}, merged_from_id="7"))
    assert isinstance(merged, QuotaNotice)


@pytest.mark.parametrize("version", ["1.0", None, 2])
def test_other_versions_are_rejected_loudly(version):
    assert isinstance(read(body(person(5), changed(), version=version)), Rejected)


def test_another_company_is_rejected():
    assert isinstance(read(body(person(5), changed(), company_id="666")), Rejected)


def test_organizations_are_none_of_our_business():
    assert isinstance(read(body(person(5), changed(), entity="organization")), Ignored)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '"x"', "{}", '{"meta": 5}', '{"meta": {"version": "2.0"}}']
)
def test_nonsense_is_rejected_and_never_an_error(content):
    assert isinstance(read(content), Rejected | Ignored)


@pytest.mark.parametrize("entity_id", [None, "", "x", "-1", "1" * 30, "٣"])
def test_a_person_without_a_number_is_rejected(entity_id):
    assert isinstance(read(body(person(5), changed(), entity_id=entity_id)), Rejected)


def test_without_the_quotas_field_nothing_can_be_said():
    assert isinstance(read(body(person(5), changed()), keys=FieldKeys()), Rejected)
