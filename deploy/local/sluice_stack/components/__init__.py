"""What a stack runs: one class for each kind of process, told apart by name."""
from ..context import Context
from .base import Component
from .mysql import Mysql
from .rabbitmq import Epmd, RabbitMq
from .redis import Redis
from .services import SERVICES, Service, Setup, is_service, numbered, settings_text

SERVERS = ("mysql", "redis", "rabbitmq")
HIDDEN = ("epmd",)  # runs beside RabbitMQ and isn't listed

__all__ = ["Component", "HIDDEN", "SERVERS", "SERVICES", "Setup", "is_service", "make", "names", "settings_text"]


def names(options: dict) -> list[str]:
    """Every component that a stack with these options lists, in the order of its listing."""
    counts = {name: int(options.get(name + "s", 1)) for name in ("producer", "worker")}
    return [*SERVERS, *(one for name in SERVICES for one in numbered(name, counts.get(name, 1)))]


def make(name: str, context: Context) -> Component:
    servers = {"mysql": Mysql, "redis": Redis, "rabbitmq": RabbitMq, "epmd": Epmd}
    return servers[name](context) if name in servers else Service(context, name)
