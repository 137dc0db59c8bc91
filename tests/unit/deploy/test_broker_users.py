"""The broker's users against the topology that the services declare."""

import json
import re
from pathlib import Path

import pytest

from common.amqp import topology
from common.events.envelope import Event
from common.events.registry import MESSAGES

DEFINITIONS = json.loads(
    (Path(__file__).parents[3] / "deploy" / "rabbitmq" / "definitions.json").read_text(encoding="utf-8")
)
PERMISSIONS = {item["user"]: item for item in DEFINITIONS["permissions"]}
TAGS = {"operator": ["administrator"], "monitor": ["management"]}
SERVICES = sorted(PERMISSIONS.keys() - TAGS.keys())
EXCLUSIVE = {
    "gateway": [f"{topology.BALANCES.purpose}.a_1", "gateway.reply.a_1"],
    "chat-worker": [f"{topology.RUN_CANCELS.purpose}.a_1"],
    "usage-ledger": [],
    "pipedrive-sync": [f"{topology.CRM_BALANCES.purpose}.a_1", "pipedrive-sync.reply.a_1"],
}
EXCHANGES = [topology.EVENTS_EXCHANGE, topology.COMMANDS_EXCHANGE]


def durable_queues() -> list[str]:
    names: list[str] = []
    for queue in topology.DURABLE:
        names.append(queue.name)
        if queue.reply_ttl_s is None:
            names += [queue.dead, *(queue.retry(delay_s) for delay_s in topology.RETRY_DELAYS_S)]
    return names


def allowed(user: str, right: str, names: list[str]) -> list[str]:
    return [name for name in names if re.search(PERMISSIONS[user][right], name)]


@pytest.mark.parametrize("user", SERVICES)
def test_a_service_may_declare_all_of_the_topology(user: str):
    queues = durable_queues() + EXCLUSIVE[user]
    everything = EXCHANGES + queues
    assert allowed(user, "configure", everything) == everything
    # A queue that dead-letters is read by its declaration, a bound one is written, its exchange is read.
    assert allowed(user, "read", everything) == everything
    assert allowed(user, "write", queues) == queues
    # Retries, dead letters and replies go through the default exchange.
    assert allowed(user, "write", ["amq.default", topology.EVENTS_EXCHANGE]) != []


@pytest.mark.parametrize("user", SERVICES)
@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_a_service_has_no_right_beyond_its_own_queues(user: str, right: str):
    foreign = [name for other in SERVICES if other != user for name in EXCLUSIVE[other]]
    foreign += ["amq.topic", "other", "xchat.events", f"{topology.RUNS.name}x"]
    assert allowed(user, right, foreign) == []


def test_only_the_gateway_and_the_sync_send_commands():
    senders = [user for user in SERVICES if allowed(user, "write", [topology.COMMANDS_EXCHANGE])]
    assert senders == ["gateway", "pipedrive-sync"]


@pytest.mark.parametrize(
    "event", [m for m in MESSAGES if issubclass(m, Event)], ids=lambda event: event.routing_key()
)
def test_an_event_has_one_publisher(event: type[Event]):
    publishers = [
        item["user"]
        for item in DEFINITIONS["topic_permissions"]
        if re.search(item["write"], event.routing_key())
    ]
    assert len(publishers) == 1


def test_every_service_is_held_to_its_topics():
    held = {item["user"] for item in DEFINITIONS["topic_permissions"]}
    assert held == set(SERVICES)


def test_passwords_come_from_the_environment():
    for user in DEFINITIONS["users"]:
        name = user["name"].upper().replace("-", "_")
        assert user["password"] == f"${{{name}_AMQP_PASSWORD}}"
        assert user["tags"] == TAGS.get(user["name"], [])


@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_whoever_looks_at_the_queues_can_use_none(right: str):
    assert allowed("monitor", right, durable_queues() + EXCHANGES + ["amq.default"]) == []
