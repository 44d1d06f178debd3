#!/usr/bin/env python3
"""How long one tenant's single jobs take, with and without another tenant's batch beside them, and whether the batch's
accounts are right.

    bench/neighbour.py [--engine echo|native] [--lines N] [--singles N] [--kill [SERVICE]] [--build DIR] [--json]
                       [--set [SERVICE:]SLUICE_X=VALUE]…

Starts a private stack and sends singles one after another (each awaited), uploads the batch as a file, and sends singles again
once its first line has ended. Prints the median and the 95th percentile of both in milliseconds, and how many lines were left
when the last single ended: with none left the second half measured too little, and the run fails. Then it waits for the end of
the batch: its counts must be equal to its lines, and each line must stand in its output file once.

--kill: in the midst of the batch a process (producer, worker or callback; by chance, unless it is named) is killed with SIGKILL.
The times are then those of a bad day, and the accounts must be right all the same."""
import argparse
import collections
import http.client
import json
import random
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from world import FORM, Client, Stack, form  # noqa: E402  pylint: disable=wrong-import-position

FINAL = ("completed", "failed", "expired", "cancelled")
ENDPOINT = "/v1/completions"    # The prompt goes to the model bare, which then has no end of answering.
KEY = "sk-neighbour-0123456789abcdef0123456789"
LINES = {"echo": 10_000, "native": 200}
SINGLES = {"echo": 40, "native": 20}
TOKENS = (20, 200)      # A line's answer has so many, each another number: like real ones they don't all end at once.
SERVICES = ("producer", "worker", "callback")
STEP = 0.05     # Seconds between two looks.


class Neighbour:
    """The tenant with the batch."""

    def __init__(self, stack, lines: int) -> None:
        self._client, self._lines = Client(stack), lines
        self._client.key = KEY
        stack.add_key(KEY, "neighbour", "submit,read")
        self.batch: dict = {}

    def _ask(self, method: str, path: str, body: object = None, seconds: float = 120, **more: object) -> object:
        """Until there is an answer: whom it is asked may just have been killed."""
        until = time.monotonic() + seconds
        while True:
            try:
                answer = self._client.call(method, path, body, **more)
                if answer.status == 200:
                    return answer.body
                said = f"{answer.status} {answer.body}"
            except (OSError, http.client.HTTPException) as error:
                said = repr(error)
            if time.monotonic() > until:
                raise SystemExit(f"{method} {path}: {said}")
            time.sleep(STEP)

    def begin(self) -> None:
        """Returns when the first line has ended."""
        lines = [{"custom_id": str(n), "method": "POST", "url": ENDPOINT, "body": {
            "prompt": f"Once upon a time, {n} years ago, ", "temperature": 0,
            "max_tokens": TOKENS[0] + 37 * n % (TOKENS[1] - TOKENS[0])}} for n in range(self._lines)]
        file = self._ask("POST", "/v1/files", form("\n".join(map(json.dumps, lines)).encode(), {"purpose": "batch"}), headers=FORM)
        self.batch = self._ask("POST", "/v1/batches", {"input_file_id": file["id"], "endpoint": ENDPOINT, "completion_window": "24h"},
                               headers={"Idempotency-Key": "neighbour"})
        while self.look()["request_counts"]["completed"] == 0 and self.batch["status"] not in FINAL:
            time.sleep(STEP)

    def look(self) -> dict:
        self.batch = self._ask("GET", f"/v1/batches/{self.batch['id']}")
        return self.batch

    def left(self) -> int:
        counts = self.look()["request_counts"]
        return self._lines - counts["completed"] - counts["failed"]

    def end(self, seconds: float) -> list[str]:
        """Waits for the end of the batch; what is wrong with its accounts."""
        until = time.monotonic() + seconds
        while self.look()["status"] not in FINAL:
            if time.monotonic() > until:
                return [f"the batch is still {self.batch['status']}: {self.batch['request_counts']}"]
            time.sleep(STEP)
        wrong = []
        if self.batch["status"] != "completed" or self.batch["error_file_id"] is not None:
            wrong.append(f"the batch is {self.batch['status']}, its error file is {self.batch['error_file_id']}")
        if self.batch["request_counts"] != {"total": self._lines, "completed": self._lines, "failed": 0}:
            wrong.append(f"of {self._lines} lines the batch says {self.batch['request_counts']}")
        text = self._ask("GET", f"/v1/files/{self.batch['output_file_id']}/content") if self.batch["output_file_id"] else ""
        # A file of one line is JSON as a whole.
        there = [text] if isinstance(text, dict) else [json.loads(line) for line in text.split("\n")[:-1]]
        times = collections.Counter(line["custom_id"] for line in there)
        missing = [n for n in range(self._lines) if str(n) not in times]
        if missing:
            wrong.append(f"{len(missing)} lines are not in the output file, e.g. {missing[:3]}")
        if len(there) != len(times) or len(times) + len(missing) != self._lines:
            wrong.append(f"the output file has {len(there)} lines, {len(times)} different ones")
        return wrong


