#!/usr/bin/env python3
"""Shows a running sluice at work: one job with a webhook, then a batch, answers beside the expected ones.

Reads SLUICE_URL, SLUICE_API_KEY and SLUICE_WEBHOOK_SECRET from the environment (`deploy/quickstart.sh
--env` prints them). Ends with 1 if a job did not succeed or its webhook did not come.
"""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import shutil
import sys
import threading
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
EVALUATION = REPOSITORY / "models" / "sluice-tiny" / "eval.jsonl"
SINGLE_TASK = "word_problem"
BATCH_TASKS = ("add", "sub", "mul", "compare", "sequence", "number_words", "roman", "sort_words", "sort_numbers",
               "reverse", "spell", "lower", "json_get", "json_make", "units", "extract", "sentiment", "define",
               "reverse_dict", "antonym", "command", "capital", "zh_math", "en_zh", "zh_misc")
BATCH_MIN = 20
DEFAULT_MODEL = "sluice-tiny"
TOKENS_MAX = 64  # more than any expected answer has
FINAL = ("succeeded", "failed", "dead", "cancelled", "expired")
JOB_SECONDS = 60.0
BATCH_SECONDS = 180.0
WEBHOOK_SECONDS = 20.0
SIGNATURE_AGE_SECONDS = 300


class DemoError(Exception):
    """A message for the person at the terminal."""


# Talking to sluice.

