"""RabbitMQ, Redis and MongoDB in containers, in the versions that production would run."""

import time
from dataclasses import dataclass

from testcontainers.core.container import DockerContainer

_INITIATE = "rs.initiate({_id: 'rs0', members: [{_id: 0, host: '127.0.0.1:27017'}]})"
_INITIATED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Container:
    """A started container; what runs in it may not answer yet."""

    url: str
    management_url: str
    inner: DockerContainer

    def stop(self) -> None:
        self.inner.stop()


def container(kind: str) -> Container:
    """Start the container of a kind: amqp, redis or db."""
    match kind:
        case "amqp":
            inner = DockerContainer("rabbitmq:4-management").with_exposed_ports(5672, 15672).start()
            address = f"guest:guest@{inner.get_container_host_ip()}"
            return Container(
                f"amqp://{address}:{inner.get_exposed_port(5672)}/",
                f"http://{address}:{inner.get_exposed_port(15672)}",
                inner,
            )
        case "redis":
            inner = DockerContainer("redis:7").with_exposed_ports(6379).start()
            return Container(
                f"redis://{inner.get_container_host_ip()}:{inner.get_exposed_port(6379)}/0", "", inner
            )
        case _:
            return _mongo()


def _mongo() -> Container:
    command = "--replSet rs0 --bind_ip_all"
    inner = DockerContainer("mongo:8").with_command(command).with_exposed_ports(27017).start()
    deadline_s = time.monotonic() + _INITIATED_WITHIN_S
    while (result := inner.exec(["mongosh", "--quiet", "--eval", _INITIATE])).exit_code != 0:
        if time.monotonic() > deadline_s:
            inner.stop()
            raise AssertionError(f"MongoDB did not become a replica set: {result.output.decode()}")
        time.sleep(0.5)
    url = f"mongodb://{inner.get_container_host_ip()}:{inner.get_exposed_port(27017)}"
    return Container(f"{url}/chat?directConnection=true", "", inner)
