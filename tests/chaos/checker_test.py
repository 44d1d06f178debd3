"""The checker finds what it is there to find: a sound record passes, and each way of being wrong shows in its column."""
import copy
import hashlib
import json
import unittest
from collections.abc import Callable

from checker import COLUMNS, Checker, Evidence


def job(job_id: str, sending: str, line: int = 0, state: str = "succeeded", **more: object) -> dict:
    text = f"{sending} line {line}" if state == "succeeded" else None
    return {"id": job_id, "batch": None, "state": state, "generation": 1, "attempt": 1, "forgiven": 0, "callback": 1,
            "started": 10.0, "finished": 11.0, "error": None, "leader": None, "text": text, "sending": sending,
            "line": line, **more}


def asked(sending: str, kinds: list[str]) -> dict:
    return {"op": "asked", "sending": sending, "t": 1,
            "jobs": [{"kind": kind, "prompt": f"{sending} line {n}", "callback": True, "parameters": {}}
                     for n, kind in enumerate(kinds)]}


def event(n: int, one: dict) -> dict:
    return {"id": f"evt_{n}", "job_id": one["id"], "generation": 1, "type": "job." + one["state"], "decided": 1}


def receipt(n: int, one: dict, **more: object) -> dict:
    return {"t": 12.0 + n, "webhook_id": f"evt_{n}", "event": f"evt_{n}", "type": "job." + one["state"], "job": one["id"],
            "status": one["state"], "sequence": 1, "signature_ok": True, "body": f"body {n}", "answered": 200, **more}


def sound() -> Evidence:
    """A single job, a batch of two of which one fails, and one that ran twice since its worker was killed."""
    jobs = [job("job_1", "a"), job("job_2", "b", 0, batch="batch_1"), job("job_3", "b", 1, "failed", batch="batch_1"),
            job("job_4", "c", attempt=2)]
    return Evidence(
        client=[asked("a", ["plain"]), {"op": "accepted", "sending": "a", "ids": ["job_1"], "batch": None, "t": 2},
                asked("b", ["slow", "permanent"]),
                {"op": "accepted", "sending": "b", "ids": ["job_2", "job_3"], "batch": "batch_1", "t": 2},
                asked("c", ["plain"]), {"op": "refused", "sending": "c", "status": None, "code": None, "t": 2},
                asked("d", ["plain"]), {"op": "refused", "sending": "d", "status": 503, "code": "overloaded", "t": 2},
                {"op": "seen", "id": "job_1", "status": "running", "generation": 1, "attempt": 1, "text": None, "t": 3},
                {"op": "last", "id": "job_1", "status": "succeeded", "generation": 1, "attempt": 1, "text": "a line 0", "t": 9}],
        receiver=[receipt(n, one) for n, one in enumerate(jobs)],
        faults=[{"t": 10.5, "until": 10.5, "fault": "kill", "target": "worker-2", "pid": 77}],
        engine=["job_1/1/1", "job_2/1/1", "job_3/1/1", "job_4/1/1", "job_4/1/2"],
        jobs=jobs,
        batches=[{"id": "batch_1", "total": 2, "succeeded": 1, "failed": 1, "dead": 0, "cancelled": 0, "expired": 0}],
        events=[event(n, one) for n, one in enumerate(jobs)],
        deliveries=[{"id": f"dlv_{n}", "event_id": f"evt_{n}", "state": "delivered", "error": None} for n in range(4)],
        attempts=[{"job_id": "job_4", "generation": 1, "attempt": 1, "worker": "host-77-ab", "started": 10.0, "ended": 26.0,
                   "code": "worker_lost"}])


