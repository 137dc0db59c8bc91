"""The product's services as programs, each with the settings that it may see and no others."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedded import probes
from embedded.config import Config
from embedded.part import Part
from embedded.ports import LOOPBACK
from embedded.program import Program, Tier

CHAT_WORKER = "chat-worker"
_SECRETS = frozenset(
    {
        *("OAI_TOKEN", "OAI_BASE_URL", "OPENAI_API_KEY"),
        *("PIPEDRIVE_TOKEN", "PIPEDRIVE_BASE_URL"),
        *("SHARED_SECRET", "INT_USER", "INT_PASSWORD"),
    }
)
"""Withheld from every service but those that need them: the gateway never holds a provider's key."""
_STOP_MARGIN_S = 5
_SHOWN_EVERY_S = "5"
"""How often the simulated CRM is told of usage: whoever tries it out looks at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the servers are, private or given, and which assistant answers."""

    db_url: str = field(repr=False)
    amqp_url: str = field(repr=False)
    amqp_management_url: str | None = field(repr=False)
    redis_url: str = field(repr=False)
    model_url: str
    model_token: str = field(repr=False)
    assistant: str
    simulated_crm_url: str | None
    """None when a token for Pipedrive is given."""
    simulated_crm_token: str = field(repr=False)

    def settings(self) -> dict[str, str]:
        """Write what every service may know."""
        settings = {
            "DB_URL": self.db_url,
            "AMQP_URL": self.amqp_url,
            "REDIS_URL": self.redis_url,
            "OAI_ASSISTANT": self.assistant,
        }
        if self.amqp_management_url:
            settings["AMQP_MANAGEMENT_URL"] = self.amqp_management_url
        return settings


def services(config: Config, addresses: Addresses, ports: Iterator[int]) -> list[Part]:
    """Describe all services. Several chat workers are several parts of that name."""
    shared = {name: value for name, value in config.settings.items() if name not in _SECRETS}
    shared |= addresses.settings() | {"PYTHONUNBUFFERED": "1"}

    def program(name: str, module: str, own: Mapping[str, str]) -> Program:
        return Program(
            name=name,
            argv=(sys.executable, "-P", "-m", module),
            env={**shared, **own},
            directory=Path.cwd(),
            tier=Tier.SERVICES,
            stop_wait_s=config.drain_s + _STOP_MARGIN_S,
        )

    def behind(part: str, program_name: str, module: str, secrets: Mapping[str, str]) -> Part:
        health_port = next(ports)
        own = {**secrets, "ADDRESS": LOOPBACK, "HEALTH_PORT": str(health_port)}
        url = f"http://{LOOPBACK}:{health_port}/"
        return _part(part, url, program(program_name, module, own))

    def gateway() -> Part:
        own = _chosen(config, "SHARED_SECRET", "INT_USER", "INT_PASSWORD")
        own |= {"ADDRESS": config.address, "PORT": str(config.port)}
        return _part("gateway", config.url, program("gateway", "gateway", own))

    def crm() -> dict[str, str]:
        own = _chosen(config, "INT_USER", "INT_PASSWORD", "PIPEDRIVE_TOKEN", "PIPEDRIVE_BASE_URL")
        if addresses.simulated_crm_url is None:
            return own
        return own | {
            "PIPEDRIVE_TOKEN": addresses.simulated_crm_token,
            "PIPEDRIVE_BASE_URL": addresses.simulated_crm_url,
            "PIPEDRIVE_SETUP_AT_START": "true",
            "PIPEDRIVE_WRITE_EVERY_S": _SHOWN_EVERY_S,
            "DIST_URL": config.url.rstrip("/"),
        }

    model = _chosen(config, "SHARED_SECRET")
    model |= {"OAI_BASE_URL": addresses.model_url, "OAI_TOKEN": addresses.model_token}
    workers = range(1, config.workers + 1)
    return [
        behind("usage-ledger", "usage-ledger", "usage_ledger", {}),
        *(behind(CHAT_WORKER, f"{CHAT_WORKER}-{number}", "chat_worker", model) for number in workers),
        behind("pipedrive-sync", "pipedrive-sync", "pipedrive_sync", crm()),
        gateway(),
    ]


def _part(name: str, url: str, program: Program) -> Part:
    return Part(name=name, url=url, programs=(program,), probe=probes.http(f"{url}health/ready"))


def _chosen(config: Config, *names: str) -> dict[str, str]:
    return {name: config.settings[name] for name in names if name in config.settings}
