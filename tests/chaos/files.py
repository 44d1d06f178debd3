"""The part of the load that comes as files: batches of /v1/batches, each with a client that uploads its lines, makes the batch,
follows it, reads its output while it runs, cancels or retries it, and keeps the files of each revision that it saw."""
import contextlib
import hashlib
import json
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from caller import Caller, code_of, write_job, write_odd
from journal import Journal
from world import FORM, form

FINAL = ("completed", "failed", "expired", "cancelled")
ENDPOINT = "/v1/chat/completions"
LINES = (20, 200)
NO_LINES = ("duplicate", "equal")   # Kinds of jobs that no line is of: nobody sends one twice, and the prompt of each is its own.
TRIES = 5
STEP = 0.2      # Seconds from one look at a batch to the next.


@dataclass
class FileBatch:
    """What is planned for a batch."""
    number: int
    lines: list[dict]       # {kind, prompt, callback, parameters} of each, as the checker knows a job.
    window: str
    short: bool             # Lines may expire.
    callback: bool
    keyed: bool             # With an Idempotency-Key, and sent until there is an answer; else once.
    cancel_after: float | None      # Seconds.
    retry: bool


def plan_files(count: int, seed: int, shares: dict[str, float], parameters_of, crashes: bool) -> list[FileBatch]:
    """In an order and with lines that the seed decides; what is done to a batch goes by its number, so that a few batches have
    some of everything. `crashes`: lines may kill their worker."""
    chance = random.Random(seed + 7)
    batches = []
    for number in range(count):
        short = number % 8 == 3
        # A line has no time of its own: it expires with its batch.
        kinds = {kind: share for kind, share in shares.items() if kind not in NO_LINES and (short or kind != "expiring")}
        kinds["plain"] = 1 - sum(kinds.values())
        lines = []
        fates = chance.choices(list(kinds), list(kinds.values()), k=chance.randint(*LINES))
        if crashes and number % 8 == 0:
            fates[chance.randrange(len(fates))] = "crash"
        for n, kind in enumerate(fates):
            lines.append({"kind": kind, "prompt": f"line {number}/{n} é🎉 " + "word " * chance.randint(0, 30) + "end",
                          "callback": chance.random() < 0.1, "parameters": parameters_of(kind, chance)})
        retry = number % 4 == 1 or number % 8 == 6
        # Those that are to be retried must be there first.
        keyed = chance.random() < 0.5 or retry
        batches.append(FileBatch(number, lines, "6s" if short else "24h", short, chance.random() < 0.7, keyed,
                                 chance.random() * 2 if number % 4 == 2 else None, retry))
    return batches