# What is done to the sound evidence, and the columns that must show it.
WRONGS: dict[str, tuple[Callable[[Evidence], object], set[str]]] = {
    "an accepted job is gone": (lambda e: (e.jobs.pop(0), e.events.pop(0), e.receiver.pop(0), e.engine.pop(0)), {"lost"}),
    "a job never ended": (lambda e: (e.jobs[0].update(state="running", finished=None, text=None), e.events.pop(0),
                                     e.receiver.pop(0), e.client.pop()), {"lost"}),
    "half of a request was written": (lambda e: (e.client.pop(3), e.jobs.pop(2), e.batches[0].update(total=1, failed=0),
                                                 e.events.pop(2), e.receiver.pop(2), e.engine.pop(2)), {"lost"}),
    "a request was written twice": (lambda e: (e.jobs.append(job("job_9", "a", callback=0)),
                                               e.events.append(event(9, e.jobs[-1]))), {"doubled"}),
    "a refused request was written": (lambda e: (e.jobs.append(job("job_9", "d", callback=0)),
                                                 e.events.append(event(9, e.jobs[-1]))), {"doubled"}),
    "a job ended twice": (lambda e: e.events.append({**e.events[0], "id": "evt_9"}), {"doubled"}),
    "an end came under two ids": (lambda e: e.receiver.append(receipt(9, e.jobs[0])), {"doubled"}),
    "an event came with two bodies": (lambda e: e.receiver.append(receipt(0, e.jobs[0], body="other")), {"doubled"}),
    "nobody asked for this webhook": (lambda e: e.jobs[0].update(callback=0), {"doubled"}),
    "a counter is one too low": (lambda e: e.batches[0].update(succeeded=0), {"miscounted"}),
    "a counter is one too high": (lambda e: e.batches[0].update(dead=1), {"miscounted"}),
    "a batch's row is gone": (lambda e: e.batches.clear(), {"miscounted"}),
    "an answer is another job's": (lambda e: (e.jobs[1].update(text="a line 0")), {"wrong"}),
    "a job that can't succeed did": (lambda e: (e.jobs[2].update(state="succeeded", text="b line 1"),
                                                e.events[2].update(type="job.succeeded"),
                                                e.batches[0].update(succeeded=2, failed=0),
                                                e.receiver[2].update(type="job.succeeded", status="succeeded")), {"wrong"}),
    "a job that was never started has a result of nobody's": (
        lambda e: (e.jobs[1].update(attempt=0), e.engine.remove("job_2/1/1")), {"wrong"}),
    "a job that was never started has the result of another question": (
        lambda e: (e.jobs[1].update(attempt=0, leader="job_1"), e.engine.remove("job_2/1/1")), {"wrong"}),
    "a sound job is dead, and nothing explains it": (
        lambda e: (e.jobs[0].update(state="dead", text=None), e.events[0].update(type="job.dead"), e.client.pop(),
                   e.receiver[0].update(type="job.dead", status="dead")), {"wrong"}),
    "a signature is bad": (lambda e: e.receiver[0].update(signature_ok=False), {"wrong"}),
    "an event tells another state": (lambda e: e.events[0].update(type="job.failed"), {"wrong"}),
    "a client got a 404": (lambda e: e.client.append({"op": "odd", "id": "job_1", "status": 404, "answer": {}, "t": 5}), {"wrong"}),
    "a webhook never came": (lambda e: e.receiver.pop(0), {"undelivered"}),
    "a webhook was never taken": (lambda e: e.receiver[0].update(answered=500), {"undelivered"}),
    "a delivery was given up": (lambda e: e.deliveries[0].update(state="failed"), {"undelivered"}),
    "an end has no event": (lambda e: e.events.pop(0), {"undelivered"}),
    "an event is undecided": (lambda e: e.events[0].update(decided=0), {"undelivered"}),
    "a client saw an end undone": (lambda e: e.client[8].update(status="cancelled"), {"out_of_order"}),
    "a client saw an attempt go back": (lambda e: e.client[8].update(attempt=2), {"out_of_order"}),
    "a client saw another end than the record": (lambda e: e.client.pop() and e.client[-1].update(status="cancelled"), {"out_of_order"}),
    "a job ended before it began": (lambda e: e.jobs[0].update(finished=9.0), {"out_of_order"}),
    "a start was computed twice": (lambda e: e.engine.append("job_1/1/1"), {"rerun"}),
    "a job ran again after its end": (lambda e: e.engine.append("job_1/1/2"), {"rerun"}),
    "a job ran again without a reason": (lambda e: e.attempts.clear(), {"rerun"}),
    "nobody wrote down what the engines computed": (lambda e: e.engine.clear(), {"rerun"}),
    "a start was lost without a reason": (lambda e: e.faults.clear(), {"unexplained"}),
    "another worker than the lost one was killed": (lambda e: e.faults[0].update(pid=78), {"unexplained"}),
}


