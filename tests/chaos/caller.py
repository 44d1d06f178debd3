"""How the clients of a chaos run ask: over a connection of their own each time, and "no answer" is one of the answers."""
import http.client
import json
import threading


class Caller:
    """Safe for concurrent use. `stop`: a pause after a failure ends when it is set."""

    def __init__(self, key: str, stop: threading.Event) -> None:
        self._key, self._stop = key, stop

    def fetch(self, port: int, method: str, path: str, body: bytes | None = None,
              headers: dict[str, str] | None = None) -> tuple[int | None, dict[str, str], bytes]:
        """(status, headers with names in lower case, the whole body), or (None, {}, b""): no answer, so nothing is known."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=75)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self._key}", **(headers or {})})
            response = connection.getresponse()
            text = response.read()      # A body that was cut off is no answer, either.
            return response.status, {name.lower(): value for name, value in response.getheaders()}, text
        except (OSError, http.client.HTTPException):
            self._stop.wait(0.1)    # A producer that is down answers "refused" at once: don't burn the load on it.
            return None, {}, b""
        finally:
            connection.close()

    def call(self, port: int, method: str, path: str, body: dict | None = None,
             headers: dict[str, str] | None = None) -> tuple[int | None, object]:
        """JSON to JSON; (None, None): no answer."""
        data = None if body is None else json.dumps(body).encode()
        sent = dict(headers or {}) if data is None else {"Content-Type": "application/json", **(headers or {})}
        status, _headers, text = self.fetch(port, method, path, data, sent)
        try:
            return (None, None) if status is None else (status, json.loads(text))
        except ValueError:
            return None, None
