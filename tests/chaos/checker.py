#!/usr/bin/env python3
"""Holds what the client and the receiver saw, and what the engine did, against the database, and counts what is wrong.

It shares no code with the product and trusts none of its counters. By hand, on the folder of a run:

  tests/chaos/checker.py RUN_FOLDER

Columns (each must be zero):
  lost          accepted, and not in the record with a final state
  doubled       accepted once and recorded more often, ended twice in one generation, told of under two ids or with two bodies
  miscounted    a batch whose counters are not those of its jobs
  wrong         another answer, state or event than the job should have; a bad signature
  undelivered   asked for a webhook and never got one that it accepted, or a delivery or event that is still open
  out_of_order  a client saw a job leave its final state, an attempt or a sequence went back, an end stands before its start
  rerun         the engine computed a start that had been computed, or one that no lost or failed start explains; or its record
                is empty although jobs succeeded, so that there is nothing to count
  unexplained   a start whose worker was lost although nothing was done to it
"""
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from journal import read as read_journal

FINAL = ("succeeded", "failed", "dead", "cancelled", "expired")
COLUMNS = ("lost", "doubled", "miscounted", "wrong", "undelivered", "out_of_order", "rerun", "unexplained")
# How each kind may end. Any may be dead when faults buried it (looked at apart), or expire when it had to wait too long.
ENDS = {"plain": {"succeeded"}, "slow": {"succeeded"}, "transient": {"succeeded"}, "duplicate": {"succeeded"},
        "crash": {"succeeded"}, "permanent": {"failed"}, "hopeless": {"dead"}, "poison": {"dead"},
        "cancelled": {"cancelled", "succeeded"}, "expiring": {"expired", "succeeded"}}


@dataclass
class Evidence:
    """What is held against each other. Times are Unix seconds."""
    client: list[dict] = field(default_factory=list)     # The journal of load.Load.
    receiver: list[dict] = field(default_factory=list)   # The journal of receiver.Receiver.
    faults: list[dict] = field(default_factory=list)     # {t, until, fault, target, pid}
    engine: list[str] = field(default_factory=list)      # "job/generation/attempt" for each start that was computed.
    jobs: list[dict] = field(default_factory=list)       # Rows of the database, from here on.
    batches: list[dict] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    deliveries: list[dict] = field(default_factory=list)
    attempts: list[dict] = field(default_factory=list)   # Starts that did not end their job.


class Report:
    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {column: [] for column in COLUMNS}
        self.facts: dict[str, object] = {}

    def add(self, column: str, what: str) -> None:
        self.found[column].append(what)

    def counts(self) -> dict[str, int]:
        return {column: len(found) for column, found in self.found.items()}

    def good(self) -> bool:
        return not any(self.found.values())

    def text(self) -> str:
        lines = [f"{column:<13}{len(found):>6}" for column, found in self.found.items()]
        for column, found in self.found.items():
            lines += [f"  {column}: {what}" for what in found[:10]]
        return "\n".join(lines)