def answered(n: int, ok: bool = True) -> bytes:
    """A line of a file of a batch, whose request had a response."""
    body = {"choices": [{"message": {"content": f"f line {n}"}}]} if ok else {"error": {"message": "no"}}
    return json.dumps({"id": f"batch_req_{n}", "custom_id": f"f/{n}", "error": None, "response": {
        "status_code": 200 if ok else 400, "request_id": f"job_f{n}", "body": body}}).encode() + b"\n"


CANCELLED = json.dumps({"id": "batch_req_2", "custom_id": "f/2", "response": None,
                        "error": {"code": "job_cancelled", "message": ""}}).encode() + b"\n"


def read(kind: str, at: int, text: bytes, complete: bool, whole: bool = True) -> dict:
    return {"op": "read", "id": "batch_f", "kind": kind, "at": at, "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest(),
            "complete": complete, "whole": whole, "t": 9}


def seen(status: str, revision: int, completed: int) -> dict:
    return {"op": "batch_seen", "id": "batch_f", "status": status, "revision": revision, "t": 5,
            "counts": {"total": 3, "completed": completed, "failed": 0}}


def sound_with_a_file() -> Evidence:
    """Beside all that: a file of three lines; one succeeds, one fails, one is cancelled and succeeds once the batch is retried.
    Another batch got no answer, and isn't there."""
    evidence = sound()
    jobs = [job(f"job_f{n}", "f", n, state, batch="batch_f", callback=int(n == 1), generation=generation)
            for n, state, generation in [(0, "succeeded", 1), (1, "failed", 2), (2, "succeeded", 2)]]
    evidence.jobs += jobs
    asked_f = {**asked("f", ["plain", "permanent", "cancelled"]), "file": True, "short": False, "callback": True}
    counts = {"total": 3, "completed": 2, "failed": 1}
    evidence.client += [
        asked_f, {"op": "accepted_file", "sending": "f", "batch": "batch_f", "t": 2},
        {**asked_f, "sending": "g"}, {"op": "refused", "sending": "g", "status": None, "code": None, "t": 2},
        read("output", 0, answered(0), False, whole=False),
        seen("in_progress", 1, 0), seen("completed", 1, 1),
        {"op": "files", "id": "batch_f", "revision": 1, "status": "completed", "output": "file-1", "error": "file-2",
         "counts": {"total": 3, "completed": 1, "failed": 2}, "t": 6},
        {"op": "batch_retry", "id": "batch_f", "status": 200, "code": None, "t": 7},
        seen("in_progress", 2, 1), seen("completed", 2, 2),
        {"op": "files", "id": "batch_f", "revision": 2, "status": "completed", "output": "file-3", "error": "file-4",
         "counts": counts, "t": 8},
        read("output", 0, answered(0), False), read("output", len(answered(0)), answered(2), True),
        read("errors", 0, answered(1, False), True)]
    evidence.files = {"file-1": answered(0), "file-2": answered(1, False) + CANCELLED,
                      "file-3": answered(0) + answered(2), "file-4": answered(1, False)}
    evidence.file_batches = [{"id": "batch_f", "status": "completed", "revision": 2, "lines": 3, "open": 0, "output": "file-3",
                              "error": "file-4", "callback": 1, "sending": "f"}]
    evidence.batches.append({"id": "batch_f", "total": 3, "succeeded": 2, "failed": 1, "dead": 0, "cancelled": 0, "expired": 0})
    evidence.lines = [{"job_id": f"job_f{n}", "batch": "batch_f", "custom_id": f"f/{n}", "seq": seq} for n, seq in [(0, 1), (1, 5), (2, 4)]]
    ends = [("batch_f", 1, "batch.completed"), ("batch_f", 2, "batch.completed"), ("job_f1", 1, "job.failed"), ("job_f1", 2, "job.failed")]
    for n, (who, generation, type_) in enumerate(ends):
        evidence.events.append({"id": f"evt_f{n}", "job_id": who, "generation": generation, "type": type_, "decided": 1})
        evidence.receiver.append({**receipt(0, jobs[1]), "webhook_id": f"evt_f{n}", "event": f"evt_f{n}", "type": type_, "job": who,
                                  "status": "failed" if who == "job_f1" else None, "sequence": generation, "body": f"body f{n}"})
        evidence.deliveries.append({"id": f"dlv_f{n}", "event_id": f"evt_f{n}", "state": "delivered", "error": None})
    evidence.engine += ["job_f0/1/1", "job_f1/1/1", "job_f1/2/1", "job_f2/2/1"]
    return evidence