class FileLoad:
    """`folder` gets the files that were fetched, under their ids. A batch's client runs until its batch has ended for the last
    time, at most until `stop`."""

    def __init__(self, batches: list[FileBatch], seed: int, key: str, ports: list[int], callback_url: str, journal: Journal,
                 folder: Path) -> None:
        self._batches, self._seed, self._ports, self._callback_url = batches, seed, ports, callback_url
        self._journal, self._folder = journal, folder
        self._stopped = threading.Event()
        self._caller = Caller(key, self._stopped)
        self._threads: list[threading.Thread] = []

    def start(self, seconds: float) -> None:
        """Each batch comes at its time within these seconds."""
        self._folder.mkdir(exist_ok=True)
        for batch in self._batches:
            due = time.monotonic() + seconds * batch.number / len(self._batches)
            thread = threading.Thread(target=self._client, args=(batch, due), daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self, seconds: float) -> None:
        """Until every batch has ended, or the time is over."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def look(self) -> None:
        """What a client sees of every batch when all is over: those that it was told of and those that it finds."""
        for batch_id in self._list():
            batch = self._get(batch_id, self._ports[0])
            if batch is None:
                continue
            self._keep_files(batch, self._ports[0])
            chance = random.Random(batch_id)
            for kind in ("output", "errors"):
                place = {"after": 0, "at": 0}
                while self._read(batch_id, kind, place, chance.randint(1, 100), self._ports[0], whole=True):
                    pass

    # --- one batch

    def _client(self, batch: FileBatch, due: float) -> None:
        if self._stopped.wait(max(0.0, due - time.monotonic())):     # A pace, not a synchronisation.
            return
        chance = random.Random(self._seed * 1000 + 500 + batch.number)
        sending = f"f{batch.number}.{chance.getrandbits(48):012x}"
        file_id = self._upload(batch, sending, chance)
        if file_id is not None and (batch_id := self._create(batch, sending, file_id, chance)) is not None:
            self._follow(batch, batch_id, chance)

    def _upload(self, batch: FileBatch, sending: str, chance: random.Random) -> str | None:
        """Again until there is an answer: a file that nobody knows of does nothing."""
        lines = []
        for n, one in enumerate(batch.lines):
            body = {"messages": [{"role": "user", "content": one["prompt"]}], **one["parameters"],
                    "metadata": {"sending": sending, "line": str(n), "kind": one["kind"]}}
            line = {"custom_id": f"{sending}/{n}", "method": "POST", "url": ENDPOINT, "body": body}
            if one["callback"]:
                line["callback_url"] = self._callback_url
            lines.append(json.dumps(line, ensure_ascii=chance.random() < 0.5))
            if chance.random() < 0.02:
                lines.append("")
        body = form("\n".join(lines).encode(), {"purpose": "batch"}, file_first=chance.random() < 0.5)
        while not self._stopped.is_set():
            status, _headers, text = self._caller.fetch(chance.choice(self._ports), "POST", "/v1/files", body, FORM)
            if status == 200:
                return json.loads(text)["id"]
            if status is not None and status not in (429, 503):
                self._journal.write(op="odd", id=sending, status=status, answer=text.decode(errors="replace"))
                return None
            self._stopped.wait(STEP)
        return None

    def _create(self, batch: FileBatch, sending: str, file_id: str, chance: random.Random) -> str | None:
        """Once without a key: who gets no answer doesn't know, and claims nothing. With a key, until there is an answer."""
        body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": batch.window, "metadata": {"sending": sending}}
        if batch.callback:
            body["callback_url"] = self._callback_url
        self._journal.write(op="asked", sending=sending, file=True, short=batch.short, callback=batch.callback, jobs=batch.lines)
        known = True    # Whether every try so far was refused for certain.
        while True:
            status, answer = self._caller.call(chance.choice(self._ports), "POST", "/v1/batches", body,
                                               {"Idempotency-Key": sending} if batch.keyed else None)
            if status == 200:
                self._journal.write(op="accepted_file", sending=sending, batch=answer["id"])
                return answer["id"]
            code = code_of(answer)
            known = known and status is not None and code != "outcome_unknown"
            again = batch.keyed and (status in (None, 429, 503) or code == "idempotency_key_in_use")
            if not again or self._stopped.wait(STEP):
                self._journal.write(op="refused", sending=sending, status=status if known else None, code=code if known else None)
                return None

    def _follow(self, plan: FileBatch, batch_id: str, chance: random.Random) -> None:
        cancel_at = None if plan.cancel_after is None else time.monotonic() + plan.cancel_after
        place = {"after": 0, "at": 0}
        unwanted = sum(1 for one in plan.lines if one["kind"] == "cancelled")
        cancelled: set[str] = set()
        retry, wanted = plan.retry, 1
        while not self._stopped.wait(STEP):
            if cancel_at is not None and time.monotonic() >= cancel_at:
                cancel_at = None
                self._cancel(batch_id, chance)
            self._read(batch_id, "output", place, chance.randint(1, 100), chance.choice(self._ports))
            batch = self._get(batch_id, chance.choice(self._ports))
            if batch is None:
                continue
            if batch["status"] == "in_progress" and batch["revision"] == 1 and len(cancelled) < unwanted:
                self._cancel_lines(batch_id, cancelled, chance)
            if batch["status"] not in FINAL or batch["revision"] < wanted:
                continue
            if not self._keep_files(batch, chance.choice(self._ports)):
                continue
            if not retry:
                return
            retry = False
            wanted = batch["revision"] + self._retry(batch_id, chance)

    def _cancel(self, batch_id: str, chance: random.Random) -> None:
        self._journal.write(op="batch_cancel", id=batch_id)
        for _try in range(TRIES):
            status, answer = self._caller.call(chance.choice(self._ports), "POST", f"/v1/batches/{batch_id}/cancel")
            write_odd(self._journal, batch_id, status, answer)
            if status == 200:
                return

    def _retry(self, batch_id: str, chance: random.Random) -> int:
        """1 if it was begun; 0 too if that isn't known."""
        for _try in range(TRIES):
            status, answer = self._caller.call(chance.choice(self._ports), "POST", f"/v1/batches/{batch_id}/retry")
            code = code_of(answer)
            self._journal.write(op="batch_retry", id=batch_id, status=status, code=code)
            if status == 200:
                return 1
            if status == 409:   # Nothing to retry, or a try without an answer began it.
                return 0
            write_odd(self._journal, batch_id, status, answer)
        return 0

    def _cancel_lines(self, batch_id: str, cancelled: set[str], chance: random.Random) -> None:
        after = ""
        while True:
            status, page = self._caller.call(chance.choice(self._ports), "GET", f"/v1/jobs?batch_id={batch_id}&limit=100{after}")
            if status != 200:
                write_odd(self._journal, batch_id, status, page)
                return
            for job in page["data"]:
                if job["metadata"]["kind"] != "cancelled" or job["id"] in cancelled:
                    continue
                status, now = self._caller.call(chance.choice(self._ports), "POST", f"/v1/jobs/{job['id']}/cancel")
                final = write_job(self._journal, job["id"], status, now, op="cancelled")
                if status == 200:
                    cancelled.add(job["id"])
                    if not final:
                        self._journal.write(op="odd", id=job["id"], status=now["status"], answer="cancelled, and not final")
            if not page["has_more"]:
                return
            after = f"&after={page['last_id']}"

    # --- what is seen of it

    def _get(self, batch_id: str, port: int) -> dict | None:
        status, batch = self._caller.call(port, "GET", f"/v1/batches/{batch_id}")
        write_odd(self._journal, batch_id, status, batch)
        if status != 200:
            return None
        self._journal.write(op="batch_seen", id=batch_id, status=batch["status"], revision=batch["revision"],
                            counts=batch["request_counts"])
        return batch

    def _read(self, batch_id: str, kind: str, place: dict[str, int], limit: int, port: int, whole: bool = False) -> bool:
        """The next lines, and whether there may be more at once."""
        status, headers, text = self._caller.fetch(port, "GET", f"/v1/batches/{batch_id}/{kind}?after={place['after']}&limit={limit}")
        if status != 200:
            write_odd(self._journal, batch_id, status, text.decode(errors="replace"))
            return False
        complete = headers["x-complete"] == "true"
        self._journal.write(op="read", id=batch_id, kind=kind, at=place["at"], bytes=len(text), sha256=hashlib.sha256(text).hexdigest(),
                            complete=complete, whole=whole)
        place["after"], place["at"] = int(headers["x-next-after"]), place["at"] + len(text)
        return bool(text) and not complete

    def _keep_files(self, batch: dict, port: int) -> bool:
        """Whether both files of an ended batch are kept now."""
        kept = {}
        for name in ("output_file_id", "error_file_id"):
            if batch[name] is None:
                continue
            status, _headers, text = self._caller.fetch(port, "GET", f"/v1/files/{batch[name]}/content")
            if status != 200:
                write_odd(self._journal, batch[name], status, text.decode(errors="replace"))
                return False
            path = self._folder / batch[name]
            with contextlib.suppress(FileExistsError), open(path, "xb") as file:
                file.write(text)
            if path.read_bytes() != text:
                self._journal.write(op="odd", id=batch[name], status=200, answer="other contents than before")
            kept[name] = batch[name]
        self._journal.write(op="files", id=batch["id"], revision=batch["revision"], status=batch["status"],
                            output=kept.get("output_file_id"), error=kept.get("error_file_id"), counts=batch["request_counts"])
        return True

    def _list(self) -> list[str]:
        ids, after = [], ""
        while True:
            status, page = self._caller.call(self._ports[0], "GET", f"/v1/batches?limit=100{after}")
            if status != 200:
                self._journal.write(op="odd", id="the list of batches", status=status, answer=page)
                return ids
            ids += [batch["id"] for batch in page["data"]]
            if not page["has_more"]:
                return ids
            after = f"&after={page['last_id']}"
