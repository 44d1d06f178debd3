"""What operators see and steer with sluicectl, on the whole stack with the echo engine: status, queues, workers, jobs of every
tenant, pauses, draining, keys."""
import json
import time
import unittest

from world import Client, Receiver, Stack


class Fleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.ctl = cls.stack.ctl

    def ctl_json(self, *words: str) -> dict:
        return json.loads(self.ctl(*words, "--json"))

    def until(self, holds, what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.2)     # Between two looks.

    def worker(self) -> dict:
        self.until(lambda: any(w["state"] != "silent" for w in self.ctl_json("workers")["data"]), "no worker speaks")
        return next(w for w in self.ctl_json("workers")["data"] if w["state"] != "silent")

    def actions(self) -> list[str]:
        return [entry["action"] for entry in self.ctl_json("audit", "--limit", "0")["data"]]

    def test_status_queues_and_workers(self) -> None:
        worker = self.worker()
        self.assertEqual((worker["model"], worker["engine"]), ("echo", "echo"))
        self.until(lambda: self.ctl_json("status")["shards_owned"] == 16, "shards without a producer")
        status = self.ctl("status")
        self.assertRegex(status, r"workers +1 working")
        self.assertRegex(status, r"shards +16 of 16 served")
        self.assertRegex(status, r"broker +publishing")
        self.assertIn(worker["id"], self.ctl("workers"))
        self.assertRegex(self.ctl("queues"), r"(?m)^echo +normal +0 +0 +0 +0 +1\b")

    def test_a_paused_model_waits_and_goes_on(self) -> None:
        for kind, name in (("model", "echo"), ("tenant", "default")):
            self.assertIn("is paused", self.ctl("pause", kind, name, "--reason", "new \x1b[31mweights"))
            self.assertIn("new \\x1b[31mweights", self.ctl("pauses"))
            self.assertIn(f"{kind} {name} for", self.ctl("status"))
            job = self.client.submit({"prompt": f"paused {kind}"})
            self.assertEqual(self.client.job(job["id"], wait=3)["status"], "queued")
            self.assertIn("goes on", self.ctl("resume", kind, name))
            self.assertEqual(self.client.wait_final(job["id"])["status"], "succeeded")
            self.assertIn("not_paused", self.ctl("resume", kind, name, code=1))
        self.assertIn("nothing is paused", self.ctl("pauses"))
        self.assertEqual([self.actions().count(action) for action in ("pauses.set", "pauses.end")], [2, 2])

    def test_jobs_are_listed_shown_and_cancelled(self) -> None:
        done = self.client.submit({"prompt": "PRIVATE words", "metadata": {"order": "4711"}})
        self.client.wait_final(done["id"])
        shown = self.ctl("jobs", "show", done["id"])
        self.assertRegex(shown, r"status +succeeded")
        self.assertRegex(shown, r"metadata +order = 4711")
        self.assertNotIn("PRIVATE", shown)
        self.assertIn(done["id"], self.ctl("jobs", "list", "--status", "succeeded", "--tenant", "default"))
        self.assertIn("no such jobs", self.ctl("jobs", "list", "--tenant", "nobody"))
        slow = self.client.submit({"prompt": "slow", "parameters": {"fault": "slow", "fault_ms": 60000}})
        self.assertIn("give --yes", self.ctl("jobs", "cancel", slow["id"], code=2))
        self.assertIn("cancelled", self.ctl("jobs", "cancel", slow["id"], "--yes"))
        self.assertEqual(self.client.wait_final(slow["id"])["status"], "cancelled")
        self.assertIn("was over already: succeeded", self.ctl("jobs", "cancel", done["id"], "--yes"))
        self.assertIn("job_not_found", self.ctl("jobs", "cancel", "job_1", "--yes", code=1))

    def test_deliveries_are_seen_and_sent_again(self) -> None:
        receiver = Receiver(self.stack.environment["SLUICE_WEBHOOK_SECRET"])
        self.addCleanup(receiver.close)
        made = self.client.call("POST", "/v1/webhook_endpoints", {"url": receiver.url("/seen")}).body
        self.addCleanup(self.client.call, "DELETE", f"/v1/webhook_endpoints/{made['id']}")
        self.assertRegex(self.ctl("endpoints", "list"), rf"{made['id']} +enabled .*/seen")
        self.assertNotIn(made["secret"], self.ctl("endpoints", "show", made["id"], "--json"))
        self.assertIn("a test event is on its way", self.ctl("endpoints", "test", made["id"]))
        self.until(lambda: "delivered" in self.ctl("deliveries", "list", "--endpoint", made["id"]), "no test event came")
        sent = self.ctl_json("deliveries", "list", "--endpoint", made["id"])["data"][0]["id"]
        self.assertRegex(self.ctl("deliveries", "show", sent), r"(?m)^ +1 .*HTTP status 200")
        self.assertIn("is sent again now", self.ctl("deliveries", "replay", sent))
        self.until(lambda: len(self.ctl_json("deliveries", "show", sent)["attempt_log"]) == 2, "it was not sent again")
        self.assertIn("give --yes", self.ctl("deliveries", "replay", "--since", "1h", "--any", code=2))
        again = self.ctl("deliveries", "replay", "--since", "1h", "--any", "--endpoint", made["id"], "--yes")
        self.assertRegex(again, r"^\d+ deliver(y is|ies are) due again\n$")
        self.until(lambda: len(self.ctl_json("deliveries", "show", sent)["attempt_log"]) == 3, "it was not sent a third time")
        self.assertIn("webhook_endpoint_not_found", self.ctl("endpoints", "show", "we_1", code=1))
        self.assertIn("webhook_delivery_not_found", self.ctl("deliveries", "show", "dlv_1", code=1))

    def test_keys_are_made_and_revoked(self) -> None:
        key = self.ctl("keys", "create", "--name", "night shift", "--scope", "read", "--scope", "admin").strip()
        self.assertEqual(self.ctl("pauses", SLUICE_ADMIN_KEY=key), "nothing is paused\n")
        made = next(row for row in self.ctl_json("keys", "list", "--tenant", "default")["data"] if row["name"] == "night shift")
        self.assertNotIn(key, json.dumps(made))
        self.assertEqual(set(made["scopes"]), {"read", "admin"})
        self.assertIn("is revoked", self.ctl("keys", "revoke", made["id"], "--yes"))
        self.assertRegex(self.ctl("keys", "list"), rf"{made['id']}.*revoked")

        def refused() -> bool:
            return self.client.call("GET", "/v1/admin/pauses", headers={"Authorization": f"Bearer {key}"}).status == 401

        self.until(refused, "the revoked key works on", 15)
        self.assertIn("tenant_not_found", self.ctl("keys", "create", "--name", "x", "--tenant", "nobody", code=1))

    def test_a_drained_worker_takes_nothing(self) -> None:
        name = self.worker()["id"]
        self.addCleanup(self.ctl, "undrain", name)
        slow = self.client.submit({"prompt": "held", "parameters": {"fault": "slow", "fault_ms": 3000}})
        self.until(lambda: self.client.job(slow["id"])["status"] == "running", "it was not started")
        self.assertIn(f"{name} is drained", self.ctl("drain", name, "--wait"))
        self.assertEqual(self.client.job(slow["id"])["status"], "succeeded")
        waiting = self.client.submit({"prompt": "waits"})
        self.assertEqual(self.client.job(waiting["id"], wait=3)["status"], "queued")
        self.assertIn("takes jobs again", self.ctl("undrain", name))
        self.assertEqual(self.client.wait_final(waiting["id"])["status"], "succeeded")
        self.assertIn("worker_not_found", self.ctl("drain", "nobody", code=1))


if __name__ == "__main__":
    unittest.main()
