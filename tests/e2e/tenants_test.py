"""What tenants know and feel of each other, on the whole stack with the echo engine: one that floods, ids of somebody else, rate
limits."""
import json
import time
import unittest

from world import FORM, REPOSITORY, Client, Receiver, Stack, form

DESCRIPTION = json.loads((REPOSITORY / "schema" / "openapi.json").read_text(encoding="utf-8"))
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "Hi"}]}}
FLOOD = 5000
BETWEEN = 600   # Of the flood, while one job of somebody else waits: queue, what the worker took ahead, and a slow look or two.


class Tenants(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        # A queue that can't grow, so that what stands before a job is known whatever the machine's speed.
        # And a busy machine may take its time to write the flood.
        cls.stack = Stack("--engine", "echo", "--set", "producer:SLUICE_DISPATCH_DEPTH=64", "--set",
                          "producer:SLUICE_SUBMIT_TIMEOUT=60s", "--set", f"producer:SLUICE_TENANT_QUEUED_JOBS_MAX={FLOOD + 1000}")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.first = Client(cls.stack)
        cls.stack.sql("INSERT INTO tenant (id, name, created_at) VALUES ('second', 'second', UTC_TIMESTAMP(6))")
        cls.second = Client(cls.stack)
        cls.second.key = cls.stack.ctl("keys", "create", "--tenant", "second", "--name", "app",
                                 "--scope", "submit", "--scope", "read").strip()

    def test_a_flood_delays_a_single_job_by_a_few_batches(self) -> None:
        flood = self.first.submit({"requests": [{"prompt": f"flood {i}"} for i in range(FLOOD)],
                                   "parameters": {"fault": "slow", "fault_ms": 20, "fault_attempts": 1}})
        self.assertIsNotNone(flood, "the flood was refused")
        again = self.first.call("POST", "/v1/jobs", {"requests": [{"prompt": "more"}] * FLOOD})
        self.assertEqual((again.status, again.body["error"]["code"]), (429, "tenant_queue_full"), "more than may wait")
        self.assertLessEqual(int(again.headers["retry-after"]), 59)
        singles = []
        for i in range(4):
            single = self.second.submit({"prompt": f"single {i}"})
            self.assertEqual(self.second.wait_final(single["id"])["status"], "succeeded")
            singles.append(single["id"])
        for job in (flood["data"][0]["id"], flood["data"][-1]["id"]):
            self.assertEqual(self.first.wait_final(job, 600)["status"], "succeeded")
        for single in singles:
            between, after = map(int, self.stack.sql(
                "SELECT COALESCE(SUM(f.finished_at > s.created_at AND f.finished_at <= s.finished_at), 0), "
                "COALESCE(SUM(f.finished_at IS NULL OR f.finished_at > s.finished_at), 0) FROM job s JOIN job f "
                f"WHERE s.id = '{single}' AND f.batch_id = '{flood['batch_id']}'")[0])
            self.assertLessEqual(between, BETWEEN, f"ended before a single job did ({after} after it)")
            self.assertGreater(after, 0, "the flood was over: it delayed nobody")

    def things_of_the_first(self) -> dict[str, str]:
        """Ids by what stands before them in a path."""
        receiver = Receiver(self.stack.environment["SLUICE_WEBHOOK_SECRET"])
        self.addCleanup(receiver.close)
        endpoint = self.first.call("POST", "/v1/webhook_endpoints", {"url": receiver.url("/own")}).body["id"]
        self.addCleanup(self.first.call, "DELETE", f"/v1/webhook_endpoints/{endpoint}")
        jobs = self.first.submit({"requests": [{"prompt": "mine"}]})
        job = jobs["data"][0]["id"]
        self.first.wait_final(job)
        receiver.wait_for("/own")
        upload = form(json.dumps(LINE).encode(), {"purpose": "batch"})
        file = self.first.call("POST", "/v1/files", upload, headers=FORM).body["id"]
        batch = self.first.call("POST", "/v1/batches", {"input_file_id": file, "endpoint": LINE["url"],
                                                        "completion_window": "24h"}).body["id"]
        delivery = self.first.call("GET", f"/v1/webhook_deliveries?job_id={job}").body["data"][0]["id"]
        return {"/v1/jobs/": job, "batch_id": jobs["batch_id"], "/v1/webhook_endpoints/": endpoint,
                "/v1/webhook_deliveries/": delivery, "/v1/files/": file, "/v1/batches/": batch}

    def test_ids_of_somebody_else_are_like_ids_of_nobody(self) -> None:
        things = self.things_of_the_first()
        # The same but for some digits of the random part: well formed, and nobody's.
        nobodys = {kind: thing[:-6] + ("abcde" if thing[-6:-1] != "abcde" else "bcdef") + thing[-1]
                   for kind, thing in things.items()}
        calls = []      # Method, path up to the id, the rest, body.
        for path, item in DESCRIPTION["paths"].items():
            if "{" not in path or path.startswith(("/v1/admin/", "/v1/models/", "/docs/")):
                continue
            before, after = path.split("{")[0], path.split("}", 1)[1]
            # Other names of a job's id.
            for shape in ("/v1/chat/completions/", "/v1/completions/", "/v1/responses/"):
                prefix = {"/v1/chat/completions/": "chatcmpl-", "/v1/completions/": "cmpl-", "/v1/responses/": "resp_"}[shape]
                for ids in (things, nobodys):
                    ids[shape] = prefix + ids["/v1/jobs/"].removeprefix("job_")
            self.assertIn(before, things, f"{path}: whose ids are these? Make one above")
            for method, operation in item.items():
                content = operation.get("requestBody", {}).get("content", {})
                body = next(iter(content.values())).get("example") if content else None
                calls.append((method.upper(), before, after, body))
        for kind, query in (("/v1/jobs/", "/v1/jobs?after="), ("batch_id", "/v1/jobs?batch_id="),
                            ("/v1/webhook_endpoints/", "/v1/webhook_endpoints?after="),
                            ("/v1/webhook_deliveries/", "/v1/webhook_deliveries?after="),
                            ("/v1/webhook_endpoints/", "/v1/webhook_deliveries?endpoint_id="),
                            ("/v1/jobs/", "/v1/webhook_deliveries?job_id="), ("/v1/files/", "/v1/files?after="),
                            ("/v1/batches/", "/v1/batches?after=")):
            calls.append(("GET", kind, query, None))
        calls.append(("POST", "/v1/files/", "/v1/batches", {"input_file_id": "", "endpoint": LINE["url"], "completion_window": "24h"}))

        def asked(ids: dict[str, str], method: str, kind: str, rest: str, body: object) -> tuple:
            one = ids[kind]
            path = rest + one if rest.endswith("=") else rest if rest.startswith("/v1/") else kind + one + rest
            if isinstance(body, dict) and "input_file_id" in body:
                body = {**body, "input_file_id": one}
            answer = self.second.call(method, path, body)
            headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
            return answer.status, headers, str(answer.body).replace(one, "ID")

        for call in calls:
            theirs = asked(things, *call)
            self.assertEqual(theirs, asked(nobodys, *call), call)
            self.assertNotIn(theirs[0], (401, 403, 405, 429, 500, 503), call)
            if not call[2].endswith("=") and call[2] != "/v1/batches":
                self.assertIn(theirs[0], (404, 501) if call[2] == "/rotate_secret" else (404,), call)
        # And none of it was done.
        for kind, thing in things.items():
            if kind.startswith("/v1/") and "completions" not in kind and "responses" not in kind:
                self.assertEqual(self.first.call("GET", kind + thing).status, 200, kind)
        self.assertEqual(self.first.job(things["/v1/jobs/"])["status"], "succeeded")
        self.assertNotIn("cancel", self.first.call("GET", "/v1/batches/" + things["/v1/batches/"]).body["status"])

    def test_a_limit_holds_while_it_is_set(self) -> None:
        def models(client: Client):
            return client.call("GET", "/v1/models")

        self.assertNotIn("ratelimit", models(self.second).headers)
        self.assertIn("3 requests", self.stack.ctl("limits", "set", "tight", "--quota", "3", "--window", "3600", "--tenant", "second",
                                             "--route", "/v1/models"))
        self.assertRegex(self.stack.ctl("limits", "list"), r"tight +3 +requests +1h +second +\* +/v1/models")
        until = time.monotonic() + 30
        while (answer := models(self.second)).status == 200:
            self.assertLess(time.monotonic(), until, "the limit is not in force")
        self.assertEqual((answer.status, answer.body["error"]["code"]), (429, "rate_limit_exceeded"))
        self.assertEqual(answer.headers["ratelimit-policy"], '"tight";q=3;w=3600')
        self.assertRegex(answer.headers["ratelimit"], r'^"tight";r=0;t=\d+$')
        self.assertLessEqual(int(answer.headers["retry-after"]), 59)
        self.assertEqual(answer.body["violated-policies"], ["tight"])
        self.assertEqual(models(self.first).status, 200)
        self.assertEqual(self.second.call("GET", "/v1/jobs").status, 200)
        self.assertIn("no more", self.stack.ctl("limits", "unset", "tight"))
        while models(self.second).status != 200:
            self.assertLess(time.monotonic(), until, "the limit is still in force")
            time.sleep(0.1)     # Between two looks.
        self.assertIn("nothing is limited", self.stack.ctl("limits", "list"))


if __name__ == "__main__":
    unittest.main()