class Checker:
    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.report = Report()
        self.jobs = {job["id"]: job for job in evidence.jobs}
        self.asked = {line["sending"]: line for line in evidence.client if line["op"] == "asked"}
        self.accepted = {line["sending"]: line for line in evidence.client if line["op"] == "accepted"}
        self.refused = {line["sending"]: line for line in evidence.client if line["op"] == "refused"}
        self.lost_starts: dict[str, list[dict]] = defaultdict(list)
        for attempt in evidence.attempts:
            self.lost_starts[attempt["job_id"]].append(attempt)

    def check(self) -> Report:
        self._check_accepted()
        self._check_record()
        self._check_answers()
        self._check_batches()
        self._check_events()
        self._check_deliveries()
        self._check_order()
        self._check_engine()
        self._check_lapses()
        self._state_facts()
        return self.report

    # --- what was asked against what is there

    def _check_accepted(self) -> None:
        rows: dict[str, list[dict]] = defaultdict(list)
        for job in self.evidence.jobs:
            rows[job["sending"]].append(job)
        for sending, accepted in self.accepted.items():
            for job_id in accepted["ids"]:
                if job_id not in self.jobs:
                    self.report.add("lost", f"{job_id} ({sending}) was accepted and is not in the record")
            for repeated, times in Counter(accepted["ids"]).items():
                if times > 1:
                    self.report.add("doubled", f"{repeated} was given to {times} requests")
            for job in rows[sending]:
                if job["id"] not in accepted["ids"]:
                    self.report.add("doubled", f"{job['id']} stands beside what {sending} was told")
        for sending in rows.keys() - self.accepted.keys():
            asked = self.asked.get(sending)
            if asked is None:
                self.report.add("doubled", f"{len(rows[sending])} jobs of {sending!r}, which nobody sent")
                continue
            wanted, there = len(asked["jobs"]), len(rows[sending])
            if there != wanted:     # All or nothing, also for who got no answer.
                self.report.add("lost" if there < wanted else "doubled", f"{sending}: {there} of {wanted} jobs are there")
            refusal = self.refused.get(sending)
            if refusal and refusal["status"] is not None and refusal["code"] != "outcome_unknown":
                self.report.add("doubled", f"{sending} was refused ({refusal['code']}) and is there all the same")
        for refusal in self.refused.values():
            if refusal["status"] is not None and refusal["status"] not in (429, 503):
                self.report.add("wrong", f"{refusal['sending']} was refused with {refusal['status']} {refusal['code']}")
        for line in self.evidence.client:
            if line["op"] == "odd":
                self.report.add("wrong", f"{line['id']}: a client got {line['status']}")

    def _check_record(self) -> None:
        for job in self.evidence.jobs:
            if job["state"] not in FINAL:
                self.report.add("lost", f"{job['id']} is still {job['state']}")
            if job["started"] and job["finished"] and job["finished"] < job["started"]:
                self.report.add("out_of_order", f"{job['id']} ended before it started")

    def _check_answers(self) -> None:
        for job in self.evidence.jobs:
            asked = self.asked.get(job["sending"])
            if asked is None or job["state"] not in FINAL:
                continue
            one = asked["jobs"][job["line"]]
            allowed = ENDS[one["kind"]]
            if job["state"] not in allowed and not self._excused(job, one):
                self.report.add("wrong", f"{job['id']} ({one['kind']}) is {job['state']}: {job['error']}")
            if job["state"] == "succeeded" and job["text"] != one["prompt"]:
                self.report.add("wrong", f"{job['id']}: another answer")
            if job["state"] != "succeeded" and job["text"] is not None:
                self.report.add("wrong", f"{job['id']} is {job['state']} and has a result")
            needed = one["parameters"].get("fault_attempts", 0) + 1
            if one["kind"] == "transient" and job["state"] == "succeeded" and job["attempt"] < needed:
                self.report.add("wrong", f"{job['id']} succeeded at attempt {job['attempt']}, before it could")

    def _excused(self, job: dict, one: dict) -> bool:
        """Whether lost workers buried it: then the lost starts are on record, three of them or attempts used up."""
        if job["state"] != "dead" or one["kind"] in ("permanent", "expiring"):
            return False
        lost = [a for a in self.lost_starts[job["id"]] if a["code"] in ("worker_lost", "poison")]
        return bool(lost) and (len(lost) >= 3 or len(self.lost_starts[job["id"]]) >= 5)

    def _check_batches(self) -> None:
        of_batch: dict[str, Counter] = defaultdict(Counter)
        for job in self.evidence.jobs:
            if job["batch"]:
                of_batch[job["batch"]][job["state"]] += 1
        for batch in self.evidence.batches:
            counted = {state: batch[state] for state in FINAL if batch[state]}
            if counted != dict(of_batch[batch["id"]]) or batch["total"] != sum(counted.values()):
                self.report.add("miscounted", f"{batch['id']}: {counted} of {batch['total']}, its jobs are "
                                              f"{dict(of_batch[batch['id']])}")
        for batch_id in of_batch.keys() - {batch["id"] for batch in self.evidence.batches}:
            self.report.add("miscounted", f"{batch_id} has jobs and is not there")

    # --- ends and deliveries

    def _check_events(self) -> None:
        ends = Counter((event["job_id"], event["generation"]) for event in self.evidence.events)
        for (job_id, generation), times in ends.items():
            if times > 1:
                self.report.add("doubled", f"{job_id} ended {times} times in generation {generation}")
        for job in self.evidence.jobs:
            if job["state"] in FINAL and (job["id"], job["generation"]) not in ends:
                self.report.add("undelivered", f"{job['id']} ended without an event")
        for event in self.evidence.events:
            job = self.jobs.get(event["job_id"])
            if job is None:
                self.report.add("wrong", f"{event['id']} is of a job that is not there")
            elif event["generation"] == job["generation"] and event["type"] != "job." + job["state"]:
                self.report.add("wrong", f"{event['id']}: {event['type']}, but {job['id']} is {job['state']}")
            if not event["decided"]:
                self.report.add("undelivered", f"{event['id']}: nobody decided who receives it")

    def _check_deliveries(self) -> None:
        ids: dict[tuple, set] = defaultdict(set)
        bodies: dict[str, set] = defaultdict(set)
        taken: set[tuple] = set()
        for receipt in self.evidence.receiver:
            end = (receipt["job"], receipt["sequence"])
            ids[end].add(receipt["webhook_id"])
            bodies[receipt["webhook_id"]].add(receipt["body"])
            if receipt["answered"] == 200:
                taken.add(end)
            if not receipt["signature_ok"]:
                self.report.add("wrong", f"{receipt['webhook_id']}: its signature")
            if receipt["webhook_id"] != receipt["event"] or receipt["type"] != "job." + receipt["status"]:
                self.report.add("wrong", f"{receipt['webhook_id']}: {receipt['event']} {receipt['type']} {receipt['status']}")
        for (job_id, sequence), several in ids.items():
            if len(several) > 1:
                self.report.add("doubled", f"{job_id} #{sequence} came under {len(several)} ids")
            job = self.jobs.get(job_id)
            if job is None or not job["callback"]:
                self.report.add("doubled", f"{job_id} was told of, but nobody asked")
        for webhook_id, several in bodies.items():
            if len(several) > 1:
                self.report.add("doubled", f"{webhook_id} came with {len(several)} bodies")
        for event in self.evidence.events:
            job = self.jobs.get(event["job_id"])
            if job and job["callback"] and (event["job_id"], event["generation"]) not in taken:
                self.report.add("undelivered", f"{event['id']} ({event['type']}) never arrived")
        for delivery in self.evidence.deliveries:
            if delivery["state"] != "delivered":
                self.report.add("undelivered", f"{delivery['id']} is {delivery['state']}: {delivery['error']}")
        told = {(e["job_id"], e["generation"]): e["type"] for e in self.evidence.events if e["job_id"] in self.jobs}
        for receipt in self.evidence.receiver:
            if told.get((receipt["job"], receipt["sequence"])) not in (None, receipt["type"]):
                self.report.add("wrong", f"{receipt['webhook_id']} told {receipt['type']}")

    def _check_order(self) -> None:
        seen: dict[str, list[dict]] = defaultdict(list)
        for line in self.evidence.client:
            if line["op"] in ("seen", "cancelled", "last"):
                seen[line["id"]].append(line)
        for job_id, lines in seen.items():
            for before, after in zip(lines, lines[1:]):
                if before["status"] in FINAL and before["generation"] == after["generation"] and before["status"] != after["status"]:
                    self.report.add("out_of_order", f"{job_id} was {before['status']}, then {after['status']}")
                if (after["generation"], after["attempt"]) < (before["generation"], before["attempt"]):
                    self.report.add("out_of_order", f"{job_id}: attempt {after['attempt']} after {before['attempt']}")
            last, job = lines[-1], self.jobs.get(job_id)
            if job and last["status"] in FINAL and last["generation"] == job["generation"] and last["status"] != job["state"]:
                self.report.add("out_of_order", f"{job_id} was {last['status']} and is {job['state']} in the record")
            if job and last["status"] == "succeeded" and last["text"] != job["text"]:
                self.report.add("wrong", f"{job_id}: a client saw another answer")
        first: dict[tuple, float] = {}
        for receipt in self.evidence.receiver:
            first.setdefault((receipt["job"], receipt["sequence"]), receipt["t"])
        for (job_id, sequence), when in first.items():
            if when > first.get((job_id, sequence + 1), when):
                self.report.add("out_of_order", f"{job_id}: #{sequence + 1} came before #{sequence}")

    # --- the engine's own count

    def _check_engine(self) -> None:
        succeeded = sum(1 for job in self.evidence.jobs if job["state"] == "succeeded")
        if succeeded and not self.evidence.engine:
            self.report.add("rerun", f"{succeeded} jobs succeeded, and the engines' record holds no start at all")
        explained = {f"{a['job_id']}/{a['generation']}/{a['attempt']}" for a in self.evidence.attempts}
        for start, times in Counter(self.evidence.engine).items():
            job_id, generation, attempt = start.rsplit("/", 2)
            job = self.jobs.get(job_id)
            if times > 1:
                self.report.add("rerun", f"{start} was computed {times} times")
            if job is None:
                self.report.add("rerun", f"{start} is of a job that is not there")
            elif int(generation) == job["generation"] and int(attempt) > job["attempt"]:
                self.report.add("rerun", f"{start} came after the job's last start, {job['attempt']}")
            elif (int(generation) == job["generation"] and int(attempt) < job["attempt"] and start not in explained
                  and not job["forgiven"]):
                self.report.add("rerun", f"{start} was computed, did not fail, and the job ran again")

    def _check_lapses(self) -> None:
        lapses = [a for a in self.evidence.attempts if a["code"] in ("worker_lost", "poison")]
        died = {a["worker"] for a in lapses if self._kind(a["job_id"]) in ("crash", "poison")}
        for lapse in lapses:
            if lapse["worker"] in died:
                continue    # A neighbour of a job that killed its worker.
            if not any(self._explains(fault, lapse) for fault in self.evidence.faults):
                self.report.add("unexplained", f"{lapse['job_id']} attempt {lapse['attempt']} on {lapse['worker']}, "
                                               f"{lapse['started']:.1f} to {lapse['ended']:.1f}")

    def _kind(self, job_id: str) -> str | None:
        job = self.jobs.get(job_id)
        asked = self.asked.get(job["sending"]) if job else None
        return asked["jobs"][job["line"]]["kind"] if asked else None

    @staticmethod
    def _explains(fault: dict, lapse: dict) -> bool:
        if fault["until"] < lapse["started"] - 1 or fault["t"] > lapse["ended"]:
            return False
        if fault["pid"] is not None and fault["target"].startswith("worker"):
            return f"-{fault['pid']}-" in lapse["worker"]
        return fault["target"] in ("mysql", "network")      # Without its database a worker can't say that it lives.

    def _state_facts(self) -> None:
        states = Counter(job["state"] for job in self.evidence.jobs)
        computed = Counter(start.rsplit("/", 2)[0] for start in self.evidence.engine)
        self.report.facts = {
            "jobs": len(self.evidence.jobs),
            "accepted": sum(len(line["ids"]) for line in self.accepted.values()),
            "answers that never came": sum(1 for line in self.refused.values() if line["status"] is None),
            "refusals": sum(1 for line in self.refused.values() if line["status"] is not None),
            **{f"jobs {state}": states[state] for state in FINAL},
            "batches": len(self.evidence.batches),
            "webhooks wanted": sum(1 for job in self.evidence.jobs if job["callback"]),
            "POSTs received": len(self.evidence.receiver),
            "POSTs of an event that had been taken": self._repeated_posts(),
            "starts computed": len(self.evidence.engine),
            "jobs computed more than once": sum(1 for times in computed.values() if times > 1),
            "starts lost with their worker": sum(1 for a in self.evidence.attempts if a["code"] in ("worker_lost", "poison")),
            "jobs buried by lost workers": sum(1 for job in self.evidence.jobs if job["state"] == "dead"
                                               and self._kind(job["id"]) not in ("hopeless", "poison")),
        }

    def _repeated_posts(self) -> int:
        taken: set[str] = set()
        repeated = 0
        for receipt in self.evidence.receiver:
            repeated += receipt["webhook_id"] in taken
            if receipt["answered"] == 200:
                taken.add(receipt["webhook_id"])
        return repeated


def engine_starts(logs: list[Path]) -> list[str]:
    """What the workers' logs (at level debug) say that their engines computed."""
    pattern = re.compile(r'"event":"engine_done".*"start":"([^"]+)"')
    starts = []
    for log in logs:
        with open(log, encoding="utf-8", errors="replace") as lines:
            starts += [found.group(1) for line in lines if (found := pattern.search(line))]
    return starts


def load(folder: Path) -> Evidence:
    """The evidence that a run left in its folder."""
    def lines(name: str) -> list[dict]:
        return read_journal(folder / name) if (folder / name).exists() else []
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return Evidence(client=lines("client.jsonl"), receiver=lines("receiver.jsonl"), faults=lines("faults.jsonl"),
                    engine=engine_starts(sorted(folder.glob("logs/worker*.log*"))), **record)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    report = Checker(load(Path(sys.argv[1]))).check()
    print(report.text())
    for name, value in report.facts.items():
        print(f"{name:<40}{value}")
    return 0 if report.good() else 1


if __name__ == "__main__":
    sys.exit(main())
