"""The checker finds what it is there to find: a sound record passes, and each way of being wrong shows in its column."""
import copy
import unittest
from collections.abc import Callable

from checker import COLUMNS, Checker, Evidence


def job(job_id: str, sending: str, line: int = 0, state: str = "succeeded", **more: object) -> dict:
    text = f"{sending} line {line}" if state == "succeeded" else None
    return {"id": job_id, "batch": None, "state": state, "generation": 1, "attempt": 1, "forgiven": 0, "callback": 1,
            "started": 10.0, "finished": 11.0, "error": None, "text": text, "sending": sending, "line": line, **more}


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


class CheckerFinds(unittest.TestCase):
    def test_nothing_in_a_sound_record(self) -> None:
        report = Checker(sound()).check()
        self.assertEqual(report.counts(), dict.fromkeys(COLUMNS, 0), report.text())

    def test_each_wrong_in_its_column(self) -> None:
        for what, (spoil, columns) in WRONGS.items():
            with self.subTest(what):
                evidence = copy.deepcopy(sound())
                spoil(evidence)
                report = Checker(evidence).check()
                self.assertEqual({column for column, found in report.found.items() if found}, columns, report.text())

    def test_every_column_can_be_hit(self) -> None:
        self.assertEqual(set().union(*(columns for _spoil, columns in WRONGS.values())), set(COLUMNS))


if __name__ == "__main__":
    unittest.main()
