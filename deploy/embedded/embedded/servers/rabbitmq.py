"""A private RabbitMQ node with the management plugin, and the Erlang name server of its own.

Without that name server, Erlang would start a shared one that outlives everybody.
"""

from collections.abc import Iterator
from pathlib import Path

from embedded import probes
from embedded.part import Part
from embedded.ports import LOOPBACK
from embedded.program import Program, Tier, bare_environment
from embedded.servers.executable import executable

_NODE = "chat@localhost"
_CREDENTIALS = "guest:guest"  # RabbitMQ's own default, which it accepts on loopback only
_CONF = """\
listeners.tcp.local = {loopback}:{port}
management.tcp.ip = {loopback}
management.tcp.port = {management_port}
log.console = true
log.console.level = warning
log.console.use_colors = off
log.file = false
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 200MB
"""


def rabbitmq(data_dir: Path, ports: Iterator[int]) -> Part:
    """Write the node's configuration; data stays in the directory from run to run."""
    port, management_port, dist_port, epmd_port = (next(ports) for _ in range(4))
    directory = data_dir / "rabbitmq"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="utf-8")
    (directory / "rabbitmq.conf").write_text(
        _CONF.format(loopback=LOOPBACK, port=port, management_port=management_port), encoding="utf-8"
    )
    # A file that is named but empty: the system's own configuration must not be read.
    (directory / "advanced.config").write_text("[].\n", encoding="utf-8")
    (directory / "rabbitmq-env.conf").write_text("", encoding="utf-8")
    names = {"ERL_EPMD_PORT": str(epmd_port), "ERL_EPMD_ADDRESS": LOOPBACK}
    env = bare_environment(directory) | names
    node = env | {
        "RABBITMQ_NODENAME": _NODE,
        "RABBITMQ_DIST_PORT": str(dist_port),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "node.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # Makes the start script become the virtual machine, so that its pid is the node's.
        "RUNNING_UNDER_SYSTEMD": "true",
        "ERL_CRASH_DUMP_SECONDS": "0",
    }
    url = f"amqp://{_CREDENTIALS}@{LOOPBACK}:{port}/"
    management_url = f"http://{_CREDENTIALS}@{LOOPBACK}:{management_port}"
    return Part(
        name="rabbitmq",
        url=url,
        management_url=management_url,
        programs=(
            Program(
                name="epmd",
                argv=(executable("epmd", package="rabbitmq-server"),),
                env=env,
                directory=directory,
                tier=Tier.NAMES,
            ),
            Program(
                name="rabbitmq",
                argv=(executable("rabbitmq-server", package="rabbitmq-server"),),
                env=node,
                directory=directory,
                stop_as_group=False,
            ),
        ),
        probe=probes.every(probes.amqp(url), probes.http(f"{management_url}/api/overview")),
    )
