"""What a stack runs: one class for each kind of process, told apart by name."""
from ..context import Context
from .base import Component
from .mysql import Mysql
from .rabbitmq import Epmd, RabbitMq
from .redis import Redis
from .services import SERVICES, Service, Setup, is_service, worker_names

SERVERS = ("mysql", "redis", "rabbitmq")
HIDDEN = ("epmd",)  # runs beside RabbitMQ and isn't listed

__all__ = ["Component", "HIDDEN", "SERVERS", "SERVICES", "Setup", "is_service", "make", "names", "worker_names"]


def names(workers: int) -> list[str]:
    """Every component that a stack of that many workers lists, in the order of its listing."""
    listed = [*SERVERS, *SERVICES]
    at = listed.index("callback")
    return listed[:at] + worker_names(workers)[1:] + listed[at:]


def make(name: str, context: Context) -> Component:
    servers = {"mysql": Mysql, "redis": Redis, "rabbitmq": RabbitMq, "epmd": Epmd}
    return servers[name](context) if name in servers else Service(context, name)