class Killer:
    """Kills one process by chance when between a tenth and two thirds of the lines have ended."""

    def __init__(self, stack, neighbour: Neighbour, lines: int, services: list[str]) -> None:
        self._stack, self._neighbour, self._lines, self._services = stack, neighbour, lines, services
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop = threading.Event()
        self.killed: str | None = None

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        left = self._lines * random.uniform(0.35, 0.9)
        while not self._stop.is_set() and self._neighbour.left() > left:
            self._stop.wait(STEP)
        if self._stop.is_set():
            return
        name = random.choice(self._services)
        if self._stack.pid(name) is not None:
            self._stack.kill(name)
            self.killed = name


class Singles:
    """The tenant who has one job at a time."""

    def __init__(self, stack, count: int) -> None:
        self._stack, self._client, self._count = stack, Client(stack), count

    def run(self) -> list[float]:
        """Their times in milliseconds, sorted: from acceptance to end, by the database's clock."""
        ids = [self._one(f"What is {n} + 30?") for n in range(self._count)]
        listed = ",".join(f"'{one}'" for one in ids)
        rows = self._stack.sql(f"SELECT TIMESTAMPDIFF(MICROSECOND, created_at, finished_at) FROM job WHERE id IN ({listed})")
        return sorted(int(row[0]) / 1000 for row in rows)

    def _one(self, prompt: str) -> str:
        until = time.monotonic() + 60
        while (job := self._client.submit({"prompt": prompt, "cache": False, "parameters": {"max_tokens": 32}})) is None:
            if time.monotonic() > until:
                raise SystemExit("single jobs are refused")
            time.sleep(STEP)
        ended = self._client.wait_final(job["id"], 600)
        if ended["status"] != "succeeded":
            raise SystemExit(f"a single job is {ended['status']}: {ended['error']}")
        return job["id"]


def summary(times: list[float]) -> dict[str, float]:
    """Of times that are sorted. The p95 is the smallest time that 95 of 100 don't exceed."""
    return {"median_ms": round(statistics.median(times), 2), "p95_ms": round(times[-(-len(times) * 95 // 100) - 1], 2)}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--engine", choices=list(LINES), default="echo", help="native computes with the bundled sluice-tiny")
    asked.add_argument("--lines", type=int, help="of the batch (default 10000; with native 200)")
    asked.add_argument("--singles", type=int, help="of each half (default 40; with native 20)")
    asked.add_argument("--kill", nargs="?", const="any", choices=["any", *SERVICES])
    asked.add_argument("--build", default=str(ROOT / "build" / "release"))
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--set", action="append", default=[])
    options = asked.parse_args()
    lines, singles_each = options.lines or LINES[options.engine], options.singles or SINGLES[options.engine]

    stack = Stack("--engine", options.engine, *[word for one in options.set for word in ("--set", one)])
    stack.options[1] = options.build
    try:
        stack.up()
        neighbour, singles = Neighbour(stack, lines), Singles(stack, singles_each)
        singles.run()   # Warm: connections, the model's pages.
        alone = singles.run()
        neighbour.begin()
        killer = Killer(stack, neighbour, lines, list(SERVICES) if options.kill in (None, "any") else [options.kill])
        if options.kill:
            killer.start()
        beside = singles.run()
        left = neighbour.left()
        wrong = neighbour.end(600)
        if options.kill:
            killer.join()
    finally:
        stack.down()
    report = {"engine": options.engine, "lines": lines, "singles": singles_each, "killed": killer.killed, "alone": summary(alone),
              "beside": summary(beside), "lines_left": left, "wrong": wrong}
    if options.json:
        print(json.dumps(report))
    else:
        for name in ("alone", "beside"):
            print(f"{name:7} median {report[name]['median_ms']:8.1f} ms   p95 {report[name]['p95_ms']:8.1f} ms")
        print(f"{left} of {lines} lines were left when the last single job ended")
        if options.kill:
            print(f"killed: {killer.killed or 'nothing; the batch was too quick'}")
        print("the accounts of the batch are right" if not wrong else "\n".join(f"WRONG: {one}" for one in wrong))
    early = left == 0 and not options.kill      # With a kill it is the accounts that count.
    if early:
        print("the batch ended too early to say anything: use more --lines or fewer --singles", file=sys.stderr)
    return 1 if early or wrong or (options.kill and killer.killed is None) else 0


if __name__ == "__main__":
    sys.exit(main())
