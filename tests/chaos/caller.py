"""How the clients of a chaos run ask: over a connection of their own each time, and "no answer" is one of the answers. And what
they write down of the answers."""
import http.client
import json
import threading

from journal import Journal
from world import FINAL


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


def code_of(answer: object) -> str | None:
    """Of a refusal; None if it has none, and for any other answer."""
    return answer.get("error", {}).get("code") if isinstance(answer, dict) else None


def write_odd(journal: Journal, what: str, status: int | None, answer: object) -> None:
    """A refusal that no fault explains; nothing of any other answer."""
    if status is not None and status != 200 and status < 500:
        journal.write(op="odd", id=what, status=status, answer=answer)


def write_job(journal: Journal, job_id: str, status: int | None, answer: object, op: str) -> bool:
    """A job as a client saw it, and whether it has ended."""
    if status != 200:
        write_odd(journal, job_id, status, answer)
        return False
    journal.write(op=op, id=job_id, status=answer["status"], generation=answer["generation"], attempt=answer["attempt"],
                  text=(answer["result"] or {}).get("text"))
    return answer["status"] in FINAL
