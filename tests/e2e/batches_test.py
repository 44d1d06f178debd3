"""/v1/batches on a whole stack: from the uploaded file to the output and error files, through cancellation, expiry, pause,
retry and kills of every process; and after each of them every line stands in exactly one of the two files."""
import http.client
import json
import time
import unittest

from world import FORM, Answer, Client, Receiver, Stack, form

FINAL = {"completed", "failed", "expired", "cancelled"}
ENDPOINT = "/v1/chat/completions"


def line(custom_id: str, text: str = "", **more: object) -> dict:
    """A line whose answer is its text; of `more`, what isn't the line's own goes into the body."""
    own = {name: more.pop(name) for name in ("method", "url", "callback_url") if name in more}
    body = {"messages": [{"role": "user", "content": text or f"answer to {custom_id}"}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body, **own}


def jsonl(lines: list) -> bytes:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines).encode()


class Batches(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo", "--workers", "2", "--set", "SLUICE_RETRY_FIRST=50ms",
                          "--set", "SLUICE_LEASE=3s", "--set", "SLUICE_REPUBLISH_AFTER=1s",
                          "--set", "callback:SLUICE_BATCH_HOLD=2s", "--set", "producer:SLUICE_BATCH_STEP_LINES=100",
                          "--set", "producer:SLUICE_SHARD_LEASE=2s")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.receiver = Receiver(cls.stack.environment["SLUICE_WEBHOOK_SECRET"])
        cls.addClassCleanup(cls.receiver.close)

    def call(self, method: str, path: str, body: object = None, status: int = 200) -> Answer:
        until = time.monotonic() + 60
        while True:
            try:
                answer = self.client.call(method, path, body)
                if answer.status != 503:
                    break
            except (OSError, http.client.HTTPException):
                pass    # The producer was killed: it is back in a moment.
            self.assertLess(time.monotonic(), until, f"{method} {path} got no answer")
            time.sleep(0.05)
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def upload(self, lines: list) -> str:
        answer = self.client.call("POST", "/v1/files", form(jsonl(lines), {"purpose": "batch"}), headers=FORM)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.body["id"]

    def create(self, lines: list, **more: object) -> dict:
        return self.call("POST", "/v1/batches", {"input_file_id": self.upload(lines), "endpoint": ENDPOINT,
                                                 "completion_window": "24h", **more}).body

    def get(self, batch: dict) -> dict:
        return self.call("GET", f"/v1/batches/{batch['id']}").body

    def wait(self, batch: dict, wanted=lambda b: b["status"] in FINAL, seconds: float = 120) -> dict:
        until = time.monotonic() + seconds
        while not wanted(now := self.get(batch)):
            self.assertLess(time.monotonic(), until, now)
            time.sleep(0.05)
        return now

    def content(self, file_id: str | None) -> list[dict]:
        if file_id is None:
            return []
        connection = http.client.HTTPConnection(self.client.url.hostname, self.client.url.port, timeout=90)
        connection.request("GET", f"/v1/files/{file_id}/content", headers={"Authorization": f"Bearer {self.client.key}"})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        self.assertEqual(response.status, 200, text[:300])
        self.assertTrue(text.endswith(b"\n"))
        return [json.loads(one) for one in text.splitlines()]

    def output(self, batch: dict, after: int = 0, limit: int = 10_000, kind: str = "output") -> tuple[str, dict[str, str]]:
        connection = http.client.HTTPConnection(self.client.url.hostname, self.client.url.port, timeout=90)
        connection.request("GET", f"/v1/batches/{batch['id']}/{kind}?after={after}&limit={limit}",
                           headers={"Authorization": f"Bearer {self.client.key}"})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        self.assertEqual(response.status, 200, text[:300])
        return text, {name.lower(): value for name, value in response.getheaders()}

    def check(self, batch: dict, lines: list[dict]) -> tuple[dict[str, dict], dict[str, dict]]:
        """The accounting of a batch that has ended: what stands in its files, by custom_id."""
        counts = batch["request_counts"]
        good, bad = self.content(batch["output_file_id"]), self.content(batch["error_file_id"])
        self.assertEqual((len(good), len(bad)), (counts["completed"], counts["failed"]), batch)
        self.assertEqual(counts["total"], len(lines))
        self.assertEqual(sorted(one["custom_id"] for one in good + bad), sorted(one["custom_id"] for one in lines))
        self.assertEqual(len({one["id"] for one in good + bad}), len(lines))
        texts = {one["custom_id"]: one["body"]["messages"][-1]["content"] for one in lines}
        for one in good:
            self.assertEqual((one["response"]["status_code"], one["error"]), (200, None))
            self.assertEqual(one["response"]["body"]["object"], "chat.completion")
            self.assertEqual(one["response"]["body"]["choices"][0]["message"]["content"], texts[one["custom_id"]])
        self.assertEqual(batch["usage"]["output_tokens"],
                         sum(one["response"]["body"]["usage"]["completion_tokens"] for one in good))
        # What stands in the record beside it.
        rows = self.stack.sql(
            "SELECT f.open_lines, f.lines_in, f.work_due IS NULL, f.close_due IS NULL, b.total - b.succeeded - b.failed - b.dead "
            "- b.cancelled - b.expired, (SELECT COUNT(*) FROM batch_line l WHERE l.batch_id = f.id AND l.seq IS NOT NULL) "
            f"FROM file_batch f JOIN batch b ON b.id = f.id WHERE f.id = '{batch['id']}'")
        self.assertEqual(rows, [["0", str(len(lines)), "1", "1", "0", str(len(lines))]])
        events = self.stack.sql(f"SELECT generation, type FROM event WHERE job_id = '{batch['id']}' ORDER BY generation")
        self.assertEqual([row[0] for row in events], [str(i + 1) for i in range(batch["revision"])])
        self.assertEqual(events[-1][1], f"batch.{batch['status']}")
        return {one["custom_id"]: one for one in good}, {one["custom_id"]: one for one in bad}

    def test_a_batch_runs_to_completion_and_tells_of_it(self) -> None:
        endpoint = self.call("POST", "/v1/webhook_endpoints", {"url": self.receiver.url("/all"), "events": ["batch.completed"]}, 201)
        lines = [line("plain"), line("ü-🎉", "Grüße 🎉"), line("bad", fault="permanent"), line("again", fault="transient"),
                 line("dead", fault="transient", fault_attempts=99),
                 line("told", callback_url=self.receiver.url("/line"))]
        file_with_gaps = [lines[0], "", *lines[1:4], "   ", *lines[4:], ""]
        batch = self.create(file_with_gaps, metadata={"team": "ü"}, callback_url=self.receiver.url("/batch"))
        self.assertEqual((batch["object"], batch["status"], batch["errors"], batch["metadata"]),
                         ("batch", "validating", None, {"team": "ü"}))
        self.assertEqual(batch["expires_at"] - batch["created_at"], 24 * 3600)
        done = self.wait(batch)
        self.assertEqual(done["status"], "completed")
        for key in ("in_progress_at", "finalizing_at", "completed_at"):
            self.assertGreaterEqual(done[key], done["created_at"])
        good, bad = self.check(done, lines)
        self.assertEqual(set(good), {"plain", "ü-🎉", "again", "told"})
        self.assertEqual(bad["bad"]["response"]["status_code"], 400)
        self.assertIn("message", bad["bad"]["response"]["body"]["error"])
        self.assertEqual(bad["dead"]["response"]["status_code"], 500)

        for path in ("/batch", "/all"):
            event = json.loads(self.receiver.wait_for(path)[0].body)
            self.assertEqual((event["object"], event["type"], event["data"]), ("event", "batch.completed", {"id": batch["id"]}))
        told = json.loads(self.receiver.wait_for("/line")[0].body)
        self.assertEqual((told["type"], told["data"]["batch_id"]), ("job.succeeded", batch["id"]))
        self.call("DELETE", f"/v1/webhook_endpoints/{endpoint.body['id']}")
        jobs = self.call("GET", f"/v1/jobs?batch_id={batch['id']}").body["data"]
        self.assertEqual({job["id"] for job in jobs}, {one["response"]["request_id"] for one in [*good.values(), *bad.values()]})
        # What was read while it ran is what the file holds, to the byte.
        text, headers = self.output(batch, limit=2)
        rest, headers = self.output(batch, after=int(headers["x-next-after"]))
        self.assertEqual(headers["x-complete"], "true")
        self.assertEqual([json.loads(one) for one in (text + rest).splitlines()], self.content(done["output_file_id"]))

    def test_every_bad_line_is_reported_and_nothing_runs(self) -> None:
        good = line("same")
        lines = [good, "{no json", line("same"), "[]", {"method": "POST"}, line("x", method="GET"), line("y", url="/v1/completions"),
                 line("z", model="none"), line("s", stream=True), {**line("b"), "body": 7}]
        batch = self.wait(self.create(lines))
        self.assertEqual(batch["status"], "failed")
        self.assertEqual([(one["line"], one["param"]) for one in batch["errors"]["data"]],
                         [(2, None), (3, "custom_id"), (4, None), (5, "custom_id"), (6, "method"), (7, "url"),
                          (8, "body.model"), (9, "body.stream"), (10, "body")])
        self.assertEqual(batch["request_counts"], {"total": 0, "completed": 0, "failed": 0})
        self.assertEqual(self.call("GET", f"/v1/jobs?batch_id={batch['id']}").body["data"], [])
        self.call("POST", f"/v1/batches/{batch['id']}/retry", status=409)
        # More than the batch itself can tell: the error file has them all.
        many = self.wait(self.create(["{no json"] * 150))
        self.assertEqual((len(many["errors"]["data"]), many["errors"]["count"]), (100, 150))
        self.assertEqual([one["error"]["line"] for one in self.content(many["error_file_id"])], list(range(1, 151)))
        listed = next(one for one in self.call("GET", "/v1/batches").body["data"] if one["id"] == many["id"])
        self.assertEqual((len(listed["errors"]["data"]), listed["errors"]["count"]), (10, 150))
        empty = self.wait(self.create([" ", ""]))
        self.assertEqual((empty["status"], empty["errors"]["data"][0]["code"]), ("failed", "empty_file"))

        dry = self.create(lines, validate_only=True)
        self.assertEqual((dry["valid"], dry["error_count"], dry["errors"]["data"]), (False, 9, batch["errors"]["data"]))
        dry = self.create([line("a", "three words here"), line("b", "two words", max_tokens=5)], validate_only=True)
        self.assertEqual((dry["valid"], dry["request_counts"]["total"], dry["estimate"]["prompt_tokens"]), (True, 2, 5))

    def test_a_dry_run_tells_when_a_batch_would_end(self) -> None:
        self.wait(self.create([line(str(i), "some words") for i in range(20)]))
        lines = [line(str(i), "a few words", max_tokens=50) for i in range(1000)]
        ended = time.monotonic() + 20
        while True:     # Workers tell their speed with a heartbeat.
            now = int(time.time())
            estimate = self.create(lines, validate_only=True, completion_window="7d")["estimate"]
            if estimate["finish_at"] is not None or time.monotonic() > ended:
                break
            time.sleep(0.5)
        self.assertEqual(estimate["completion_tokens_max"], 50_000)
        self.assertLessEqual(now, estimate["start_at"])
        self.assertLess(estimate["start_at"], estimate["finish_at"])
        self.assertTrue(estimate["meets_window"])

    def test_bad_requests_name_what_is_wrong(self) -> None:
        file_id = self.upload([line("a")])
        for body, status, param in (
                ({}, 400, "input_file_id"), ({"input_file_id": file_id}, 400, "endpoint"),
                ({"input_file_id": file_id, "endpoint": "/v1/images"}, 400, "endpoint"),
                ({"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "8d"}, 400, "completion_window"),
                ({"input_file_id": file_id, "endpoint": ENDPOINT, "callback_url": "ftp://x"}, 400, "callback_url"),
                ({"input_file_id": "file-none", "endpoint": ENDPOINT}, 404, "input_file_id")):
            with self.subTest(body):
                self.assertEqual(self.call("POST", "/v1/batches", body, status).body["error"]["param"], param)
        self.call("GET", "/v1/batches/batch_01920000-0000-7000-8000-000000000000", status=404)
        self.call("GET", "/v1/batches?limit=101", status=400)

    def test_a_request_that_is_sent_again_makes_one_batch(self) -> None:
        body = {"input_file_id": self.upload([line("a")]), "endpoint": ENDPOINT}
        for first, again in (({"Idempotency-Key": "once"},) * 2, ({"X-Stainless-Retry-Count": "0"}, {"X-Stainless-Retry-Count": "1"})):
            made = self.client.call("POST", "/v1/batches", body, headers=first)
            self.assertEqual(made.status, 200)
            self.assertEqual(self.client.call("POST", "/v1/batches", body, headers=again).body["id"], made.body["id"])
        other = self.client.call("POST", "/v1/batches", {**body, "priority": "normal"}, headers={"Idempotency-Key": "once"})
        self.assertEqual((other.status, other.body["error"]["code"]), (422, "idempotency_key_reused"))

    def test_a_request_that_is_sent_again_needs_its_file_no_more(self) -> None:
        file_id = self.upload([line("a")])
        body = {"input_file_id": file_id, "endpoint": ENDPOINT}
        key = {"Idempotency-Key": "without-its-file"}
        made = self.client.call("POST", "/v1/batches", body, headers=key)
        self.assertEqual(made.status, 200, made.body)
        self.wait(made.body)
        self.call("DELETE", f"/v1/files/{file_id}")
        again = self.client.call("POST", "/v1/batches", body, headers=key)
        self.assertEqual((again.status, again.body["id"]), (200, made.body["id"]), again.body)
        other = self.client.call("POST", "/v1/batches", body, headers={"Idempotency-Key": "another"})
        self.assertEqual((other.status, other.body["error"]["code"]), (404, "file_not_found"))

    def test_lists_go_on_where_a_page_ended(self) -> None:
        file_id = self.upload([line("a")])
        made = [self.call("POST", "/v1/batches", {"input_file_id": file_id, "endpoint": ENDPOINT}).body["id"] for _ in range(103)]
        seen: list[str] = []
        query = ""
        while True:
            page = self.call("GET", f"/v1/batches?limit=20{query}").body
            seen += [one["id"] for one in page["data"]]
            if not page["has_more"]:
                break
            query = f"&after={page['last_id']}"
        self.assertEqual(seen[:103], made[::-1])
        self.assertEqual(len(seen), len(set(seen)))

    def test_cancelling_keeps_what_is_done(self) -> None:
        lines = [line(f"quick-{i}") for i in range(300)] + [line(f"slow-{i}", fault="slow", fault_ms=60_000) for i in range(300)]
        batch = self.create(lines)
        self.wait(batch, lambda b: b["request_counts"]["completed"] >= 100)
        for _ in range(2):
            self.assertIn(self.call("POST", f"/v1/batches/{batch['id']}/cancel").body["status"], ("cancelling", "cancelled"))
        done = self.wait(batch)
        self.assertEqual(done["status"], "cancelled")
        good, bad = self.check(done, lines)
        self.assertGreaterEqual(len(good), 100)
        self.assertGreaterEqual(len(bad), 300)
        self.assertEqual({(one["response"], one["error"]["code"]) for one in bad.values()}, {(None, "batch_cancelled")})
        self.assertEqual(self.call("POST", f"/v1/batches/{batch['id']}/cancel").body["status"], "cancelled")

    def test_what_is_not_done_in_time_expires_and_can_be_retried(self) -> None:
        lines = [line("quick"), line("slow", fault="slow", fault_ms=6_000), line("bad", fault="permanent", fault_attempts=1)]
        batch = self.create(lines, completion_window="4s")
        done = self.wait(batch)
        self.assertEqual(done["status"], "expired")
        good, bad = self.check(done, lines)
        self.assertEqual(set(good), {"quick"})
        self.assertEqual(bad["slow"]["error"]["code"], "batch_expired")
        # The window is as short again: now nothing of it is left to wait for but the slow one.
        self.stack.sql(f"UPDATE file_batch SET window_s = 60 WHERE id = '{batch['id']}'")
        again = self.call("POST", f"/v1/batches/{batch['id']}/retry").body
        self.assertEqual((again["status"], again["revision"]), ("in_progress", 2))
        twice = self.wait(batch)
        self.assertEqual((twice["status"], twice["revision"]), ("completed", 2))
        better, _ = self.check(twice, lines)
        self.assertLessEqual({"quick", "slow"}, set(better))
        self.assertNotEqual(twice["output_file_id"], done["output_file_id"])
        self.assertEqual(len(self.content(done["output_file_id"])), 1)     # Published files stay as they are.
        # Lines that had succeeded come first, as before.
        self.assertEqual(self.content(twice["output_file_id"])[0], self.content(done["output_file_id"])[0])

    def test_a_paused_batch_waits(self) -> None:
        file_id = self.upload([line(f"{i}") for i in range(50)])
        batch = self.call("POST", "/v1/batches", {"input_file_id": file_id, "endpoint": ENDPOINT}).body
        self.assertTrue(self.call("POST", f"/v1/batches/{batch['id']}/pause").body["paused"])
        self.wait(batch, lambda b: b["status"] == "in_progress")
        # What was started before goes on; from then on nothing is.
        running = f"SELECT COUNT(*) FROM job WHERE batch_id = '{batch['id']}' AND state = 'running'"
        self.wait(batch, lambda _: self.stack.sql(running) == [["0"]])
        before = self.get(batch)["request_counts"]
        # Another batch, begun later, passes it.
        other = self.wait(self.create([line("other")]))
        self.assertEqual(other["status"], "completed")
        self.assertEqual(self.get(batch)["request_counts"], before)
        self.assertLess(before["completed"], 50)
        self.assertFalse(self.call("POST", f"/v1/batches/{batch['id']}/resume").body["paused"])
        self.assertEqual(self.wait(batch)["request_counts"]["completed"], 50)

    def test_kills_change_nothing_in_the_accounting(self) -> None:
        def fault(i: int) -> dict:
            if i % 50 == 7:
                return {"fault": "permanent"}
            if i % 20 == 3:
                return {"fault": "transient"}
            return {"fault": "crash", "fault_attempts": 1} if i == 1_000 else {}

        lines = [line(f"request-{i}", **fault(i)) for i in range(2_000)]
        batch = self.create(lines, callback_url=self.receiver.url("/killed"))
        self.wait(batch, lambda b: b["request_counts"]["total"] == 2_000)
        self.stack.kill("producer")
        first, headers = "", {}
        self.wait(batch, lambda b: b["request_counts"]["completed"] >= 300)
        first, headers = self.output(batch)
        self.stack.kill("worker")
        self.wait(batch, lambda b: b["request_counts"]["completed"] >= 600)
        self.stack.kill("producer")
        self.wait(batch, lambda b: b["request_counts"]["completed"] >= 1_200)
        self.stack.kill("callback")
        self.stack.kill("worker")
        self.wait(batch, lambda b: b["status"] in FINAL | {"finalizing"})
        self.stack.kill("callback")
        done = self.wait(batch)
        self.assertEqual(done["status"], "completed")
        good, bad = self.check(done, lines)
        self.assertEqual(set(bad), {f"request-{i}" for i in range(2_000) if i % 50 == 7})
        # The prefix that was read while it ran is that of the file.
        whole, headers = self.output(batch)
        self.assertTrue(whole.startswith(first))
        self.assertEqual(headers["x-complete"], "true")
        events = {d.webhook_id for d in self.receiver.wait_for("/killed")}
        self.assertEqual(len(events), 1)

    def told_of(self, path: str, batch: dict, jobs: set[str]) -> list[dict]:
        """The distinct events `batch.lines` at `path`, once they tell of all of these jobs."""
        until = time.monotonic() + 60
        while True:
            arrived = [d for d in self.receiver.wait_for(path) if json.loads(d.body)["type"] == "batch.lines"]
            groups = {d.webhook_id: json.loads(d.body) for d in arrived}
            told = {one["data"]["id"] for group in groups.values() for one in group["data"]["events"]}
            if told >= jobs:
                break
            self.assertLess(time.monotonic(), until, f"{len(jobs - told)} lines were not told of")
            time.sleep(0.1)
        self.assertEqual(told, jobs)
        self.assertTrue(all(d.signature_ok for d in arrived))
        for delivery in arrived:    # The same at each attempt.
            self.assertEqual(json.loads(delivery.body), groups[delivery.webhook_id])
        for name, group in groups.items():
            self.assertEqual((group["id"], group["data"]["batch_id"]), (name, batch["id"]))
        return list(groups.values())

    def jobs_of(self, batch: dict) -> set[str]:
        return {row[0] for row in self.stack.sql(f"SELECT id FROM job WHERE batch_id = '{batch['id']}'")}

    def test_lines_are_told_of_many_at_a_time(self) -> None:
        own = self.receiver.url("/together-own")
        lines = [line(f"{i}", **({"fault": "permanent"} if i == 3 else {})) for i in range(25)] + [line("own", callback_url=own)]
        self.receiver.plan["/together"] = [500]
        batch = self.create(lines, callback_url=self.receiver.url("/together"), callback_every={"lines": 10, "seconds": 3600})
        self.assertEqual(batch["callback_every"], {"lines": 10, "seconds": 3600})
        done = self.wait(batch)
        self.assertEqual(done["status"], "completed")
        self.check(done, lines)
        elsewhere = self.stack.sql("SELECT l.job_id FROM batch_line l "
                                   f"WHERE l.batch_id = '{batch['id']}' AND l.custom_id = 'own'")[0][0]
        # What is left over waits for no hour.
        groups = self.told_of("/together", batch, self.jobs_of(batch) - {elsewhere})
        events = [one for group in groups for one in group["data"]["events"]]
        self.assertEqual(len({one["id"] for one in events}), 25)
        self.assertEqual(len(events), 25)
        self.assertTrue(all(1 <= len(group["data"]["events"]) <= 10 for group in groups))
        self.assertIn(10, [len(group["data"]["events"]) for group in groups])
        self.assertEqual([one["type"] for one in events].count("job.failed"), 1)
        self.assertTrue(all(one["data"]["result"]["text"] for one in events if one["type"] == "job.succeeded"))
        self.told_of("/together-own", batch, {elsewhere})
        self.assertEqual(json.loads(self.receiver.wait_for("/together", type_="batch.completed")[0].body)["data"], {"id": batch["id"]})
        self.assertEqual(self.stack.sql("SELECT COUNT(*) FROM line_event"), [["0"]])
        self.assertEqual(self.stack.sql(f"SELECT COUNT(*) FROM delivery WHERE job_id = '{batch['id']}'"), [[str(len(groups) + 2)]])

    def test_lines_that_are_slow_are_told_of_in_time(self) -> None:
        lines = [line("quick"), line("slow", fault="slow", fault_ms=60_000)]
        batch = self.create(lines, callback_url=self.receiver.url("/timely"), callback_every={"lines": 1000, "seconds": 1})
        self.receiver.wait_for("/timely", seconds=30)
        self.assertEqual(self.get(batch)["status"], "in_progress")
        self.call("POST", f"/v1/batches/{batch['id']}/cancel")
        self.wait(batch)
        types = {one["type"] for group in self.told_of("/timely", batch, self.jobs_of(batch)) for one in group["data"]["events"]}
        self.assertEqual(types, {"job.succeeded", "job.cancelled"})

    def test_kills_lose_no_line_of_those_told_together(self) -> None:
        lines = [line(f"request-{i}") for i in range(1_000)]
        batch = self.create(lines, callback_url=self.receiver.url("/survives"), callback_every={"lines": 20, "seconds": 2})
        for completed in (100, 300, 500, 700):
            self.wait(batch, lambda b, wanted=completed: b["request_counts"]["completed"] >= wanted)
            killed = self.stack.pid("callback")
            self.stack.kill("callback")
            self.wait(batch, lambda _, gone=killed: self.stack.pid("callback") not in (None, gone))
        done = self.wait(batch)
        self.assertEqual(done["status"], "completed")
        groups = self.told_of("/survives", batch, self.jobs_of(batch))
        # Each end became part of one group, however often that was sent.
        self.assertEqual(sum(len(group["data"]["events"]) for group in groups), 1_000)

    def test_an_operators_redrive_makes_a_further_revision(self) -> None:
        lines = [line("good"), line("dead", fault="transient", fault_attempts=99)]
        done = self.wait(self.create(lines))
        _, bad = self.check(done, lines)
        admin = Client(self.stack)
        admin.key = self.stack.environment["SLUICE_ADMIN_KEY"]
        job_id = bad["dead"]["response"]["request_id"]
        answer = admin.call("POST", "/v1/admin/dead_letters/redrive", {"ids": [job_id]})
        self.assertIn(answer.status, (200, 202), answer.body)
        twice = self.wait(done, lambda b: b["revision"] == 2 and b["status"] in FINAL)
        _, bad = self.check(twice, lines)
        self.assertEqual(set(bad), {"dead"})
        self.assertNotEqual(twice["error_file_id"], done["error_file_id"])


if __name__ == "__main__":
    unittest.main()