class Api:
    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._key = key
        # No proxy: sluice is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, path: str, body: object = None) -> dict:
        request = urllib.request.Request(self.url + path, method=method, headers={
            "Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode())
        try:
            with self._opener.open(request, timeout=90) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise DemoError(f"{method} {path} was answered with {error.code}: {_message(error.read())}") from error
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise DemoError(f"{self.url} can't be reached ({reason}). Is it running? "
                            "`deploy/local/stack status` tells.") from error
        except ValueError as error:
            raise DemoError(f"{method} {path} was answered with something that is no JSON") from error

    def wait(self, job_id: str) -> dict:
        deadline = time.monotonic() + JOB_SECONDS
        while True:
            job = self.call("GET", f"/v1/jobs/{job_id}?wait=10")
            if job["status"] in FINAL or time.monotonic() > deadline:
                return job

    def batch(self, batch_id: str) -> dict[str, dict]:
        """All jobs of the batch by id."""
        jobs, after = {}, ""
        while True:
            page = self.call("GET", f"/v1/jobs?batch_id={urllib.parse.quote(batch_id)}&limit=100{after}")
            jobs |= {job["id"]: job for job in page["data"]}
            if not page.get("has_more") or not page["data"]:
                return jobs
            after = "&after=" + urllib.parse.quote(page["data"][-1]["id"])


def _message(body: bytes) -> str:
    try:
        return json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:300]


# Receiving the webhook.

class Receiver:
    """A webhook consumer as a user would write one: checks the signature (Standard Webhooks) before it
    looks at the content. Listens on a free loopback port."""

    def __init__(self, secret: str) -> None:
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._lock = threading.Condition()
        self._deliveries: list[dict] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver._take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass  # the table is the output

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def verified(self, headers: dict, body: bytes) -> bool:
        message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not sent.isdigit() or abs(time.time() - int(sent)) > SIGNATURE_AGE_SECONDS:
            return False
        digest = hmac.new(self._key, f"{message_id}.{sent}.".encode() + body, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(digest).decode()
        given = headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(wanted, signature) for signature in given)

    def _take(self, headers: dict, body: bytes) -> None:
        with self._lock:
            self._deliveries.append({"headers": headers, "body": body, "verified": self.verified(headers, body)})
            self._lock.notify_all()

    def wait_for(self, job_id: str, seconds: float) -> dict | None:
        """The delivery about that job, or None if none came in time."""
        def found():
            for delivery in self._deliveries:
                try:
                    delivery["event"] = json.loads(delivery["body"])
                    if delivery["event"]["data"]["id"] == job_id:
                        return delivery
                except (ValueError, KeyError, TypeError):
                    continue
            return None

        with self._lock:
            return self._lock.wait_for(found, seconds)


# Showing.

_TTY = sys.stdout.isatty()


def _paint(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if _TTY and not os.environ.get("NO_COLOR") else text


def _encodable(mark: str, plain: str) -> str:
    try:
        mark.encode(sys.stdout.encoding or "ascii")
        return mark
    except UnicodeEncodeError:
        return plain


TICK, CROSS, DOTS = _encodable("✓", "+"), _encodable("✗", "x"), _encodable("…", "~")


def _cell_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """`text` on one line in exactly `width` columns, cut where it is longer."""
    text = "".join(" " if unicodedata.category(c).startswith("C") or c.isspace() else c for c in text)
    cells = sum(map(_cell_width, text))
    if cells <= width:
        return text + " " * (width - cells)
    out, used = "", 0
    for character in text:
        if used + _cell_width(character) > width - 1:
            break
        out += character
        used += _cell_width(character)
    return out + DOTS + " " * (width - 1 - used)


class Progress:
    """One line that is drawn anew on a terminal; a line for each change elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()
        self._shown = ""

    def show(self, jobs: dict[str, dict]) -> None:
        states = [job["status"] for job in jobs.values()]
        done = sum(state in FINAL for state in states)
        counts = f"{done}/{self._total} done, {states.count('running')} running, {states.count('queued')} queued"
        if _TTY:
            full = 24 * done // self._total
            bar = _encodable("█", "#") * full + _encodable("░", ".") * (24 - full)
            print(f"\r  {bar} {counts}  {time.monotonic() - self._began:.1f} s   ", end="", flush=True)
        elif counts != self._shown:
            print(f"  {counts}", flush=True)
        self._shown = counts

    def end(self) -> float:
        if _TTY:
            print()
        return time.monotonic() - self._began


def judged(job: dict) -> bool:
    """The expected answers are the default model's."""
    return job["model"] == DEFAULT_MODEL


def right(job: dict, row: dict) -> bool:
    if not judged(job):
        return job["status"] == "succeeded"
    return job["status"] == "succeeded" and job["result"]["text"] in [row["expected"], *row.get("accepted", [])]


def answer(job: dict) -> str:
    if job["status"] == "succeeded":
        return job["result"]["text"]
    error = job.get("error") or {}
    return f"({job['status']}{': ' + error['message'] if error.get('message') else ''})"


def show_table(pairs: list[tuple[dict, dict]]) -> None:
    width = max(60, min(shutil.get_terminal_size((110, 24)).columns, 160)) - 8
    columns = (width * 2 // 5, width * 3 // 10, width * 3 // 10)
    print("    " + "  ".join(fit(head, size) for head, size in zip(("prompt", "answer", "expected"), columns)).rstrip())
    for row, job in pairs:
        mark = _paint(TICK, "32") if right(job, row) else _paint(CROSS, "31")
        cells = (row["messages"][-1]["content"], answer(job), row["expected"] if judged(job) else "")
        print(f"  {mark} " + "  ".join(fit(text, size) for text, size in zip(cells, columns)).rstrip())


# The demonstration.

def load_rows() -> tuple[dict, list[dict]]:
    """One prompt for the single job and at least BATCH_MIN for the batch, the same at each run."""
    try:
        rows = [json.loads(line) for line in EVALUATION.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as error:
        raise DemoError(f"{EVALUATION} is missing") from error
    first = {}
    for row in rows:
        first.setdefault(row["task"], row)
    batch = [first[task] for task in BATCH_TASKS if task in first]
    batch += [row for row in rows if row not in batch][:max(0, BATCH_MIN - len(batch))]
    return first[SINGLE_TASK], batch


def demonstrate_single(api: Api, receiver: Receiver, row: dict) -> bool:
    print(_paint("One job, with a webhook", "1"))
    began = time.monotonic()
    job = api.call("POST", "/v1/jobs", {"messages": row["messages"], "callback_url": receiver.url,
                                        "parameters": {"max_tokens": TOKENS_MAX}})
    print(f"  POST /v1/jobs gave {job['id']} after {1000 * (time.monotonic() - began):.0f} ms; waiting for it", flush=True)
    job = api.wait(job["id"])
    print(f"  {job['status']} after {time.monotonic() - began:.2f} s"
          + (f", {job['result']['usage']['completion_tokens']} tokens" if job["status"] == "succeeded" else ""))
    show_table([(row, job)])
    if job["status"] != "succeeded":
        return False
    delivery = receiver.wait_for(job["id"], WEBHOOK_SECONDS)
    if delivery is None:
        print(f"  {_paint(CROSS, '31')} no webhook came within {WEBHOOK_SECONDS:g} s; see the log of `callback`")
        return False
    headers, mark = delivery["headers"], _paint(TICK, "32") if delivery["verified"] else _paint(CROSS, "31")
    print(f"  {mark} webhook {delivery['event']['type']} came after {time.monotonic() - began:.2f} s, "
          + ("its signature is right" if delivery["verified"] else "but its SIGNATURE IS WRONG"))
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        print(f"      {name}: {headers.get(name, '(missing)')}")
    print("      " + fit(delivery["body"].decode("utf-8", "replace"), 100).rstrip())
    return delivery["verified"]


def demonstrate_batch(api: Api, rows: list[dict]) -> bool:
    print("\n" + _paint(f"A batch of {len(rows)}", "1"))
    began = time.monotonic()
    accepted = api.call("POST", "/v1/jobs", {
        "parameters": {"max_tokens": TOKENS_MAX}, "requests": [{"messages": row["messages"]} for row in rows]})
    ids = [job["id"] for job in accepted["data"]]
    print(f"  POST /v1/jobs gave {accepted['batch_id']} after {1000 * (time.monotonic() - began):.0f} ms")
    progress, pause = Progress(len(ids)), 0.1
    while True:
        jobs = api.batch(accepted["batch_id"])
        progress.show(jobs)
        finished = all(jobs.get(job_id, {}).get("status") in FINAL for job_id in ids)
        if finished or time.monotonic() - began > BATCH_SECONDS:
            break
        time.sleep(pause)
        pause = min(1.0, pause * 1.3)
    seconds = progress.end()
    if not finished:
        print(f"  {_paint(CROSS, '31')} not finished after {BATCH_SECONDS:g} s; see the log of `worker`")
        return False
    # The list leaves big results out of its rows where it likes; the job itself has them.
    full = [api.call("GET", f"/v1/jobs/{job_id}") for job_id in ids]
    show_table(list(zip(rows, full)))
    good = sum(right(job, row) for row, job in zip(rows, full))
    tokens = sum(job["result"]["usage"]["completion_tokens"] for job in full if job["status"] == "succeeded")
    if all(judged(job) for job in full):
        print(f"  {good} of {len(rows)} as expected, {tokens} tokens in {seconds:.1f} s "
              "(so small a model errs: its score on all its 642 prompts is 96 %)")
    else:
        print(f"  {good} of {len(rows)} succeeded, {tokens} tokens in {seconds:.1f} s")
    return all(job["status"] == "succeeded" for job in full)


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        url, key, secret = (os.environ[name] for name in ("SLUICE_URL", "SLUICE_API_KEY", "SLUICE_WEBHOOK_SECRET"))
    except KeyError as error:
        print(f'demo: {error.args[0]} is not set; try: set -a; eval "$(deploy/quickstart.sh --env)"', file=sys.stderr)
        return 2
    sys.stdout.reconfigure(errors="replace")
    try:
        single, batch = load_rows()
        api = Api(url, key)
        with Receiver(secret) as receiver:
            worked = demonstrate_single(api, receiver, single)
        return 0 if demonstrate_batch(api, batch) and worked else 1
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; accepted jobs go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
