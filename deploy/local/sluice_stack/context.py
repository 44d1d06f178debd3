"""What everything that belongs to one stack shares."""
from dataclasses import dataclass

from .credentials import Credentials
from .layout import Layout, State


@dataclass(frozen=True)
class Context:
    """The state's ports and options change while the supervisor runs; the rest stays."""
    layout: Layout
    state: State
    credentials: Credentials
