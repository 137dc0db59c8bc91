"""What a notification is called: short enough for the queue, and the same each time."""

import orjson
import pytest

from gateway.integration.identity import tokens_call_id, webhook_id

ID_BYTES_MAX = 200
LONG = "x" * 80
UNICODE = "é" * 80


def webhook(**meta: str) -> str:
    return orjson.dumps({"meta": meta}).decode()


def call(event_id: str | int) -> str:
    body = orjson.dumps({"int": {"event_id": event_id}}).decode()
    return tokens_call_id(body, user_ref="u1", quota_text="5")


def of_a_user(text: str) -> str:
    return webhook(company_id=text, id=text, entity=text, action=text, timestamp=text)


@pytest.mark.parametrize("body", [of_a_user(LONG), of_a_user(UNICODE), webhook(company_id=UNICODE, id="1")])
def test_a_webhook_has_a_short_name_of_its_own_whatever_it_says(body: str):
    name = webhook_id(body)
    assert len(name.encode()) <= ID_BYTES_MAX
    assert webhook_id(body) == name
    assert webhook_id(body.replace("x", "y", 1).replace("é", "y", 1)) != name


def test_a_webhook_of_a_person_is_named_by_company_and_event():
    assert webhook_id(webhook(company_id="7", id="a-1", entity="person")) == "w:7:a-1"


@pytest.mark.parametrize("event_id", [UNICODE, "an event", "x" * 5_000])
def test_any_event_id_names_a_call(event_id: str):
    assert call(event_id) == call(event_id)
    assert call(event_id) != call(event_id + "2")
    assert len(call(event_id).encode()) <= ID_BYTES_MAX


@pytest.mark.parametrize(("event_id", "name"), [("e1", "t:e1"), (17, "t:17"), (LONG, f"t:{LONG}")])
def test_a_plain_event_id_is_the_name(event_id: str | int, name: str):
    assert call(event_id) == name


def test_without_an_event_id_and_a_time_each_call_is_its_own():
    assert call("") != call("")
