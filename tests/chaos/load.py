"""The load of a chaos run: jobs of every kind of fate, sent by several clients to several producers, with a journal of what
was asked and what was answered."""
import contextlib
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from caller import Caller, code_of, write_job
from files import FileLoad, plan_files
from journal import Journal

# Share of each kind; what is missing to 1 is `plain`.
SHARES = {"slow": 0.10, "transient": 0.06, "hopeless": 0.01, "permanent": 0.05, "cancelled": 0.06, "expiring": 0.05,
          "duplicate": 0.04, "equal": 0.08}
EQUAL_AMONG = 1000      # Of so many jobs in a row the equal ones ask one of a few questions.


def parameters_of(kind: str, chance: random.Random) -> dict:
    """What makes the echo engine misbehave as the kind says."""
    if kind == "slow" or (kind == "cancelled" and chance.random() < 0.7):
        return {"fault": "slow", "fault_ms": chance.randint(100, 2500)}
    if kind == "expiring":
        return {"fault": "slow", "fault_ms": chance.choice([0, 1000, 60_000])}
    if kind == "transient":
        return {"fault": "transient", "fault_attempts": chance.randint(1, 2)}
    if kind == "hopeless":
        return {"fault": "transient", "fault_attempts": 1000}
    if kind == "permanent":
        return {"fault": "permanent"}
    if kind == "crash":
        return {"fault": "crash", "fault_attempts": 1}
    if kind == "poison":
        return {"fault": "crash"}
    return {}


@dataclass
class LoadPlan:
    jobs: int
    seconds: float          # The jobs are spread over this time.
    crashes: int = 1        # Jobs that kill their worker once …
    poisons: int = 1        # … and each time.
    clients: int = 6
    batch_share: float = 0.4    # Of all jobs, those that come in batches.
    files: int = 8          # Batches that come as files, beside all jobs.


