#!/usr/bin/env python3
"""Holds what the client and the receiver saw, and what the engine did, against the database, and counts what is wrong.

It shares no code with the product and trusts none of its counters. By hand, on the folder of a run:

  tests/chaos/checker.py RUN_FOLDER

Columns (each must be zero):
  lost          accepted, and not in the record with a final state; a line that is in neither file of its batch
  doubled       accepted once and recorded more often, ended twice in one generation, told of under two ids or with two bodies;
                a line that stands twice in its batch's files
  miscounted    a batch whose counters are not those of its jobs, or of its files
  wrong         another answer, state or event than the job should have, or the wrong file or an unknown line; a bad signature
  undelivered   asked for a webhook and never got one that it accepted, or a delivery or event that is still open
  out_of_order  a client saw a job or batch leave its final state, an attempt or a sequence went back, an end stands before its
                start; an output file that doesn't begin as what was read of it, or as that of the revision before
  rerun         the engine computed a start that had been computed, or one that no lost or failed start explains; or its record
                is empty although jobs succeeded, so that there is nothing to count
  unexplained   a start whose worker was lost although nothing was done to it
"""
import hashlib
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
ENDS = {"plain": {"succeeded"}, "slow": {"succeeded"}, "transient": {"succeeded"}, "duplicate": {"succeeded"}, "equal": {"succeeded"},
        "crash": {"succeeded"}, "permanent": {"failed"}, "hopeless": {"dead"}, "poison": {"dead"},
        "cancelled": {"cancelled", "succeeded"}, "expiring": {"expired", "succeeded"}}
FINAL_BATCH = ("completed", "failed", "expired", "cancelled")


