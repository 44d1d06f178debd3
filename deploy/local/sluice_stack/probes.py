"""Whether a server answers as a client needs it to. Each probe returns None, or why not yet."""
import http.client
import socket
import struct

from .ports import LOOPBACK

TIMEOUT_SECONDS = 3.0


def redis(port: int, password: str) -> str | None:
    def command(*words: str) -> bytes:
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)

    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as sock:
            sock.sendall(command("AUTH", password) + command("PING"))
            with sock.makefile("rb") as replies:
                for wanted in (b"+OK", b"+PONG"):
                    reply = replies.readline().strip()
                    if reply != wanted:
                        return reply.decode("utf-8", "replace") or "closed the connection"
    except OSError as error:
        return str(error)
    return None


def _amqp_frame(channel: int, method: tuple[int, int], arguments: bytes) -> bytes:
    payload = struct.pack(">HH", *method) + arguments
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


def _short(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">B", len(raw)) + raw


def _long(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">I", len(raw)) + raw


def rabbitmq(port: int, user: str, password: str, vhost: str) -> str | None:
    """A full AMQP 0-9-1 log-in: the listener, the user, and the virtual host are all there."""
    start, start_ok, tune, tune_ok, open_, open_ok, close = (
        (10, 10), (10, 11), (10, 30), (10, 31), (10, 40), (10, 41), (10, 50))
    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as sock, sock.makefile("rb") as replies:

            def expect(method: tuple[int, int]) -> bytes:
                head = replies.read(7)
                if len(head) < 7:
                    raise OSError("closed the connection")
                size = struct.unpack(">BHI", head)[2]
                payload = replies.read(size + 1)[:-1]
                if len(payload) < 4 or struct.unpack(">HH", payload[:4]) != method:
                    raise OSError(f"unexpected answer {payload[:64]!r}")
                return payload[4:]

            sock.sendall(b"AMQP\0\0\x09\x01")
            expect(start)
            sock.sendall(_amqp_frame(0, start_ok, _long("") + _short("PLAIN") + _long(f"\0{user}\0{password}")
                                     + _short("en_US")))
            limits = expect(tune)[:8]
            sock.sendall(_amqp_frame(0, tune_ok, limits) + _amqp_frame(0, open_, _short(vhost) + b"\0\0"))
            expect(open_ok)
            sock.sendall(_amqp_frame(0, close, struct.pack(">H", 200) + _short("") + struct.pack(">HH", 0, 0)))
            expect((10, 51))
    except OSError as error:
        return str(error)
    return None


def listening(port: int) -> str | None:
    try:
        socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS).close()
    except OSError as error:
        return str(error)
    return None


def mysql_greeting(port: int) -> str | None:
    """Whether a MySQL server greets on the port (a cheap look before a real log-in)."""
    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as sock:
            head = sock.recv(5)
    except OSError as error:
        return str(error)
    return None if len(head) == 5 and head[4] == 10 else "no greeting yet"


def http_ready(port: int) -> str | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        body = response.read(2000).decode("utf-8", "replace").strip()
        return None if response.status == 200 else f"/ready says {response.status} {body}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
