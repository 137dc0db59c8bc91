"""What an answer of Pipedrive's API means."""

import pytest

from pipedrive_sync.domain.answers import read_answer

OK = {"success": True, "data": {}}
ERROR = {"success": False, "error": "no"}
ERROR_OF_V1 = {"status": "error", "errors": {"id": ["not found"]}}
OF_SOMEBODY_ELSE = {"message": "no such route"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (200, {}, OK, "ok"),
        (201, {}, OK, "ok"),
        (200, {}, None, "broken"),
        (200, {}, [], "broken"),
        (200, {}, ERROR, "broken"),
        (200, {}, {"success": False, "data": {}}, "broken"),
        (200, {}, {"data": {}}, "ok"),
        (429, {}, ERROR, "burst"),
        (429, {"x-daily-ratelimit-token-remaining": "5"}, ERROR, "burst"),
        (429, {"x-daily-ratelimit-token-remaining": "0"}, ERROR, "daily"),
        (401, {}, ERROR, "unauthorized"),
        (403, {}, ERROR, "forbidden"),
        (403, {}, None, "blocked"),
        (404, {}, ERROR, "not_found"),
        (404, {}, ERROR_OF_V1, "not_found"),
        (404, {}, OF_SOMEBODY_ELSE, "broken"),
        (404, {}, None, "broken"),
        (410, {}, ERROR, "not_found"),
        (410, {}, None, "broken"),
        (400, {}, ERROR, "refused"),
        (422, {}, ERROR, "refused"),
        (500, {}, ERROR, "broken"),
        (524, {}, None, "broken"),
        (302, {}, None, "broken"),
    ],
)
def test_kinds_of_answers(status, headers, body, kind):
    assert read_answer(status, headers, body).kind == kind


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 2.0),
        ({"retry-after": "3"}, 3.0),
        ({"x-ratelimit-reset": "1"}, 1.0),
        ({"retry-after": "7", "x-ratelimit-reset": "1"}, 7.0),
        ({"retry-after": "86400"}, 60.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 2.0),
        ({"retry-after": "0"}, 2.0),
    ],
)
def test_too_fast_says_how_long_to_wait(headers, wait_s):
    assert read_answer(429, headers, ERROR).wait_s == wait_s