@dataclass
class Evidence:
    """What is held against each other. Times are Unix seconds."""
    client: list[dict] = field(default_factory=list)     # The journals of load.Load and files.FileLoad.
    receiver: list[dict] = field(default_factory=list)   # The journal of receiver.Receiver.
    faults: list[dict] = field(default_factory=list)     # {t, until, fault, target, pid}
    engine: list[str] = field(default_factory=list)      # "job/generation/attempt" for each start that was computed.
    jobs: list[dict] = field(default_factory=list)       # Rows of the database, from here on.
    batches: list[dict] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    deliveries: list[dict] = field(default_factory=list)
    attempts: list[dict] = field(default_factory=list)   # Starts that did not end their job.
    file_batches: list[dict] = field(default_factory=list)
    lines: list[dict] = field(default_factory=list)      # Of those: {job_id, batch, custom_id, seq}.
    files: dict[str, bytes] = field(default_factory=dict)   # What the client fetched of them, by id.


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
        self.of_file = {batch["id"]: batch for batch in evidence.file_batches}
        # What events tell of, by id: how often it ended, what its last event is called, whether anybody is told.
        self.told = {job["id"]: (job["generation"], "job." + job["state"], job["callback"]) for job in evidence.jobs}
        self.told |= {batch["id"]: (batch["revision"], "batch." + batch["status"], batch["callback"]) for batch in evidence.file_batches}
        self.unwanted = {line["id"] for line in evidence.client if line["op"] == "batch_cancel"}
        self.rows_of: dict[str, list[dict]] = defaultdict(list)     # Lines of each batch of a file.
        for row in evidence.lines:
            self.rows_of[row["batch"]].append(row)
        # Pairs of files that were seen of each revision, and what the batch said of itself last.
        self.files_of: dict[str, dict[int, set]] = defaultdict(lambda: defaultdict(set))
        self.counts_of: dict[str, dict] = {}
        for line in evidence.client:
            if line["op"] == "files":
                self.files_of[line["id"]][line["revision"]].add((line["output"], line["error"]))
                self.counts_of[line["id"]] = line["counts"]
        self.lost_starts: dict[str, list[dict]] = defaultdict(list)
        for attempt in evidence.attempts:
            self.lost_starts[attempt["job_id"]].append(attempt)

    def check(self) -> Report:
        self._check_accepted()
        self._check_record()
        self._check_answers()
        self._check_batches()
        self._check_file_batches()
        self._check_reads()
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
            if asked.get("file"):
                continue    # Its lines are looked at by themselves.
            wanted, there = len(asked["jobs"]), len(rows[sending])
            if there != wanted:     # All or nothing, also for who got no answer.
                self.report.add("lost" if there < wanted else "doubled", f"{sending}: {there} of {wanted} jobs are there")
            self._check_refused(sending)
        for refusal in self.refused.values():
            if refusal["status"] is not None and refusal["status"] not in (429, 503):
                self.report.add("wrong", f"{refusal['sending']} was refused with {refusal['status']} {refusal['code']}")
        for line in self.evidence.client:
            if line["op"] == "odd":
                self.report.add("wrong", f"{line['id']}: a client got {line['status']}")

    def _check_refused(self, sending: str) -> None:
        """For what is there."""
        refusal = self.refused.get(sending)
        if refusal and refusal["status"] is not None and refusal["code"] != "outcome_unknown":
            self.report.add("doubled", f"{sending} was refused ({refusal['code']}) and is there all the same")

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
            allowed = ENDS[one["kind"]] | ({"cancelled"} if job["batch"] in self.unwanted else set())
            if asked.get("short"):
                allowed = allowed | {"expired"}
            if job["state"] not in allowed and not self._excused(job, one):
                self.report.add("wrong", f"{job['id']} ({one['kind']}) is {job['state']}: {job['error']}")
            if job["state"] == "succeeded" and job["text"] != one["prompt"]:
                self.report.add("wrong", f"{job['id']}: another answer")
            if job["state"] != "succeeded" and job["text"] is not None:
                self.report.add("wrong", f"{job['id']} is {job['state']} and has a result")
            if job["state"] == "succeeded" and job["attempt"] == 0:
                self._check_shared(job, one)
            needed = one["parameters"].get("fault_attempts", 0) + 1
            if one["kind"] == "transient" and job["state"] == "succeeded" and job["attempt"] < needed:
                self.report.add("wrong", f"{job['id']} succeeded at attempt {job['attempt']}, before it could")

    def _check_shared(self, job: dict, one: dict) -> None:
        """A job that was never started has another's result: of one that was asked the same, and computed it."""
        leader = self.jobs.get(job["leader"])
        asked = self.asked.get(leader["sending"]) if leader else None
        if asked is None or asked["jobs"][leader["line"]]["prompt"] != one["prompt"]:
            self.report.add("wrong", f"{job['id']} ({one['kind']}) succeeded without a start, and {job['leader']} was asked something else")
        elif leader["state"] != "succeeded" or leader["attempt"] == 0:
            self.report.add("wrong", f"{job['id']} has the result of {leader['id']}, which computed none")

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

    # --- batches that came as files

    def _check_file_batches(self) -> None:
        made: dict[str, list[dict]] = defaultdict(list)
        for batch in self.evidence.file_batches:
            made[batch["sending"]].append(batch)
        for line in self.evidence.client:
            if line["op"] == "accepted_file" and line["batch"] not in self.of_file:
                self.report.add("lost", f"{line['batch']} ({line['sending']}) was accepted and is not in the record")
        for sending, batches in made.items():
            asked = self.asked.get(sending)
            if asked is None:
                self.report.add("doubled", f"{batches[0]['id']} of {sending!r}, which nobody sent")
                continue
            if len(batches) > 1:
                self.report.add("doubled", f"{sending} became {len(batches)} batches")
            self._check_refused(sending)
            for batch in batches:
                self._check_file_batch(batch, asked)

    def _check_file_batch(self, batch: dict, asked: dict) -> None:
        batch_id, status = batch["id"], batch["status"]
        if status not in FINAL_BATCH or batch["open"]:
            self.report.add("lost", f"{batch_id} is still {status}, {batch['open']} open")
            return
        if status == "failed" or (status == "cancelled" and batch_id not in self.unwanted) or (
                status == "expired" and not asked["short"]):
            self.report.add("wrong", f"{batch_id} is {status}")
        wanted = {f"{asked['sending']}/{n}": n for n in range(len(asked["jobs"]))}
        if status == "cancelled" and batch["lines"] == 0:
            wanted = {}     # Cancelled before its file was looked at.
        self._check_lines(batch_id, "the record", (row["custom_id"] for row in self.rows_of[batch_id]), wanted)
        for row in self.rows_of[batch_id]:
            job = self.jobs.get(row["job_id"])
            if job is None:
                self.report.add("lost", f"{row['custom_id']}: {row['job_id']} is not in the record")
            elif (job["batch"], job["sending"], job["line"]) != (batch_id, asked["sending"], wanted.get(row["custom_id"])):
                self.report.add("wrong", f"{row['custom_id']}: {row['job_id']} is another line's")
        self._check_revisions(batch)
        before = b""
        for revision in sorted(self.files_of[batch_id]):
            several = self.files_of[batch_id][revision]
            if len(several) > 1:
                self.report.add("doubled", f"{batch_id} has {len(several)} pairs of files in revision {revision}")
            output, error = sorted(several, key=str)[0]
            good, bad = self._parsed(output, batch_id), self._parsed(error, batch_id)
            self._check_lines(batch_id, f"the files of revision {revision}", (line["custom_id"] for line in good + bad), wanted)
            self._check_good(good, asked, wanted)
            after = self.evidence.files.get(output, b"")
            if not after.startswith(before):
                self.report.add("out_of_order", f"{batch_id}: the output of revision {revision} begins differently than the one before")
            before = after
            if revision == batch["revision"]:
                if (output, error) != (batch["output"], batch["error"]):
                    self.report.add("wrong", f"{batch_id}: a client saw other files than the record has")
                self._check_last(batch_id, good, bad, wanted)

    def _check_revisions(self, batch: dict) -> None:
        batch_id = batch["id"]
        retries = [line for line in self.evidence.client if line["op"] == "batch_retry" and line["id"] == batch_id]
        begun = sum(1 for line in retries if line["status"] == 200)
        perhaps = sum(1 for line in retries if line["status"] is None or line["code"] == "outcome_unknown")
        further = batch["revision"] - 1
        if further < begun:
            self.report.add("lost", f"{batch_id} was retried {begun} times, and is in revision {batch['revision']}")
        if further > begun + perhaps:
            self.report.add("doubled", f"{batch_id} was retried at most {begun + perhaps} times, and is in revision "
                                       f"{batch['revision']}")
        if batch["revision"] not in self.files_of[batch_id]:
            self.report.add("lost", f"{batch_id}: nobody saw the files of its last revision, {batch['revision']}")

    def _check_lines(self, batch_id: str, where: str, custom_ids, wanted: dict[str, int]) -> None:
        counted = Counter(custom_ids)
        for custom_id, times in counted.items():
            if custom_id not in wanted:
                self.report.add("wrong", f"{batch_id}: {where} has a line {custom_id!r}, which nobody sent")
            elif times > 1:
                self.report.add("doubled", f"{custom_id} stands {times} times in {where}")
        for custom_id in wanted.keys() - counted.keys():
            self.report.add("lost", f"{custom_id} is not in {where}")

    def _parsed(self, file_id: str | None, batch_id: str) -> list[dict]:
        if file_id is None:
            return []
        text = self.evidence.files.get(file_id, b"")
        if not text.endswith(b"\n"):
            self.report.add("wrong", f"{batch_id}: {file_id} is empty, or ends in the midst of a line")
        try:
            return [json.loads(line) for line in text.splitlines()]
        except ValueError as error:
            self.report.add("wrong", f"{batch_id}: {file_id} has a line that isn't JSON: {error}")
            return []

    def _check_good(self, good: list[dict], asked: dict, wanted: dict[str, int]) -> None:
        """Lines of an output file: what stands in one once stays as it is."""
        for line in good:
            response = line["response"] or {}
            job = self.jobs.get(response.get("request_id"))
            n = wanted.get(line["custom_id"])
            if job is None or (job["sending"], job["line"]) != (asked["sending"], n):
                self.report.add("wrong", f"{line['custom_id']} is answered by {response.get('request_id')}, which isn't its job")
            elif job["state"] != "succeeded" or line["error"] is not None or response["status_code"] != 200:
                self.report.add("wrong", f"{line['custom_id']} stands in an output file, and is {job['state']}")
            elif response["body"]["choices"][0]["message"]["content"] != asked["jobs"][n]["prompt"]:
                self.report.add("wrong", f"{line['custom_id']}: another answer in the file")

    def _check_last(self, batch_id: str, good: list[dict], bad: list[dict], wanted: dict[str, int]) -> None:
        """The files of the last revision against what the jobs are, and what the batch says of itself."""
        rows = {row["custom_id"]: row for row in self.rows_of[batch_id]}
        for line in bad:
            row = rows.get(line["custom_id"])
            job = self.jobs.get(row["job_id"]) if row else None
            if job is None:
                continue    # Told of above.
            response = line["response"]
            unanswered = job["state"] in ("cancelled", "expired")
            if job["state"] == "succeeded":
                self.report.add("wrong", f"{line['custom_id']} stands in the error file, and succeeded")
            elif unanswered != (response is None) or unanswered != bool((line["error"] or {}).get("code")):
                self.report.add("wrong", f"{line['custom_id']} is {job['state']}, and the file says {line['error']}")
            elif response is not None and (response["request_id"] != job["id"] or response["status_code"] < 400):
                self.report.add("wrong", f"{line['custom_id']} is {job['state']}, and the file says {response['status_code']}")
        for kind, lines in (("output", good), ("error", bad)):
            ends = [rows[line["custom_id"]]["seq"] or 0 for line in lines if line["custom_id"] in rows]
            if ends != sorted(ends) or 0 in ends:
                self.report.add("out_of_order", f"{batch_id}: the lines of its {kind} file are not in the order of their ends")
        counts = self.counts_of[batch_id]
        if counts != {"total": len(wanted), "completed": len(good), "failed": len(bad)}:
            self.report.add("miscounted", f"{batch_id}: {counts}, and its files have {len(good)} and {len(bad)} of {len(wanted)} lines")

    def _check_reads(self) -> None:
        """What was read while a batch ran, and what is read of it afterwards."""
        for line in self.evidence.client:
            if line["op"] != "read" or line["id"] not in self.of_file:
                continue
            batch = self.of_file[line["id"]]
            # The output files of all revisions begin alike; of errors only the last is looked at.
            name = batch["output" if line["kind"] == "output" else "error"]
            text = self.evidence.files.get(name, b"")
            end = line["at"] + line["bytes"]
            if hashlib.sha256(text[line["at"]:end]).hexdigest() != line["sha256"]:
                self.report.add("out_of_order", f"{batch['id']}: bytes {line['at']} to {end} that a client read of its {line['kind']} "
                                                "are not those of the file")
            if line["whole"] and line["complete"] and end != len(text):
                self.report.add("lost", f"{batch['id']}: its {line['kind']} was all read after {end} of {len(text)} bytes")
        complete = {(line["id"], line["kind"]) for line in self.evidence.client
                    if line["op"] == "read" and line["whole"] and line["complete"]}
        for batch_id in self.of_file:
            for kind in ("output", "errors"):
                if (batch_id, kind) not in complete:
                    self.report.add("lost", f"{batch_id}: nobody was told that its {kind} is complete")

    # --- ends and deliveries

    def _check_events(self) -> None:
        ends = Counter((event["job_id"], event["generation"]) for event in self.evidence.events)
        for (job_id, generation), times in ends.items():
            if times > 1:
                self.report.add("doubled", f"{job_id} ended {times} times in generation {generation}")
        for job in self.evidence.jobs:
            silent = job["batch"] in self.of_file and not job["callback"]   # Its batch tells of it.
            if job["state"] in FINAL and not silent and (job["id"], job["generation"]) not in ends:
                self.report.add("undelivered", f"{job['id']} ended without an event")
            if silent and (job["id"], job["generation"]) in ends:
                self.report.add("doubled", f"{job['id']} has an event beside its batch's")
        for batch in self.evidence.file_batches:
            for revision in range(1, batch["revision"] + (batch["status"] in FINAL_BATCH)):
                if (batch["id"], revision) not in ends:
                    self.report.add("undelivered", f"{batch['id']} ended without an event in revision {revision}")
        for event in self.evidence.events:
            if event["job_id"] not in self.told:
                self.report.add("wrong", f"{event['id']} is of a job that is not there")
                continue
            last, type_, _callback = self.told[event["job_id"]]
            if event["generation"] > last or (event["generation"] == last and event["type"] != type_):
                self.report.add("wrong", f"{event['id']}: {event['type']} #{event['generation']}, but {event['job_id']} is {type_} #{last}")
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
            told = receipt["type"].startswith("batch.") if receipt["status"] is None else receipt["type"] == "job." + receipt["status"]
            if receipt["webhook_id"] != receipt["event"] or not told:
                self.report.add("wrong", f"{receipt['webhook_id']}: {receipt['event']} {receipt['type']} {receipt['status']}")
        for (job_id, sequence), several in ids.items():
            if len(several) > 1:
                self.report.add("doubled", f"{job_id} #{sequence} came under {len(several)} ids")
            if job_id not in self.told or not self.told[job_id][2]:
                self.report.add("doubled", f"{job_id} was told of, but nobody asked")
        for webhook_id, several in bodies.items():
            if len(several) > 1:
                self.report.add("doubled", f"{webhook_id} came with {len(several)} bodies")
        for event in self.evidence.events:
            wanted = event["job_id"] in self.told and self.told[event["job_id"]][2]
            if wanted and (event["job_id"], event["generation"]) not in taken:
                self.report.add("undelivered", f"{event['id']} ({event['type']}) never arrived")
        for delivery in self.evidence.deliveries:
            if delivery["state"] != "delivered":
                self.report.add("undelivered", f"{delivery['id']} is {delivery['state']}: {delivery['error']}")
        told = {(e["job_id"], e["generation"]): e["type"] for e in self.evidence.events if e["job_id"] in self.told}
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
        self._check_order_of_batches()
        first: dict[tuple, float] = {}
        for receipt in self.evidence.receiver:
            first.setdefault((receipt["job"], receipt["sequence"]), receipt["t"])
        for (job_id, sequence), when in first.items():
            if when > first.get((job_id, sequence + 1), when):
                self.report.add("out_of_order", f"{job_id}: #{sequence + 1} came before #{sequence}")

    def _check_order_of_batches(self) -> None:
        seen: dict[str, dict] = {}
        for line in self.evidence.client:
            if line["op"] != "batch_seen":
                continue
            before = seen.get(line["id"])
            seen[line["id"]] = line
            if before is None:
                continue
            if before["status"] in FINAL_BATCH and before["revision"] == line["revision"] and before["status"] != line["status"]:
                self.report.add("out_of_order", f"{line['id']} was {before['status']}, then {line['status']}")
            if line["revision"] < before["revision"]:
                self.report.add("out_of_order", f"{line['id']}: revision {line['revision']} after {before['revision']}")
            if line["counts"]["completed"] < before["counts"]["completed"]:
                self.report.add("out_of_order", f"{line['id']}: {line['counts']} after {before['counts']}")
        for batch_id, line in seen.items():
            batch = self.of_file.get(batch_id)
            if batch and (line["status"], line["revision"]) != (batch["status"], batch["revision"]) and line["status"] in FINAL_BATCH:
                if line["revision"] >= batch["revision"]:
                    self.report.add("out_of_order", f"{batch_id} was {line['status']} and is {batch['status']} in the record")

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
            "accepted": sum(len(line["ids"]) for line in self.accepted.values()) + sum(
                len(self.asked[line["sending"]]["jobs"]) for line in self.evidence.client if line["op"] == "accepted_file"),
            "answers that never came": sum(1 for line in self.refused.values() if line["status"] is None),
            "refusals": sum(1 for line in self.refused.values() if line["status"] is not None),
            **{f"jobs {state}": states[state] for state in FINAL},
            "batches": len(self.evidence.batches),
            "batches of files": len(self.evidence.file_batches),
            **{f"batches of files {status}": n for status, n in sorted(Counter(b["status"] for b in self.evidence.file_batches).items())},
            "lines of files": len(self.evidence.lines),
            "revisions after a retry": sum(batch["revision"] - 1 for batch in self.evidence.file_batches),
            "files of batches fetched": len(self.evidence.files),
            "reads of a running batch's output": sum(1 for line in self.evidence.client if line["op"] == "read" and line["bytes"]
                                                     and not line["whole"] and not line["complete"]),
            "webhooks wanted": sum(1 for _ends, _type, callback in self.told.values() if callback),
            "POSTs received": len(self.evidence.receiver),
            "POSTs of an event that had been taken": self._repeated_posts(),
            "starts computed": len(self.evidence.engine),
            "jobs with an equal one's result": sum(1 for job in self.evidence.jobs if job["state"] == "succeeded" and job["attempt"] == 0),
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
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("files/*"))}
    return Evidence(files=files, client=lines("client.jsonl"), receiver=lines("receiver.jsonl"), faults=lines("faults.jsonl"),
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