def put(evidence: Evidence, file_id: str, text: bytes, rereads: bool = True) -> None:
    """Another file; unless told otherwise it is read in the same way afterwards, so that only its contents are wrong."""
    evidence.files[file_id] = text
    if rereads:
        kind = "output" if file_id == "file-3" else "errors"
        evidence.client[:] = [one for one in evidence.client if one["op"] != "read" or one["kind"] != kind] + [read(kind, 0, text, True)]


def last(evidence: Evidence, op: str) -> dict:
    return [one for one in evidence.client if one["op"] == op][-1]


def drop_last(evidence: Evidence, op: str) -> None:
    evidence.client.remove(last(evidence, op))


WRONGS_OF_FILES: dict[str, tuple[Callable[[Evidence], object], set[str]]] = {
    "an accepted batch is gone": (
        lambda e: (e.file_batches.clear(), e.lines.clear(), e.files.clear(), e.batches.pop(), e.jobs.__delitem__(slice(4, None)),
                   e.events.__delitem__(slice(4, None)), e.receiver.__delitem__(slice(4, None)), e.engine.__delitem__(slice(5, None))),
        {"lost"}),
    "a batch never ended": (lambda e: e.file_batches[0].update(open=1), {"lost"}),
    "a line is in the record no more": (lambda e: e.lines.pop(0), {"lost"}),
    "a line is in neither file": (lambda e: (put(e, "file-3", answered(0)), last(e, "files").update(
        counts={"total": 3, "completed": 1, "failed": 1})), {"lost"}),
    "a line is in neither file of the first revision": (lambda e: put(e, "file-2", answered(1, False), False), {"lost"}),
    "a line is in both files": (lambda e: put(e, "file-4", answered(2) + answered(1, False)), {"doubled", "wrong", "miscounted"}),
    "a line stands twice": (lambda e: put(e, "file-3", answered(0) + answered(2) + answered(2)), {"doubled", "miscounted"}),
    "a line that nobody sent": (lambda e: put(e, "file-4", answered(1, False) + answered(1, False).replace(b"f/1", b"f/9")),
                                {"wrong", "miscounted"}),
    "a line is in the wrong file": (lambda e: (put(e, "file-3", answered(0)), put(e, "file-4", answered(2) + answered(1, False))),
                                    {"wrong", "miscounted"}),
    "an answer in the file is another's": (
        lambda e: put(e, "file-3", answered(0) + answered(2).replace(b"f line 2", b"f line 1")), {"wrong"}),
    "a line is answered by another's job": (lambda e: put(e, "file-3", answered(0) + answered(2).replace(b"job_f2", b"job_f0")), {"wrong"}),
    "a cancelled line has a response": (lambda e: put(e, "file-4", CANCELLED.replace(b"f/2", b"f/1")), {"wrong"}),
    "lines are not in the order of their ends": (lambda e: (e.lines[2].update(seq=1), e.lines[0].update(seq=4)), {"out_of_order"}),
    "a further revision begins differently": (lambda e: (e.lines[2].update(seq=1), e.lines[0].update(seq=4),
                                                         put(e, "file-3", answered(2) + answered(0))), {"out_of_order"}),
    "what was read before is not what the file holds": (lambda e: last(e, "read").update(sha256="0"), {"out_of_order"}),
    "reading ended before the file": (lambda e: (drop_last(e, "read"), e.client.append(read("errors", 0, b"", True))), {"lost"}),
    "nobody was told that this is all": (lambda e: last(e, "read").update(complete=False), {"lost"}),
    "counts are not the files'": (lambda e: last(e, "files")["counts"].update(completed=3), {"miscounted"}),
    "the batch's own counters are wrong": (lambda e: e.batches[-1].update(succeeded=1), {"miscounted"}),
    "one sending became two batches": (lambda e: (e.file_batches.append({**e.file_batches[0], "id": "batch_9", "status": "cancelled",
                                                                         "lines": 0, "revision": 1, "output": None, "error": None}),
                                                  e.client.extend([{"op": "batch_cancel", "id": "batch_9"},
                                                                   {**last(e, "files"), "id": "batch_9", "revision": 1, "output": None,
                                                                    "error": None, "counts": {"total": 0, "completed": 0, "failed": 0}},
                                                                   {**read("output", 0, b"", True), "id": "batch_9"},
                                                                   {**read("errors", 0, b"", True), "id": "batch_9"}]),
                                                  e.events.append({**e.events[0], "id": "evt_9", "job_id": "batch_9",
                                                                   "type": "batch.cancelled"}),
                                                  e.receiver.append({**e.receiver[0], "webhook_id": "evt_9", "event": "evt_9",
                                                                     "job": "batch_9", "type": "batch.cancelled", "status": None})),
                                       {"doubled"}),
    "a refused batch is there": (lambda e: e.client.append({"op": "refused", "sending": "f", "status": 503, "code": "overloaded"}),
                                 {"doubled"}),
    "a revision that nobody asked for": (lambda e: drop_last(e, "batch_retry"), {"doubled"}),
    "a retry that did nothing": (lambda e: e.client.append(last(e, "batch_retry")), {"lost"}),
    "two pairs of files of one revision": (lambda e: (e.client.append({**last(e, "files"), "error": "file-5"}),
                                                      e.files.update({"file-5": e.files["file-4"]})), {"doubled"}),
    "a batch failed though its lines are good": (lambda e: (e.file_batches[0].update(status="failed"), last(e, "batch_seen").update(
        status="failed"), e.events[5].update(type="batch.failed"), e.receiver[5].update(type="batch.failed")), {"wrong"}),
    "a batch was cancelled, and nobody asked": (lambda e: (e.file_batches[0].update(status="cancelled"), last(e, "batch_seen").update(
        status="cancelled"), e.events[5].update(type="batch.cancelled"), e.receiver[5].update(type="batch.cancelled")), {"wrong"}),
    "an end of a batch has no event": (lambda e: (e.events.pop(4), e.receiver.pop(4)), {"undelivered"}),
    "an event of a batch never came": (lambda e: e.receiver.pop(5), {"undelivered"}),
    "an event of a batch tells another end": (lambda e: (e.events[5].update(type="batch.expired"),
                                                         e.receiver[5].update(type="batch.expired")), {"wrong"}),
    "a silent line is told of": (lambda e: e.events.append({**e.events[0], "id": "evt_9", "job_id": "job_f0"}), {"doubled"}),
    "a client saw a batch's end undone": (lambda e: e.client.append({**last(e, "batch_seen"), "status": "expired"}), {"out_of_order"}),
    "a client saw a count go down": (lambda e: e.client.append({**last(e, "batch_seen"), "counts": {"completed": 1}}), {"out_of_order"}),
    "a client saw a revision go back": (lambda e: e.client.append({**last(e, "batch_seen"), "revision": 1}), {"out_of_order"}),
}


class CheckerFinds(unittest.TestCase):
    def test_nothing_in_a_sound_record(self) -> None:
        for evidence in (sound(), sound_with_a_file()):
            report = Checker(evidence).check()
            self.assertEqual(report.counts(), dict.fromkeys(COLUMNS, 0), report.text())

    def test_each_wrong_in_its_column(self) -> None:
        for make, wrongs in ((sound, WRONGS), (sound_with_a_file, WRONGS_OF_FILES)):
            for what, (spoil, columns) in wrongs.items():
                with self.subTest(what):
                    evidence = copy.deepcopy(make())
                    spoil(evidence)
                    report = Checker(evidence).check()
                    self.assertEqual({column for column, found in report.found.items() if found}, columns, report.text())

    def test_every_column_can_be_hit(self) -> None:
        self.assertEqual(set().union(*(columns for _spoil, columns in WRONGS.values())), set(COLUMNS))


if __name__ == "__main__":
    unittest.main()
