"""Webhook endpoints that a tenant registers, and its deliveries: on the whole stack with the echo engine."""
import http.client
import json
import shutil
import subprocess
import time
import unittest
from urllib.parse import urlsplit

from world import CLIENTS, FORM, NODE, Answer, Client, Delivery, Receiver, Stack, form, needs_clients, signature_ok

OTHER_KEY = "another-tenants-key-0123456789abcdef"


class Webhooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo", "--set", "SLUICE_WEBHOOK_RETRY_WAITS=0s,1s,1s",
                          "--set", "SLUICE_WEBHOOK_SECRET_KEEP=0ms", "--set", "SLUICE_WEBHOOK_FAILURES_TO_REST=1000")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.receiver = Receiver(cls.stack.environment["SLUICE_WEBHOOK_SECRET"])
        cls.addClassCleanup(cls.receiver.close)

    def setUp(self) -> None:
        self.path = "/" + self.id().rsplit(".", 1)[1]
        # Events of the last test's jobs must not find this one's endpoints.
        self.wait_until(lambda: self.stack.sql("SELECT COUNT(*) FROM event WHERE publish_due IS NOT NULL") == [["0"]],
                        "events stay undecided")

    def tearDown(self) -> None:
        for endpoint in self.call("GET", "/v1/webhook_endpoints?limit=100").body["data"]:
            self.call("DELETE", f"/v1/webhook_endpoints/{endpoint['id']}")

    def call(self, method: str, path: str, body: object = None, status: int = 200, **more: object) -> Answer:
        answer = self.client.call(method, path, body, **more)
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def register(self, path: str = "", **fields: object) -> dict:
        return self.call("POST", "/v1/webhook_endpoints", {"url": self.receiver.url(path or self.path), **fields}, 201).body

    def ended_job(self, **fields: object) -> str:
        job = self.client.submit({"prompt": "tell me", **fields})
        self.client.wait_final(job["id"])
        return job["id"]

    def wait_until(self, condition, what: str) -> object:
        until = time.monotonic() + 60
        while not (found := condition()):
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.1)
        return found

    def delivery(self, **filters: str) -> dict:
        """The one delivery of these, once it is over."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())

        def over() -> dict | None:
            data = self.call("GET", f"/v1/webhook_deliveries?{query}").body["data"]
            return data[0] if data and data[0]["status"] != "pending" else None
        return self.wait_until(over, f"no delivery of {query} is over")

    def test_endpoints_get_the_events_that_they_chose(self) -> None:
        every, failed = self.register(), self.register("/failed", events=["job.failed", "job.dead"])
        self.assertEqual((every["events"], every["status"], every["object"]), (["*"], "enabled", "webhook_endpoint"))
        good = self.ended_job()
        bad = self.ended_job(parameters={"fault": "permanent"})
        arrived = self.receiver.wait_for(self.path, 2)
        self.assertEqual({json.loads(d.body)["data"]["id"] for d in arrived}, {good, bad})
        alone = self.receiver.wait_for("/failed", 1)
        self.assertEqual([json.loads(d.body)["data"]["id"] for d in alone], [bad])
        for delivery, secret in [(arrived[0], every["secret"]), (alone[0], failed["secret"])]:
            self.assertTrue(signature_ok(secret, delivery.headers, delivery.body))
            self.assertFalse(delivery.signature_ok, "signed with the tenant's secret, too")
        both = [d for d in arrived if json.loads(d.body)["data"]["id"] == bad]
        self.assertEqual((both[0].webhook_id, both[0].body), (alone[0].webhook_id, alone[0].body))

    def test_a_callback_url_and_an_endpoint_both_get_it(self) -> None:
        made = self.register()
        job = self.ended_job(callback_url=self.receiver.url("/own"))
        own, registered = self.receiver.wait_for("/own")[0], self.receiver.wait_for(self.path)[0]
        self.assertTrue(own.signature_ok)
        self.assertEqual((own.webhook_id, own.body), (registered.webhook_id, registered.body))

        def both() -> list | None:
            listed = self.call("GET", f"/v1/webhook_deliveries?job_id={job}").body["data"]
            return listed if [d["status"] for d in listed] == ["delivered"] * 2 else None
        listed = self.wait_until(both, "not both are delivered")
        self.assertEqual({d["endpoint_id"] for d in listed}, {None, made["id"]})
        self.assertEqual({d["event_id"] for d in listed}, {own.webhook_id})

    def test_secrets_are_shown_once_and_change_over(self) -> None:
        made = self.register()
        one = f"/v1/webhook_endpoints/{made['id']}"
        self.assertNotIn("secret", self.call("GET", one).body)
        self.assertNotIn("secret", self.call("GET", "/v1/webhook_endpoints").body["data"][0])
        answer = self.call("POST", f"{one}/rotate_secret", {})
        self.assertEqual(answer.headers["cache-control"], "no-store")
        rotated = answer.body
        self.assertNotEqual(rotated["secret"], made["secret"])
        self.assertAlmostEqual(rotated["old_secret_expires_at"], time.time() + 24 * 3600, delta=600)
        self.call("POST", f"{one}/test", status=202)
        delivery = self.receiver.wait_for(self.path)[0]
        self.assertEqual(len(delivery.headers["webhook-signature"].split()), 2)
        for secret in (made["secret"], rotated["secret"]):
            self.assertTrue(signature_ok(secret, delivery.headers, delivery.body))
        own = "whsec_" + "QUJD" * 8
        last = self.call("POST", f"{one}/rotate_secret", {"secret": own, "old_expires_in": 0}).body
        self.assertEqual((last["secret"], last["old_secret_expires_at"]), (own, None))
        self.call("POST", f"{one}/test", status=202)
        delivery = self.receiver.wait_for(self.path, 2)[1]
        self.assertEqual(len(delivery.headers["webhook-signature"].split()), 1)
        self.assertTrue(signature_ok(own, delivery.headers, delivery.body))

    @unittest.skipUnless(NODE.exists() or shutil.which("node"), "there is no node")
    def test_a_key_pair_signs_and_its_private_key_is_never_shown(self) -> None:
        made = self.register(signing="ed25519", events=["job.dead"])
        one = f"/v1/webhook_endpoints/{made['id']}"
        self.assertEqual(made["signing"], "ed25519")
        self.assertRegex(made["public_key"], "^whpk_[A-Za-z0-9+/]{43}=$")
        self.assertEqual(self.call("GET", one).body, made)
        self.call("POST", f"{one}/test", status=202)
        delivery = self.receiver.wait_for(self.path)[0]
        self.assertRegex(delivery.headers["webhook-signature"], "^v1a,[A-Za-z0-9+/]{86}==$")
        self.assertEqual(self.verified(made["public_key"], delivery), {"good": 1, "forged": 0})
        rotated = self.call("POST", f"{one}/rotate_secret", {}).body
        self.assertNotIn("secret", {*made, *rotated})
        self.assertNotEqual(rotated["public_key"], made["public_key"])
        self.assertAlmostEqual(rotated["old_secret_expires_at"], time.time() + 24 * 3600, delta=600)
        self.call("POST", f"{one}/test", status=202)
        both = self.receiver.wait_for(self.path, 2)[1]
        self.assertEqual(len(both.headers["webhook-signature"].split()), 2)
        for key in (made["public_key"], rotated["public_key"]):
            self.assertEqual(self.verified(key, both), {"good": 1, "forged": 0})
        # Of the example that other senders of Standard Webhooks are tested with: a seed and its public key.
        own = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
        last = self.call("POST", f"{one}/rotate_secret", {"secret": own, "old_expires_in": 0}).body
        self.assertEqual(last["public_key"], "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
        self.assertNotIn("whsk_", json.dumps(last))
        shared = self.call("POST", f"{one}/rotate_secret", {"secret": "whsec_" + "QUJD" * 8}, 400).body["error"]
        self.assertEqual((shared["param"], shared["code"]), ("secret", "invalid_value"))

    def verified(self, public_key: str, delivery: Delivery) -> dict:
        case = {"public_key": public_key, "headers": delivery.headers, "body": delivery.body.decode()}
        node = str(NODE) if NODE.exists() else "node"
        done = subprocess.run([node, "verify_ed25519.mjs"], cwd=CLIENTS / "webhooks", input=json.dumps(case), capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_an_ordered_endpoint_gets_the_earlier_revision_first(self) -> None:
        ordered, free = self.register(ordered=True, events=["batch.completed"]), self.register("/any", events=["batch.completed"])
        self.assertEqual((ordered["ordered"], free["ordered"]), (True, False))
        self.receiver.plan[self.path] = [500, 500]
        line = {"custom_id": "bad", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x", "fault": "permanent"}}
        file_id = self.call("POST", "/v1/files", form(json.dumps(line).encode(), {"purpose": "batch"}), headers=FORM).body["id"]
        batch = self.call("POST", "/v1/batches", {"input_file_id": file_id, "endpoint": "/v1/completions"}).body
        one = f"/v1/batches/{batch['id']}"
        self.wait_until(lambda: self.call("GET", one).body["status"] == "completed", "the batch did not end")
        self.call("POST", f"{one}/retry")
        # Wherever the order does not count, the second is there while the first is still refused.
        arrived = [json.loads(d.body) for d in self.receiver.wait_for(self.path, 4)]
        self.assertEqual([event["sequence"] for event in arrived], [1, 1, 1, 2])
        self.assertEqual({event["data"]["id"] for event in arrived}, {batch["id"]})
        self.assertEqual([json.loads(d.body)["sequence"] for d in self.receiver.wait_for("/any", 2)], [1, 2])
        changed = self.call("POST", f"/v1/webhook_endpoints/{ordered['id']}", {"ordered": False}).body
        self.assertFalse(changed["ordered"])

    def test_a_test_event(self) -> None:
        made = self.register(events=["job.dead"])
        sent = self.call("POST", f"/v1/webhook_endpoints/{made['id']}/test", status=202).body
        event = json.loads(self.receiver.wait_for(self.path)[0].body)
        self.assertEqual((event["id"], event["type"], event["object"]), (sent["event_id"], "webhook_endpoint.test", "event"))
        self.assertEqual(event["data"]["id"], made["id"])
        self.assertEqual(self.delivery(event_id=sent["event_id"])["status"], "delivered")

    def test_gone_disables_at_once_and_tells_the_others(self) -> None:
        gone = self.register()
        self.register("/watch", events=["webhook_endpoint.disabled"])
        self.receiver.plan[self.path] = [410] * 9
        self.ended_job()
        told = json.loads(self.receiver.wait_for("/watch")[0].body)
        self.assertEqual(told["type"], "webhook_endpoint.disabled")
        self.assertEqual((told["data"]["id"], told["data"]["disabled_reason"]), (gone["id"], "gone"))
        failed = self.delivery(endpoint_id=gone["id"])
        self.ended_job()
        shown = self.call("GET", f"/v1/webhook_endpoints/{gone['id']}").body
        self.assertEqual((shown["status"], shown["disabled_reason"]), ("disabled", "gone"))
        self.assertEqual(len(self.receiver.wait_for(self.path)), 1)
        refused = self.call("POST", f"/v1/webhook_deliveries/{failed['id']}/replay", status=409)
        self.assertEqual(refused.body["error"]["code"], "webhook_endpoint_disabled")
        self.call("POST", f"/v1/webhook_endpoints/{gone['id']}/test", status=409)
        # Enabled again it is sent to again, and what failed can be replayed.
        self.receiver.plan[self.path] = []
        self.call("POST", f"/v1/webhook_endpoints/{gone['id']}", {"enabled": True})
        self.call("POST", f"/v1/webhook_deliveries/{failed['id']}/replay", status=202)
        over = self.delivery(event_id=failed["event_id"])
        self.assertEqual((over["id"], over["status"], over["attempts"]), (failed["id"], "delivered", 2))
        # The second job's, should it have been decided as late as this, may have come as well.
        again = [d for d in self.receiver.wait_for(self.path, 2) if d.webhook_id == failed["event_id"]]
        self.assertEqual([d.body for d in again], [again[0].body] * 2)

    def test_what_waits_for_a_disabled_endpoint_is_not_sent(self) -> None:
        for turn in range(3):       # On a machine that stands still for seconds all attempts may be over before it is disabled.
            path = f"{self.path}/{turn}"
            made = self.register(path)
            self.receiver.plan[path] = [500] * 9
            self.ended_job()
            self.receiver.wait_for(path)
            self.call("POST", f"/v1/webhook_endpoints/{made['id']}", {"enabled": False})
            over = self.delivery(endpoint_id=made["id"])
            self.assertEqual(over["status"], "failed")
            if over["attempts"] < 4:
                break
        self.assertIn("disabled", over["last_error"])
        self.assertEqual(len(self.receiver.wait_for(path)), over["attempts"])

    def test_every_attempt_is_listed(self) -> None:
        made = self.register()
        self.receiver.plan[self.path] = [500, 503]
        self.ended_job()
        delivery = self.delivery(endpoint_id=made["id"])
        self.assertEqual((delivery["status"], delivery["attempts"], delivery["last_status"]), ("delivered", 3, 200))
        self.assertIsNone(delivery["last_error"])
        listed = self.call("GET", f"/v1/webhook_deliveries/{delivery['id']}/attempts").body
        self.assertEqual([(a["attempt"], a["status"]) for a in listed["data"]], [(1, 500), (2, 503), (3, 200)])
        for before, after in zip(listed["data"], listed["data"][1:]):
            self.assertLess(before["started_at"], after["started_at"])
        self.assertEqual(self.call("GET", f"/v1/webhook_deliveries/{delivery['id']}").body, delivery)

    def test_all_that_failed_since_a_time_is_replayed(self) -> None:
        made = self.register()
        self.receiver.plan[self.path] = [500] * 9
        began = int(time.time()) - 1
        jobs = {self.ended_job() for _ in range(3)}
        query = f"/v1/webhook_deliveries?endpoint_id={made['id']}&status=failed"
        self.wait_until(lambda: len(self.call("GET", query).body["data"]) == 3, "three deliveries did not fail")
        self.receiver.plan[self.path] = []
        answer = self.call("POST", "/v1/webhook_deliveries/replay", {"since": began, "endpoint_id": made["id"]}, 202).body
        self.assertEqual((answer["replayed"], answer["has_more"]), (3, False))
        arrived = self.receiver.wait_for(self.path, 12)[9:]
        self.assertEqual({json.loads(d.body)["data"]["id"] for d in arrived}, jobs)
        delivered = query.replace("failed", "delivered")
        self.wait_until(lambda: len(self.call("GET", delivered).body["data"]) == 3, "three deliveries were not replayed")
        nothing = self.call("POST", "/v1/webhook_deliveries/replay", {"since": began, "endpoint_id": made["id"]}, 202).body
        self.assertEqual(nothing["replayed"], 0)
        all_of_it = {"since": began, "endpoint_id": made["id"], "status": "any"}
        self.assertEqual(self.call("POST", "/v1/webhook_deliveries/replay", all_of_it, 202).body["replayed"], 3)
        self.receiver.wait_for(self.path, 15)
        self.assertEqual(self.call("POST", "/v1/webhook_deliveries/replay", {"since": int(time.time()) + 60}, 202)
                         .body["replayed"], 0)

    def test_bad_requests_name_the_field(self) -> None:
        url = self.receiver.url()
        for body, param, code in [
                ({}, "url", "missing_field"), ({"url": "ftp://x/y"}, "url", "invalid_value"),
                ({"url": "http://user:word@x/"}, "url", "invalid_value"), ({"url": url, "events": []}, "events", "invalid_type"),
                ({"url": url, "events": ["job.exploded"]}, "events[0]", "invalid_value"),
                ({"url": url, "secret": "whsec_c2hvcnQ="}, "secret", "invalid_value"),
                ({"url": url, "secret": "plain"}, "secret", "invalid_value"),
                ({"url": url, "ordered": "yes"}, "ordered", "invalid_type"), ({"url": url, "signing": "rsa"}, "signing", "invalid_value"),
                ({"url": url, "signing": "ed25519", "secret": "whsec_" + "QUJD" * 8}, "secret", "invalid_value"),
                ({"url": url, "description": "x" * 501}, "description", "invalid_value"),
                ({"url": url, "enabled": True}, "enabled", "unknown_field"), ({"url": url, "colour": 1}, "colour", "unknown_field")]:
            with self.subTest(body):
                error = self.call("POST", "/v1/webhook_endpoints", body, 400).body["error"]
                self.assertEqual((error["param"], error["code"]), (param, code))
        self.call("POST", "/v1/webhook_endpoints", b"{", 400)
        for path in ("/v1/webhook_endpoints?limit=0", "/v1/webhook_deliveries?status=lost", "/v1/webhook_deliveries?after=x",
                     "/v1/webhook_deliveries?limit=1&limit=2", "/v1/webhook_endpoints?x=1"):
            self.assertEqual(self.call("GET", path, status=400).body["error"]["code"], "invalid_query_parameter", path)
        for body in ({}, {"since": -1}, {"since": 1, "status": "delivered"}, {"since": 1, "endpoint_id": "x"}):
            self.call("POST", "/v1/webhook_deliveries/replay", body, 400)

    def test_lists_have_pages(self) -> None:
        made = [self.register(f"/page{n}")["id"] for n in range(5)]
        first = self.call("GET", "/v1/webhook_endpoints?limit=3").body
        rest = self.call("GET", f"/v1/webhook_endpoints?limit=3&after={first['last_id']}").body
        self.assertEqual([e["id"] for e in first["data"] + rest["data"]], made[::-1])
        self.assertEqual((first["has_more"], rest["has_more"]), (True, False))

    def test_another_tenant_sees_nothing_of_it(self) -> None:
        made = self.register()
        self.ended_job()
        delivery = self.delivery(endpoint_id=made["id"])
        self.stack.add_key(OTHER_KEY, "other", "submit,read")
        as_other = {"headers": {"Authorization": f"Bearer {OTHER_KEY}"}}
        endpoint, log = f"/v1/webhook_endpoints/{made['id']}", f"/v1/webhook_deliveries/{delivery['id']}"
        for method, path, body in [("GET", endpoint, None), ("POST", endpoint, {"enabled": False}), ("DELETE", endpoint, None),
                                   ("POST", f"{endpoint}/rotate_secret", {}), ("POST", f"{endpoint}/test", None),
                                   ("GET", log, None), ("GET", f"{log}/attempts", None), ("POST", f"{log}/replay", None),
                                   ("POST", "/v1/webhook_deliveries/replay", {"since": 0, "endpoint_id": made["id"]})]:
            answer = self.call(method, path, body, 404, **as_other)
            self.assertIn(answer.body["error"]["code"], ("webhook_endpoint_not_found", "webhook_delivery_not_found"), path)
        for path in ("/v1/webhook_endpoints", "/v1/webhook_deliveries"):
            self.assertEqual(self.call("GET", path, **as_other).body["data"], [])
        self.assertEqual(self.call("POST", "/v1/webhook_deliveries/replay", {"since": 0, "status": "any"}, 202, **as_other)
                         .body["replayed"], 0)

    def test_a_dead_endpoint_with_thousands_waiting_delays_no_other(self) -> None:
        dead = self.register("/dead")
        self.receiver.plan["/dead"] = [500] * 100_000
        self.register()
        sent = self.call("POST", f"/v1/webhook_endpoints/{dead['id']}/test", status=202).body
        self.receiver.wait_for("/dead")
        # The same delivery ten thousand times over, all due.
        self.stack.sql(
            "INSERT INTO event_payload SELECT CONCAT('evt_copy', seq), body FROM event_payload, seq_1_to_10000 "
            f"WHERE event_id = '{sent['event_id']}'; INSERT INTO delivery (id, shard, tenant_id, event_id, job_id, endpoint_id, "
            "url, endpoint, state, attempt_due, created_at) SELECT CONCAT('dlv_copy', seq), shard, tenant_id, "
            "CONCAT('evt_copy', seq), '', endpoint_id, url, endpoint, 'pending', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) "
            f"FROM delivery, seq_1_to_10000 WHERE id = '{sent['id']}'")
        job = self.ended_job()
        arrived = self.receiver.wait_for(self.path)
        waiting = int(self.stack.sql("SELECT COUNT(*) FROM delivery WHERE id LIKE 'dlv_copy%' AND state = 'pending'")[0][0])
        self.assertIn(job, {json.loads(d.body)["data"].get("id") for d in arrived})
        self.assertGreater(waiting, 5_000, "the dead endpoint's were done with before: nothing was shown")
        self.call("DELETE", f"/v1/webhook_endpoints/{dead['id']}")
        self.wait_until(lambda: self.stack.sql("SELECT COUNT(*) FROM delivery WHERE id LIKE 'dlv_copy%' AND state = 'pending'")
                        == [["0"]], "deliveries to an endpoint that is gone still wait")

    @needs_clients("openai", "webhooks")
    def test_the_official_clients_accept_the_signature(self) -> None:
        made = self.register()
        newest = self.call("POST", f"/v1/webhook_endpoints/{made['id']}/rotate_secret", {}).body["secret"]
        self.ended_job()
        delivery = self.receiver.wait_for(self.path, type_="job.succeeded")[0]
        for secret in (made["secret"], newest):
            with self.subTest("the new secret" if secret == newest else "the secret before"):
                self.unwrapped(secret, delivery)

    def unwrapped(self, secret: str, delivery: Delivery) -> None:
        case = {"secret": secret, "headers": delivery.headers, "body": delivery.body.decode()}
        done = subprocess.run([str(NODE), "verify.mjs"], cwd=CLIENTS / "webhooks", input=json.dumps(case), capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        event = json.loads(delivery.body)
        self.assertEqual(told, {"openai": event["id"], "standardwebhooks": event["id"], "forged": ["openai", "standardwebhooks"]})


class Failing(unittest.TestCase):
    """An endpoint that only fails, with a short patience."""

    def test_it_is_disabled_in_the_end_and_the_others_are_told(self) -> None:
        stack = Stack("--engine", "echo", "--set", "SLUICE_WEBHOOK_RETRY_WAITS=0s" + ",1s" * 30,
                      "--set", "SLUICE_WEBHOOK_DISABLE_AFTER=3s",
                      "--set", "producer:SLUICE_FAILPOINT=producer.after_endpoint_commit:3")
        self.addCleanup(stack.down)
        stack.up()
        client, receiver = Client(stack), Receiver(stack.environment["SLUICE_WEBHOOK_SECRET"])
        self.addCleanup(receiver.close)
        receiver.plan["/failing"] = [500] * 1000
        made = client.call("POST", "/v1/webhook_endpoints", {"url": receiver.url("/failing")}).body
        client.call("POST", "/v1/webhook_endpoints", {"url": receiver.url("/watch"), "events": ["webhook_endpoint.disabled"]})
        client.submit({"prompt": "x"})
        told = json.loads(receiver.wait_for("/watch")[0].body)
        self.assertEqual((told["data"]["id"], told["data"]["disabled_reason"]), (made["id"], "failing"))
        shown = client.call("GET", f"/v1/webhook_endpoints/{made['id']}").body
        self.assertEqual((shown["status"], shown["disabled_reason"]), ("disabled", "failing"))
        self.assertIsNotNone(shown["failing_since"])
        again = client.call("POST", f"/v1/webhook_endpoints/{made['id']}", {"enabled": True}).body
        self.assertEqual((again["status"], again["failing_since"]), ("enabled", None))
        # The third is made, and the producer dies before it says so: the list shows it, and it can be given another secret.
        with self.assertRaises((OSError, http.client.HTTPException)):
            client.call("POST", "/v1/webhook_endpoints", {"url": receiver.url("/third"), "events": ["job.dead"]})
        stack.up()
        listed = client.call("GET", "/v1/webhook_endpoints").body["data"]
        self.assertEqual([urlsplit(one["url"]).path for one in listed], ["/third", "/watch", "/failing"])
        secret = client.call("POST", f"/v1/webhook_endpoints/{listed[0]['id']}/rotate_secret", {}).body["secret"]
        client.call("POST", f"/v1/webhook_endpoints/{listed[0]['id']}/test")
        delivery = receiver.wait_for("/third")[0]
        self.assertTrue(signature_ok(secret, delivery.headers, delivery.body))


if __name__ == "__main__":
    unittest.main()
