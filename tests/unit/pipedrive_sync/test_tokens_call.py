"""What a call of /int/tokens means."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.integration_inbox import InboxRow
from pipedrive_sync.domain.notice import Cleared, Quota, QuotaNotice, Rejected, Unusable, read_time
from pipedrive_sync.domain.tokens_call import read_tokens_call

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def read(body: str = "", *, user_ref: str = "u1", quota: str = "50 000") -> Any:
    row = InboxRow(
        id="t:1",
        channel="tokens",
        received_at=NOW,
        body=body,
        actor="integration",
        user_ref=user_ref,
        quota_text=quota,
    )
    return read_tokens_call(row)


def test_a_bare_call_sets_the_quota_of_a_user_now():
    notice = read()
    assert isinstance(notice, QuotaNotice)
    assert notice.wanted == Quota(tokens=50_000)
    assert (notice.subject.user_ref, notice.subject.person_id) == ("u1", None)
    assert notice.version.at == NOW


def test_the_body_says_who_it_is_in_pipedrive_and_when():
    notice = read(
        '{"int": {"person_id": "8", "email": " Ann@X.example", "updated_at": "2026-11-22T11:00:00Z"}}'
    )
    assert notice.subject.person_id == 8
    assert notice.subject.emails == ("ann@x.example",)
    assert notice.version.at == NOW - timedelta(hours=1)


def test_what_should_be_in_int_may_stand_at_the_top():
    assert read('{"person_id": 8}').subject.person_id == 8


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", "a=b", '{"int": 5}', '{"int": {"person_id": {"$gt": 0}}}']
)
def test_a_body_that_says_nothing_is_no_error(body):
    assert read(body).subject.person_id is None


def test_a_person_may_be_named_by_the_id():
    notice = read(user_ref="pd:8")
    assert (notice.subject.user_ref, notice.subject.person_id) == (None, 8)
    assert isinstance(read(user_ref="pd:x"), Rejected)
    assert isinstance(read('{"int": {"person_id": 9}}', user_ref="pd:8"), Rejected)


def test_empty_is_cleared_and_nonsense_is_kept_for_a_person_to_see():
    assert read(quota="").wanted == Cleared()
    assert read(quota="-1").wanted == Unusable(problem="negative", text="-1")


def test_a_sender_that_is_ahead_of_time_does_not_shut_out_what_comes_later():
    notice = read('{"int": {"updated_at": "2099-01-01T00:00:00Z"}}')
    assert notice.version.at == NOW + timedelta(minutes=1)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"])
def test_a_time_that_does_not_exist_in_utc_is_none(text):
    assert read_time(text) is None