class Load:
    """`producers`: their ports. They stay the same, but any of them may be down. `folder` gets the files that were fetched."""

    def __init__(self, plan: LoadPlan, seed: int, key: str, producers: list[int], callback_url: str, journal: Journal,
                 folder: Path) -> None:
        self._plan, self._seed = plan, seed
        self._ports, self._callback_url, self._journal = producers, callback_url, journal
        self._cancels: queue.Queue = queue.Queue()
        self._watched: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._call = Caller(key, self._stop).call
        batches = plan_files(plan.files, seed, SHARES, parameters_of, plan.crashes > 0)
        self._files = FileLoad(batches, seed, key, producers, callback_url, journal, folder)
        self._work: queue.Queue = queue.Queue(maxsize=plan.clients)
        self._clients = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(plan.clients)]
        self._canceller = threading.Thread(target=self._cancel_some, daemon=True)
        self._watcher = threading.Thread(target=self._watch_some, daemon=True)

    def run(self, progress: Callable[[int], None] = lambda _sent: None) -> None:
        """Returns when all jobs were sent. Once. The clients of the files go on."""
        try:
            self._send(progress)
        except BaseException:
            self._files.stop()
            raise
        finally:
            self._stop.set()
            # For clients that nobody told of the end; there is room for each, since nobody else puts anything in.
            with contextlib.suppress(queue.Empty):
                while True:
                    self._work.get_nowait()
            for _ in self._clients:
                self._work.put(None)
            self._cancels.put(None)

    def end_files(self, seconds: float) -> None:
        """Waits until every batch that came as a file has ended, and been retried if that is planned; no longer than this."""
        self._files.wait(seconds)
        self._files.stop()
        self._files.join()

    def join(self) -> None:
        """Waits until nothing of it runs any more. A call that is out ends with its answer, or with the producer."""
        self._files.stop()
        self._files.join()
        for thread in (*self._clients, self._canceller, self._watcher):
            if thread.ident is not None:
                thread.join()

    def _send(self, progress: Callable[[int], None]) -> None:
        pieces = self._pieces()
        began = time.monotonic()
        total = sum(len(requests) for _kind, requests in pieces)
        for thread in (*self._clients, self._canceller, self._watcher):
            thread.start()
        self._files.start(self._plan.seconds)
        done = 0
        for kind, requests in pieces:
            due = began + self._plan.seconds * done / total
            self._stop.wait(max(0.0, due - time.monotonic()))   # A pace, not a synchronisation.
            self._work.put((kind, requests))
            done += len(requests)
            progress(done)
        for _ in self._clients:
            self._work.put(None)
        for thread in self._clients:
            thread.join()
        self._cancels.put(None)
        self._canceller.join()
        self._stop.set()
        self._watcher.join()

    def _pieces(self) -> list[tuple[str, list[dict]]]:
        """(single | batch | duplicate, the requests in it), in an order that the seed decides."""
        chance = random.Random(self._seed)
        kinds = []
        for kind, share in SHARES.items():
            kinds += [kind] * int(self._plan.jobs * share)
        kinds += ["crash"] * self._plan.crashes + ["poison"] * self._plan.poisons
        kinds += ["plain"] * max(0, self._plan.jobs - len(kinds))
        chance.shuffle(kinds)
        pieces, at = [], 0
        while at < len(kinds):
            size = chance.randint(20, 120) if chance.random() < self._plan.batch_share / 40 else 1
            group = [self._request(at + n, kind, chance) for n, kind in enumerate(kinds[at:at + size])]
            at += size
            if size > 1:
                pieces.append(("batch", group))
            else:
                pieces.append(("duplicate" if group[0]["metadata"]["kind"] == "duplicate" else "single", group))
        return pieces

    def _request(self, number: int, kind: str, chance: random.Random) -> dict:
        request = {"prompt": f"job {number} é🎉 " + "word " * chance.randint(0, 30) + "end",
                   "metadata": {"request": f"r{number}", "kind": kind},
                   "priority": chance.choice(["high", "normal", "normal", "low"])}
        if kind == "equal":
            request["prompt"] = f"question {chance.randint(0, 4)} of {number // EQUAL_AMONG}"
        if parameters := parameters_of(kind, chance):
            request["parameters"] = parameters
        if kind == "expiring":
            request["expires_in"] = chance.randint(1, 4)
        if chance.random() < 0.5:
            request["callback_url"] = self._callback_url
        return request

    def _client(self, number: int) -> None:
        chance = random.Random(self._seed * 1000 + number)
        while (item := self._work.get()) is not None:
            how, requests = item
            if how == "batch":
                self._submit({"requests": requests}, requests, chance)
                continue
            for _copy in range(2 if how == "duplicate" else 1):
                self._submit(requests[0], requests, chance)

    def _submit(self, body: dict, requests: list[dict], chance: random.Random) -> None:
        """Once: who gets no answer doesn't know, and claims nothing."""
        # Each sending is marked, so that the record shows what became of it even when no answer came.
        sending = f"{requests[0]['metadata']['request']}.{chance.getrandbits(48):012x}"
        for n, request in enumerate(requests):
            request["metadata"] = {**request["metadata"], "sending": sending, "line": str(n)}
        what = [{"kind": r["metadata"]["kind"], "prompt": r["prompt"], "callback": "callback_url" in r,
                 "parameters": r.get("parameters", {})} for r in requests]
        self._journal.write(op="asked", sending=sending, jobs=what)
        status, answer = self._call(chance.choice(self._ports), "POST", "/v1/jobs", body)
        if status != 202:
            self._journal.write(op="refused", sending=sending, status=status, code=code_of(answer))
            return
        jobs = answer["data"] if "requests" in body else [answer]
        self._journal.write(op="accepted", sending=sending, ids=[job["id"] for job in jobs], batch=jobs[0]["batch_id"])
        for job, request in zip(jobs, requests):
            if request["metadata"]["kind"] == "cancelled":
                self._cancels.put((time.monotonic() + chance.random() * 2, job["id"]))
            elif chance.random() < 0.1:
                with self._lock:
                    self._watched.append(job["id"])

    def _cancel_some(self) -> None:
        chance = random.Random(self._seed + 1)
        while (item := self._cancels.get()) is not None and not self._stop.is_set():
            due, job_id = item
            self._stop.wait(max(0.0, due - time.monotonic()))
            for _try in range(5):
                status, answer = self._call(chance.choice(self._ports), "POST", f"/v1/jobs/{job_id}/cancel")
                write_job(self._journal, job_id, status, answer, op="cancelled")
                if status == 200:
                    break

    def _watch_some(self) -> None:
        """Looks at some jobs again and again, as a polling client does."""
        chance = random.Random(self._seed + 2)
        while not self._stop.is_set():
            with self._lock:
                job_id = chance.choice(self._watched) if self._watched else None
            if job_id is None:
                self._stop.wait(0.05)
                continue
            wait = f"?wait={chance.choice([0, 0, 1])}"
            status, answer = self._call(chance.choice(self._ports), "GET", f"/v1/jobs/{job_id}{wait}")
            if write_job(self._journal, job_id, status, answer, op="seen") and chance.random() < 0.5:
                with self._lock:
                    self._watched.remove(job_id)
            self._stop.wait(0.01)

    def look(self, job_ids: list[str]) -> None:
        """What a client sees of these, and of all batches that came as files, when all is over."""
        for job_id in job_ids:
            status, answer = self._call(self._ports[0], "GET", f"/v1/jobs/{job_id}")
            write_job(self._journal, job_id, status, answer, op="last")
        self._files.look()
