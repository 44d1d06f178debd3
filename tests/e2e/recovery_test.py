"""Faults in the middle of work, on the whole stack with the echo engine: afterwards every accepted job has ended exactly
once and every webhook was delivered."""
import threading
import time
import unittest

from world import Client, Receiver, Stack, check_accounts

JOBS = 60


class Recovery(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo", "--workers", "2")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.receiver = Receiver(cls.stack.environment["SLUICE_WEBHOOK_SECRET"])
        cls.addClassCleanup(cls.receiver.close)

    def run_through(self, fault, jobs: int = JOBS) -> None:
        """Submits jobs all the while, lets `fault` happen in the midst of it, and checks the accounts."""
        before = len(self.client.accepted)
        stop = threading.Event()

        def submit_all(lane: int) -> None:
            for i in range(jobs // 3):
                if stop.is_set():
                    return
                self.client.submit({"prompt": f"lane {lane} job {i} é🎉", "callback_url": self.receiver.url(),
                                    "parameters": {"fault": "slow", "fault_ms": 1500}})
                time.sleep(0.1)     # Not for synchronisation: so that work arrives before, during and after the fault.

        lanes = [threading.Thread(target=submit_all, args=(lane,)) for lane in range(3)]
        for lane in lanes:
            lane.start()
        batch = self.client.submit({"requests": [
            {"prompt": f"batch job {i}", "parameters": {"fault": "slow", "fault_ms": 1000}} for i in range(40)],
            "callback_url": self.receiver.url()}) if before == 0 else None
        if before == 0:
            self.assertIsNotNone(batch)
        self.wait_for_running()
        fault()
        for lane in lanes:
            lane.join(timeout=200)
        stop.set()
        # The service is back: it accepts and finishes a fresh job.
        until = time.monotonic() + 60
        fresh = None
        while fresh is None and time.monotonic() < until:
            fresh = self.client.submit({"prompt": f"after the fault {len(self.client.accepted)}", "callback_url": self.receiver.url()})
        self.assertIsNotNone(fresh, "the producer did not accept again")
        self.assertGreater(len(self.client.accepted), before + 5)
        for job_id in list(self.client.accepted):
            self.assertIn(self.client.wait_final(job_id)["status"], ("succeeded",), job_id)
        self.receiver.wait_for_jobs({i for i, request in self.client.accepted.items() if "callback_url" in request})
        self.wait_settled()
        check_accounts(self, self.stack, self.client, self.receiver)

    def wait_for_running(self) -> None:
        until = time.monotonic() + 30
        while not self.client.call("GET", "/v1/jobs?status=running&limit=1").body["data"]:
            self.assertLess(time.monotonic(), until, "nothing runs")

    def wait_settled(self) -> None:
        """Every job ended (also one whose 202 never reached the client), every event decided, every delivery recorded."""
        until = time.monotonic() + 60
        while self.stack.sql("SELECT (SELECT COUNT(*) FROM job WHERE state IN ('queued', 'running')) + "
                             "(SELECT COUNT(*) FROM event WHERE publish_due IS NOT NULL) + "
                             "(SELECT COUNT(*) FROM delivery WHERE state = 'pending')") != [["0"]]:
            if time.monotonic() > until:
                return      # check_accounts() says what is missing.
            time.sleep(0.2)

    def test_nothing_happens(self) -> None:
        self.run_through(lambda: None)

    def test_worker_is_killed(self) -> None:
        self.run_through(lambda: self.stack.kill("worker"))

    def test_both_workers_are_killed(self) -> None:
        def both() -> None:
            self.stack.kill("worker")
            self.stack.kill("worker-2")
        self.run_through(both)

    def test_producer_is_killed(self) -> None:
        self.run_through(lambda: self.stack.kill("producer"))

    def test_callback_is_killed(self) -> None:
        self.run_through(lambda: self.stack.kill("callback"))

    def test_broker_restarts(self) -> None:
        self.run_through(lambda: self.stack.run("restart", "rabbitmq"))

    def test_every_queue_is_purged(self) -> None:
        def purge() -> None:
            vhost = self.stack.environment["SLUICE_RABBITMQ_VHOST"]
            for line in self.stack.broker("list_queues", "-p", vhost, "name").splitlines():
                if line and line != "name":
                    self.stack.broker("purge_queue", "-p", vhost, line)
        self.run_through(purge)

    def test_broker_is_wiped(self) -> None:
        self.run_through(lambda: self.stack.run("wipe", "rabbitmq"))

    def test_redis_is_flushed(self) -> None:
        self.run_through(lambda: self.stack.redis("FLUSHALL"))

    def test_redis_is_gone_for_a_while(self) -> None:
        def outage() -> None:
            self.stack.run("stop", "redis")
            job = self.client.submit({"prompt": "without redis", "callback_url": self.receiver.url()})
            self.assertIsNotNone(job)
            self.assertEqual(self.client.wait_final(job["id"])["result"]["text"], "without redis")
            self.stack.run("start", "redis")
        self.run_through(outage)

    def test_mysql_restarts(self) -> None:
        self.run_through(lambda: self.stack.run("restart", "mysql"))

    def test_mysql_is_killed(self) -> None:
        self.run_through(lambda: self.stack.kill("mysql"))

    def test_jobs_are_accepted_while_the_broker_is_down(self) -> None:
        def outage() -> None:
            self.stack.run("stop", "rabbitmq")
            for i in range(10):
                self.assertIsNotNone(self.client.submit({"prompt": f"no broker {i}", "callback_url": self.receiver.url()}))
            self.stack.run("start", "rabbitmq")
        self.run_through(outage)

    def test_without_mysql_a_submit_is_refused_and_nothing_is_half_done(self) -> None:
        def outage() -> None:
            self.stack.run("stop", "mysql")
            answer = self.client.call("POST", "/v1/jobs", {"prompt": "no database"})
            self.assertEqual(answer.status, 503, answer.body)
            self.assertLessEqual(int(answer.headers["retry-after"]), 59)
            self.assertIn(answer.body["error"]["code"], ("database_unavailable", "outcome_unknown"))
            self.stack.run("start", "mysql")
        self.run_through(outage)


class Failures(unittest.TestCase):
    """Jobs that fail, each in its own way."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo", "--workers", "2")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.receiver = Receiver(cls.stack.environment["SLUICE_WEBHOOK_SECRET"])
        cls.addClassCleanup(cls.receiver.close)

    def submit(self, prompt: str, **parameters: object) -> str:
        job = self.client.submit({"prompt": prompt, "callback_url": self.receiver.url(), "parameters": parameters})
        self.assertIsNotNone(job)
        return job["id"]

    def test_a_transient_failure_is_retried(self) -> None:
        job = self.client.wait_final(self.submit("try me", fault="transient", fault_attempts=2))
        self.assertEqual((job["status"], job["attempt"]), ("succeeded", 3))

    def test_attempts_run_out(self) -> None:
        job = self.client.wait_final(self.submit("hopeless", fault="transient", fault_attempts=100))
        self.assertEqual((job["status"], job["attempt"]), ("dead", 5))
        self.assertTrue(job["error"]["code"])
        self.receiver.wait_for_jobs({job["id"]})

    def test_a_permanent_failure_is_not_retried(self) -> None:
        job = self.client.wait_final(self.submit("never", fault="permanent"))
        self.assertEqual((job["status"], job["attempt"]), ("failed", 1))

    def test_poison_dies_after_three_starts_and_its_batch_mates_live(self) -> None:
        mates = [self.submit(f"mate {i}", fault="slow", fault_ms=500) for i in range(10)]
        poison = self.submit("poison", fault="crash", fault_attempts=100)
        mates += [self.submit(f"later mate {i}") for i in range(10)]
        job = self.client.wait_final(poison, seconds=150)
        self.assertEqual((job["status"], job["error"]["code"]), ("dead", "poison"))
        self.assertEqual(job["attempt"], 3)
        for mate in mates:
            self.assertEqual(self.client.wait_final(mate)["status"], "succeeded")

    def test_a_cancelled_job_ends_as_cancelled_queued_or_running(self) -> None:
        job = self.submit("cancel me", fault="slow", fault_ms=20_000)
        until = time.monotonic() + 20
        while self.client.job(job)["status"] != "running":
            self.assertLess(time.monotonic(), until)
        answer = self.client.call("POST", f"/v1/jobs/{job}/cancel")
        self.assertEqual((answer.status, answer.body["status"]), (200, "cancelled"))
        again = self.client.call("POST", f"/v1/jobs/{job}/cancel")
        self.assertEqual((again.status, again.body["status"]), (200, "cancelled"))
        self.receiver.wait_for_jobs({job})

    def test_a_job_expires(self) -> None:
        answer = self.client.call("POST", "/v1/jobs", {"prompt": "late", "expires_in": 2, "callback_url": self.receiver.url(),
                                                       "parameters": {"fault": "slow", "fault_ms": 30_000}})
        self.assertEqual(answer.status, 202, answer.body)
        job = self.client.wait_final(answer.body["id"])
        self.assertEqual((job["status"], job["error"]["code"]), ("expired", "job_expired"))
        self.receiver.wait_for_jobs({job["id"]})

    def test_a_webhook_is_retried_under_the_same_id(self) -> None:
        self.receiver.plan["/flaky"] = [500, 503]
        job = self.client.submit({"prompt": "flaky", "callback_url": self.receiver.url("/flaky")})
        until = time.monotonic() + 30
        while len(self.receiver.by_job().get(job["id"], [])) < 2:
            self.assertLess(time.monotonic(), until, "no second attempt")
            time.sleep(0.2)
        deliveries = self.receiver.by_job()[job["id"]]
        self.assertEqual(deliveries[0].webhook_id, deliveries[1].webhook_id)
        self.assertEqual(deliveries[0].body, deliveries[1].body)


if __name__ == "__main__":
    unittest.main()
