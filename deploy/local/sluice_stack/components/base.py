"""The interface between the supervisor and a kind of process."""
from dataclasses import dataclass, field
from pathlib import Path

from ..context import Context


@dataclass(frozen=True)
class Command:
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)


class Component:
    """One process of a stack. Methods may block; the supervisor calls them in a thread, never two of
    the same component at once. They raise OSError, RuntimeError or subprocess errors with a message
    that a person can act on."""

    name: str
    stop_seconds = 10.0  # from asking it to end to killing it

    def __init__(self, context: Context) -> None:
        self.context = context
        self.layout = context.layout

    @property
    def log(self) -> Path:
        return self.layout.log(self.name)

    @property
    def port(self) -> int | None:
        """The port that `status` shows."""
        return self.context.state.ports.get(self.name)

    def port_names(self) -> list[str]:
        """Names of the ports that it needs, by which the state remembers them."""
        return [self.name]

    def ports(self) -> list[int]:
        return [self.context.state.ports[name] for name in self.port_names()]

    def fingerprint(self) -> str:
        """Changes when a running process must be started anew to follow its settings."""
        return ""

    def prepare(self) -> None:
        """Makes configuration and data ready before each start."""

    def command(self) -> Command:
        raise NotImplementedError

    def not_ready(self) -> str | None:
        """None once it serves, otherwise why not yet."""
        raise NotImplementedError

    def data(self) -> Path | None:
        """The folder that `wipe` deletes."""
        return None
