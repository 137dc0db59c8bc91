from pathlib import Path

import pytest

from embedded.config import read_config
from embedded.part import Part
from embedded.plan import Plan, make_plan

GIVEN = {
    "DB_URL": "mongodb://db.test/chat",
    "AMQP_URL": "amqp://mq.test/",
    "REDIS_URL": "redis://cache.test/0",
    "OAI_TOKEN": "sk-canary",
    "PIPEDRIVE_TOKEN": "pd-canary",
}


def plan_of(data_dir: Path, **settings: str) -> Plan:
    return make_plan(read_config(GIVEN | {"DATA_DIR": str(data_dir)} | settings, data_dir / ".env"))


def environment_of(plan: Plan, part: str) -> dict[str, str]:
    found: list[Part] = [service for service in plan.services if service.name == part]
    return dict(found[0].program.env)


def test_what_is_given_is_used_and_nothing_private_is_started(tmp_path: Path):
    plan = plan_of(tmp_path)
    assert plan.servers == []
    assert set(plan.given) == {"DB_URL", "AMQP_URL", "REDIS_URL"}
    for part in ("gateway", "chat-worker", "usage-ledger"):
        environment = environment_of(plan, part)
        assert {name: environment[name] for name in plan.given} == {name: GIVEN[name] for name in plan.given}


def test_the_providers_key_goes_to_the_chat_worker_only(tmp_path: Path):
    plan = plan_of(tmp_path)
    assert environment_of(plan, "chat-worker")["OAI_TOKEN"] == "sk-canary"
    for part in ("gateway", "usage-ledger", "pipedrive-sync"):
        assert "sk-canary" not in environment_of(plan, part).values()


def test_pipedrives_token_goes_to_its_service_only_and_a_real_account_is_not_set_up_by_itself(tmp_path: Path):
    plan = plan_of(tmp_path)
    sync = environment_of(plan, "pipedrive-sync")
    assert sync["PIPEDRIVE_TOKEN"] == "pd-canary"
    assert "PIPEDRIVE_SETUP_AT_START" not in sync
    assert "DIST_URL" not in sync
    for part in ("gateway", "chat-worker", "usage-ledger"):
        assert "pd-canary" not in environment_of(plan, part).values()


def test_without_a_token_pipedrive_is_simulated_here_and_may_call_the_gateway(tmp_path: Path):
    plan = plan_of(tmp_path, PIPEDRIVE_TOKEN="")
    assert [part.name for part in plan.servers] == ["pipedrive"]
    sync, gateway = environment_of(plan, "pipedrive-sync"), environment_of(plan, "gateway")
    assert sync["PIPEDRIVE_BASE_URL"] == plan.servers[0].url
    assert sync["DIST_URL"] == "http://127.0.0.1:8080"
    assert (sync["INT_USER"], sync["INT_PASSWORD"]) == (gateway["INT_USER"], gateway["INT_PASSWORD"])
    assert len(gateway["INT_PASSWORD"]) == 64


def test_the_secret_goes_to_no_service_that_does_not_verify_with_it(tmp_path: Path):
    plan = plan_of(tmp_path, SHARED_SECRET="a-canary-of-more-than-thirty-two-bytes")
    assert "SHARED_SECRET" not in environment_of(plan, "usage-ledger")
    assert environment_of(plan, "gateway")["SHARED_SECRET"].startswith("a-canary")


def test_only_the_gateway_listens_beyond_loopback(tmp_path: Path):
    plan = plan_of(tmp_path, ADDRESS="0.0.0.0")
    addresses = {part.name: part.program.env["ADDRESS"] for part in plan.services}
    loopback = dict.fromkeys(("chat-worker", "usage-ledger", "pipedrive-sync"), "127.0.0.1")
    assert addresses == {"gateway": "0.0.0.0"} | loopback


def test_every_worker_is_a_program_of_its_own(tmp_path: Path):
    plan = plan_of(tmp_path, WORKERS="3")
    workers = [part.program for part in plan.services if part.name == "chat-worker"]
    assert len({worker.name for worker in workers}) == 3
    assert len({worker.env["HEALTH_PORT"] for worker in workers}) == 3


@pytest.mark.parametrize(
    ("settings", "assistant", "parts"),
    [
        ({"OAI_TOKEN": ""}, "local", ["model"]),
        ({}, "default", []),
        ({"OAI_TOKEN": "", "OAI_BASE_URL": "http://llm.test/v1"}, "default", []),
        ({"OAI_ASSISTANT": "mine"}, "mine", []),
    ],
)
def test_without_a_provider_a_model_is_served_here(
    tmp_path: Path, settings: dict[str, str], assistant: str, parts: list[str]
):
    plan = plan_of(tmp_path, **settings)
    assert [part.name for part in plan.servers] == parts
    worker = environment_of(plan, "chat-worker")
    assert worker["OAI_ASSISTANT"] == assistant
    assert worker["OAI_TOKEN"]
    if parts:
        assert worker["OAI_BASE_URL"] == plan.servers[0].url
