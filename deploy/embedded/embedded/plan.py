"""Decides what a run consists of: a private server for each part whose URL or key is not given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embedded import probes
from embedded.config import Config
from embedded.part import Part
from embedded.ports import free_ports
from embedded.probes import Probe
from embedded.servers.model import model
from embedded.servers.mongo import mongo
from embedded.servers.pipedrive import TOKEN, pipedrive
from embedded.servers.rabbitmq import rabbitmq
from embedded.servers.redis import redis
from embedded.services import Addresses, services

_PROVIDER_URL = "https://api.openai.com/v1"
_NO_TOKEN = "none"  # noqa: S105 - the client insists on a key; a server without keys ignores it

Place = Callable[[Path, Iterator[int]], Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`given` are the user's own servers by the name of their setting; the provider is not probed."""

    servers: list[Part]
    given: dict[str, Probe]
    addresses: Addresses
    services: list[Part]


def make_plan(config: Config) -> Plan:
    """Choose ports and write the servers' configuration. Raises PartFailed when a program is missing."""
    ports = free_ports()
    servers: list[Part] = []
    given: dict[str, Probe] = {}

    def url_of(setting: str, probe: Callable[[str], Probe], private: Place) -> str:
        if url := config.given(setting):
            given[setting] = probe(url)
            return url
        servers.append(private(config.data_dir, ports))
        return servers[-1].url

    amqp_url = url_of("AMQP_URL", probes.amqp, rabbitmq)
    redis_url = url_of("REDIS_URL", probes.redis, redis)
    db_url = url_of("DB_URL", probes.mongo, mongo)
    management_url = config.given("AMQP_MANAGEMENT_URL") or next(
        (s.management_url for s in servers if s.management_url), None
    )
    has_provider = bool(config.given("OAI_TOKEN") or config.given("OAI_BASE_URL"))
    if not has_provider:
        servers.append(model(config.data_dir, ports))
    model_url = (config.given("OAI_BASE_URL") or _PROVIDER_URL) if has_provider else servers[-1].url
    has_crm = bool(config.given("PIPEDRIVE_TOKEN"))
    if not has_crm:
        servers.append(pipedrive(config.data_dir, ports))
    addresses = Addresses(
        db_url=db_url,
        amqp_url=amqp_url,
        amqp_management_url=management_url,
        redis_url=redis_url,
        model_url=model_url,
        model_token=config.given("OAI_TOKEN") or _NO_TOKEN,
        assistant=config.given("OAI_ASSISTANT") or ("default" if has_provider else "local"),
        simulated_crm_url=None if has_crm else servers[-1].url,
        simulated_crm_token=TOKEN,
    )
    return Plan(
        servers=servers, given=given, addresses=addresses, services=services(config, addresses, ports)
    )
