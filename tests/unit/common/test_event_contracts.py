"""Messages are a public API: their schemas are kept in `contracts/events` and only grow."""

import json
from pathlib import Path

import pytest

from common.events.registry import MESSAGES, snapshots

CONTRACTS = Path(__file__).parents[3] / "contracts" / "events"


def test_every_message_has_its_snapshot_and_no_snapshot_is_left_over():
    assert {path.name for path in CONTRACTS.glob("*.json")} == set(snapshots())


@pytest.mark.parametrize("name", sorted(snapshots()))
def test_the_snapshot_is_current(name: str):
    stored = (CONTRACTS / name).read_text(encoding="utf-8")
    how = "the schema changed: only add, then run `python -m common.events contracts/events`"
    assert stored == snapshots()[name], how


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.routing_key())
def test_readers_ignore_fields_of_a_newer_writer(message):
    assert json.loads(snapshots()[f"{message.routing_key()}.json"]).get("additionalProperties") is not False


def test_no_two_messages_share_a_routing_key():
    assert len({message.routing_key() for message in MESSAGES}) == len(MESSAGES)
