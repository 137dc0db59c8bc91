"""What would rot in the production shape: names, secrets, users and times that other files decide."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chat_worker.settings import Settings as ChatWorkerSettings
from gateway.settings import Settings as GatewaySettings
from pipedrive_sync.settings import Settings as PipedriveSyncSettings
from usage_ledger.settings import Settings as UsageLedgerSettings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
SETTINGS = {
    "gateway": GatewaySettings,
    "chat-worker": ChatWorkerSettings,
    "usage-ledger": UsageLedgerSettings,
    "pipedrive-sync": PipedriveSyncSettings,
}
ONE_SHOT = {"mongo-init"}
DRAIN_MARGIN_S = 15
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def variables() -> list[re.Match[str]]:
    return list(VARIABLE.finditer(TEXT))


def is_secret(name: str) -> bool:
    return name.endswith(("_PASSWORD", "_SECRET")) or name == "OAI_TOKEN"


def test_every_service_with_a_lock_is_in_compose():
    packages = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}
    assert {name for name in packages if (ROOT / "requirements" / f"{name}.txt").is_file()} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_built_from_its_own_lock(name: str):
    assert SERVICES[name]["build"]["args"] == {"SERVICE": name}
    assert "--hash=sha256:" in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_told_only_settings_that_it_has(name: str):
    known = {field.upper() for field in SETTINGS[name].model_fields}
    assert set(SERVICES[name]["environment"]) <= known


def test_an_administrator_chooses_in_compose_what_pipedrive_means():
    chosen = {
        name
        for name in SERVICES["pipedrive-sync"]["environment"]
        if name.startswith("PIPEDRIVE_") and name not in {"PIPEDRIVE_TOKEN", "PIPEDRIVE_BASE_URL"}
    }
    tuning = {"BURST", "TIMEOUT_S", "SEND_EVERY_S", "NOTIFICATIONS_MAX", "SUPERVISE_EVERY_S"}
    tuning |= {"RECONCILE_EVERY_S", "RECONCILE_FULL_EVERY_S", "TOKEN", "BASE_URL"}
    known = {field.upper() for field in PipedriveSyncSettings.model_fields if field.startswith("pipedrive_")}
    assert chosen == known - {f"PIPEDRIVE_{name}" for name in tuning}


@pytest.mark.parametrize("name", OURS)
def test_a_service_can_be_scaled_and_cannot_write_to_its_image(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "container_name" not in service
    assert "ports" not in service or name == "gateway"


@pytest.mark.parametrize("name", [name for name in OURS if "DRAIN_S" in SERVICES[name]["environment"]])
def test_a_service_is_killed_only_after_its_drain(name: str):
    service = SERVICES[name]
    grace_s = int(service["stop_grace_period"].removesuffix("s"))
    assert grace_s >= float(service["environment"]["DRAIN_S"]) + DRAIN_MARGIN_S


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_runs_as_root(name: str):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", SERVICES[name]["user"])


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))
def test_whatever_runs_has_a_health_check_and_a_limit(name: str):
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_image_has_a_tag(name: str):
    tag = SERVICES[name]["image"].partition(":")[2]
    assert tag not in {"", "latest"}


def test_the_dashboard_can_ask_how_full_the_queues_are():
    address = SERVICES["gateway"]["environment"]["AMQP_MANAGEMENT_URL"]
    assert address == "http://monitor:${MONITOR_AMQP_PASSWORD:?}@rabbitmq:15672"
    assert "AMQP_MANAGEMENT_URL" not in str([SERVICES[name] for name in OURS if name != "gateway"])


def test_only_the_chat_worker_knows_the_provider():
    knowing = {
        name
        for name, service in SERVICES.items()
        if {"OAI_TOKEN", "OAI_BASE_URL"} & set(service.get("environment", {}))
    }
    assert knowing == {"chat-worker"}


def test_no_secret_has_a_default():
    defaults = {m["name"]: m["rest"] for m in variables() if is_secret(m["name"]) and m["kind"] == "-"}
    assert defaults == {"INT_PASSWORD": ""}, "the one that may be empty: the integration is off then"
    assert all(m["kind"] for m in variables()), "an unset variable must not pass in silence"


def test_the_example_names_every_variable_and_holds_no_secret():
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    named = {name for line in lines for name in re.findall(r"\b([A-Z][A-Z_]+)=", line)}
    assert named == {m["name"] for m in variables()}
    assert not [line for line in lines if re.match(r"[A-Z_]+=.", line)]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_mounted_from_here_exists(name: str):
    volumes: list[str] = SERVICES[name].get("volumes", [])
    missing = [v for v in volumes if v.startswith("./") and not (DEPLOY / v.split(":")[0]).is_file()]
    assert missing == []
