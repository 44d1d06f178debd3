"""Free loopback ports.

Ports are taken from below the ephemeral range: the kernel gives ports of that range to outgoing
connections, so a server that must come back on its own port could find it used by a client.
"""
import random
import socket

LOOPBACK = "127.0.0.1"
_LOWEST = 15000
HTTP_FIRST = 8080


def _ephemeral_first() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
            return int(stream.read().split()[0])
    except OSError:
        return 32768


def _bind(port: int, reuse: bool) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((LOOPBACK, port))
    except OSError:
        sock.close()
        return None
    return sock


def usable(port: int) -> bool:
    """Whether a server may listen on a port that it had before (connections of its earlier life
    that linger in TIME_WAIT do no harm)."""
    sock = _bind(port, reuse=True)
    if sock is None:
        return False
    with sock:
        try:
            sock.listen(1)
        except OSError:
            return False
    return True


class Reservations:
    """Ports held by a bound socket between choosing them and starting their server, so that stacks
    which start at the same moment choose different ones. Not safe for concurrent use."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def release(self, port: int | None) -> None:
        sock = self._held.pop(port, None) if port is not None else None
        if sock is not None:
            sock.close()

    def choose(self, taken: set[int]) -> int:
        """A free port that is not in `taken`."""
        top = _ephemeral_first()
        low = _LOWEST if top > _LOWEST + 1000 else 1024
        for _ in range(10000):
            port = random.randrange(low, top)
            if port not in taken and self._hold(port):
                return port
        raise RuntimeError("no free loopback port found")

    def choose_http(self, taken: set[int]) -> int:
        """8080, or the next free one."""
        for port in range(HTTP_FIRST, 65536):
            if port not in taken and self._hold(port):
                return port
        raise RuntimeError("no free port for HTTP found")

    def keep(self, port: int) -> bool:
        """Holds a remembered port; False if someone else has it now."""
        return port in self._held or usable(port) and (self._hold(port) or usable(port))

    def _hold(self, port: int) -> bool:
        sock = _bind(port, reuse=False)
        if sock is None:
            return False
        self._held[port] = sock
        return True
