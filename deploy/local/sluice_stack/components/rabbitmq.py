"""RabbitMQ with an Erlang port mapper (epmd) of its own."""
import os
import shutil
from pathlib import Path

from .. import files, probes
from ..context import Context
from ..environment import RABBITMQ_USER as USER, RABBITMQ_VHOST as VHOST
from ..ports import LOOPBACK
from .base import Command, Component

_BIN = Path("/usr/lib/rabbitmq/bin")  # the scripts in sbin drop root's rights and read system files

_CONFIG = """\
listeners.tcp.default = {address}:{port}
# Made instead of `guest` when the node starts with an empty data folder.
default_user = {user}
default_pass = {password}
default_vhost = {vhost}
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
default_user_tags.administrator = true
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 64MB
# Half an hour: the broker's default, said here because workers rely on it.
consumer_timeout = 1800000
# 512 MB by default, which a stack on a laptop needn't keep in memory.
raft.wal_max_size_bytes = 67108864
log.console = true
log.console.level = info
log.file = false
"""


def environment(context: Context) -> dict[str, str]:
    """What the node, its port mapper and rabbitmqctl need to find each other and no one else."""
    layout, ports = context.layout, context.state.ports
    home, conf = layout.plain(layout.data / "rabbitmq-home"), layout.plain(layout.conf)
    return {
        "HOME": str(home),
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": f"sluice-{context.state.stack_id[:12]}@{LOOPBACK}",
        "RABBITMQ_USE_LONGNAME": "true",  # names no host that would have to be looked up
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(ports["rabbitmq"]),
        "RABBITMQ_DIST_PORT": str(ports["rabbitmq_dist"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(conf / "rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(conf / "rabbitmq-advanced"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(conf / "rabbitmq-plugins"),
        "RABBITMQ_MNESIA_BASE": str(layout.plain(layout.data / "rabbitmq")),
        "RABBITMQ_LOG_BASE": str(layout.plain(layout.logs / "rabbitmq")),
        "RABBITMQ_LOGS": "-",
    }


def ctl(context: Context, program: str = "rabbitmqctl") -> Command:
    return Command([str(_BIN / program)], environment(context))


class Epmd(Component):
    name = "epmd"

    def command(self) -> Command:
        program = shutil.which("epmd")
        if program is None:
            raise RuntimeError("epmd is not installed (Debian package erlang-base)")
        return Command([program, "-address", LOOPBACK, "-port", str(self.port)])

    def not_ready(self) -> str | None:
        return probes.listening(self.port)


class RabbitMq(Component):
    name = "rabbitmq"
    stop_seconds = 30.0

    def port_names(self) -> list[str]:
        return ["rabbitmq", "rabbitmq_dist", "epmd"]

    def ports(self) -> list[int]:
        return [self.context.state.ports[name] for name in ("rabbitmq", "rabbitmq_dist")]

    def data(self) -> Path:
        return self.layout.data / "rabbitmq"

    def prepare(self) -> None:
        if not (_BIN / "rabbitmq-server").exists():
            raise RuntimeError("rabbitmq-server is not installed")
        if self.layout.plain(self.layout.root) != self.layout.root:
            self.layout.create_short_folder()
        settings = environment(self.context)
        home = Path(settings["HOME"])
        home.mkdir(mode=0o700, exist_ok=True)
        self.data().mkdir(mode=0o700, exist_ok=True)
        Path(settings["RABBITMQ_LOG_BASE"]).mkdir(mode=0o700, exist_ok=True)
        files.write_atomic(home / ".erlang.cookie", self.context.credentials["erlang_cookie"], 0o400)
        files.write_atomic(self.layout.conf / "rabbitmq-plugins", "[].\n", 0o600)
        files.write_atomic(self.layout.conf / "rabbitmq.conf", _CONFIG.format(
            address=LOOPBACK, port=self.port, user=USER, vhost=VHOST,
            password=self.context.credentials["rabbitmq_password"]), 0o600)

    def command(self) -> Command:
        # With `detached` the start script becomes the node instead of waiting for it, so that the
        # process we know is the node itself.
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        return Command([str(_BIN / "rabbitmq-server")],
                       {**environment(self.context), "detached": "1", "PATH": path})

    def not_ready(self) -> str | None:
        return probes.rabbitmq(self.port, USER, self.context.credentials["rabbitmq_password"], VHOST)
