"""Equal requests run once and share the result, on the whole stack with the echo engine."""
import json
import threading
import time
import unittest
from collections import Counter

from world import Client, Stack

QUEUED_MAX = 450


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo", "--set", f"producer:SLUICE_QUEUED_MAX={QUEUED_MAX}")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.stack.add_key("another-tenants-key-0123456789abcdef", "other", "submit,read")

    def setUp(self) -> None:
        self.addCleanup(self.stack.ctl, "resume", "model", "echo", code=None)

    def post(self, prompt: str, **more: object):
        answer = self.client.call("POST", "/v1/jobs", {"prompt": prompt, **more})
        self.assertEqual(answer.status, 202, answer.body)
        return answer

    def chat(self, prompt: str, headers: dict | None = None, **more: object):
        answer = self.client.call("POST", "/v1/chat/completions",
                                  {"messages": [{"role": "user", "content": prompt}], "temperature": 0, **more}, headers=headers)
        self.assertEqual(answer.status, 200, answer.body)
        return answer

    def pause(self) -> None:
        self.stack.ctl("pause", "model", "echo")
        until = time.monotonic() + 30       # What a worker had taken before still ends.
        while self.stack.sql("SELECT COUNT(*) FROM job WHERE state = 'running'") != [["0"]]:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def resume(self) -> None:
        self.stack.ctl("resume", "model", "echo")

    def test_a_hundred_equal_jobs_at_once_run_once(self) -> None:
        for paused in (True, False):
            prompt = f"a hundred times {paused}"
            if paused:
                self.pause()
            answers: list = []
            lanes = [threading.Thread(target=lambda: answers.append(self.post(prompt))) for _ in range(100)]
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join(timeout=90)
            if paused:
                self.resume()
            self.assertEqual(len(answers), 100)
            ids = {answer.body["id"] for answer in answers}
            self.assertEqual(len(ids), 100)
            said = Counter(answer.headers["x-cache"] for answer in answers)
            self.assertEqual(said["miss"], 1, said)
            if paused:
                self.assertEqual(said["coalesced"], 99, said)
            jobs = [self.client.wait_final(job_id) for job_id in ids]
            self.assertEqual({(job["status"], job["result"]["text"]) for job in jobs}, {("succeeded", prompt)})
            ran = [job for job in jobs if job["attempt"] > 0]
            self.assertEqual([job["attempt"] for job in ran], [1])
            self.assertEqual({job["leader_id"] for job in jobs if job["id"] != ran[0]["id"]}, {ran[0]["id"]})

    def test_a_result_is_given_again_in_every_shape(self) -> None:
        first = self.chat("again and again")
        self.assertEqual(first.headers["x-cache"], "miss")
        second = self.chat("again and again")
        self.assertEqual(second.headers["x-cache"], "hit")
        self.assertNotEqual(second.body["id"], first.body["id"])
        self.assertEqual(second.body["choices"], first.body["choices"])
        self.assertEqual(second.body["usage"], first.body["usage"])
        job = self.client.job("job_" + second.body["id"].split("-", 1)[1])
        self.assertEqual((job["status"], job["attempt"]), ("succeeded", 0))
        streamed = self.client.call("POST", "/v1/chat/completions", {
            "messages": [{"role": "user", "content": "again and again"}], "temperature": 0, "stream": True})
        self.assertEqual(streamed.headers["x-cache"], "hit")
        told = [json.loads(line[6:]) for line in streamed.body.splitlines() if line.startswith("data: {")]
        self.assertEqual("".join(c["delta"].get("content") or "" for chunk in told for c in chunk["choices"]), "again and again")
        background = self.client.call("POST", "/v1/responses", {"input": "again and again", "temperature": 0, "background": True})
        self.assertEqual((background.status, background.body["status"]), (200, "completed"), background.body)
        # As a job of ours, with the same message.
        native = self.client.call("POST", "/v1/jobs", {"messages": [{"role": "user", "content": "again and again"}]})
        self.assertEqual((native.headers["x-cache"], native.body["status"]), ("hit", "succeeded"))

    def test_what_is_not_the_same_each_time_is_computed_each_time(self) -> None:
        self.assertEqual(self.chat("by chance", temperature=1).headers["x-cache"], "miss")
        self.assertEqual(self.chat("by chance", temperature=1).headers["x-cache"], "miss")
        # Unless it is asked for; and what could be shared isn't, if that is asked for.
        self.chat("by chance", temperature=1, cache=True)
        self.assertEqual(self.chat("by chance", temperature=1, cache=True).headers["x-cache"], "hit")
        self.chat("for me alone")
        self.assertEqual(self.chat("for me alone", cache=False).headers["x-cache"], "miss")
        self.assertEqual(self.chat("for me alone").headers["x-cache"], "hit")
        refused = self.client.call("POST", "/v1/jobs", {"prompt": "x", "cache": "yes"})
        self.assertEqual((refused.status, refused.body["error"]["param"]), (400, "cache"), refused.body)

    def test_another_tenant_shares_nothing(self) -> None:
        self.chat("between us")
        other = {"Authorization": "Bearer another-tenants-key-0123456789abcdef"}
        self.assertEqual(self.chat("between us", headers=other).headers["x-cache"], "miss")
        self.assertEqual(self.chat("between us", headers=other).headers["x-cache"], "hit")

    def test_without_redis_results_are_still_shared(self) -> None:
        self.chat("from the record")
        self.stack.run("stop", "redis")
        try:
            self.assertEqual(self.chat("from the record").headers["x-cache"], "hit")
            self.assertEqual(self.chat("from the record").headers["x-cache"], "hit")    # Now from the process.
            self.assertEqual(self.chat("never asked before").headers["x-cache"], "miss")
        finally:
            self.stack.run("start", "redis")

    def test_when_the_leader_is_cancelled_another_runs(self) -> None:
        self.pause()
        leader = self.post("who goes first").body["id"]
        followers = [self.post("who goes first").body for _ in range(3)]
        self.assertEqual({job["leader_id"] for job in followers}, {leader})
        self.assertEqual(self.client.call("POST", f"/v1/jobs/{leader}/cancel").body["status"], "cancelled")
        given_up = self.client.call("POST", f"/v1/jobs/{followers[1]['id']}/cancel").body
        self.assertEqual((given_up["status"], given_up["leader_id"]), ("cancelled", None))
        self.resume()
        first, last = self.client.wait_final(followers[0]["id"]), self.client.wait_final(followers[2]["id"])
        self.assertEqual((first["status"], first["attempt"], first["leader_id"]), ("succeeded", 1, None))
        self.assertEqual((last["status"], last["attempt"], last["leader_id"]), ("succeeded", 0, first["id"]))

    def test_a_killed_producer_leaves_no_follower_behind(self) -> None:
        self.pause()
        ids = [self.post("through a kill").body["id"] for _ in range(5)]
        self.stack.kill("producer")
        until = time.monotonic() + 60
        while True:
            try:
                ids.append(self.post("through a kill").body["id"])
                break
            except OSError:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.1)     # The supervisor starts it again.
        self.resume()
        jobs = [self.client.wait_final(job_id) for job_id in ids]
        self.assertEqual([job["status"] for job in jobs], ["succeeded"] * 6)
        self.assertEqual(sum(job["attempt"] for job in jobs), 1)
        self.assertEqual(self.stack.sql("SELECT COUNT(*) FROM follower"), [["0"]])

    def test_rather_than_being_refused_a_client_may_take_a_stale_answer(self) -> None:
        self.chat("old news")
        self.stack.sql("UPDATE answer SET expires_at = expires_at - INTERVAL 2 HOUR WHERE expires_at IS NOT NULL")
        self.stack.redis("flushall")
        self.pause()
        for i in range(3):      # In steps: what this producer let in counts at once, the database's count once a second.
            self.client.call("POST", "/v1/jobs", {"requests": [{"prompt": f"flood {i} {n}"} for n in range(QUEUED_MAX // 3)]})
        body = {"messages": [{"role": "user", "content": "other news"}], "temperature": 0, "cache": False}
        until = time.monotonic() + 30
        while (refused := self.client.call("POST", "/v1/chat/completions", body,
                                           headers={"Prefer": "respond-async"})).status == 202:
            self.assertLess(time.monotonic(), until, "there is still room")
            time.sleep(0.05)    # Between two looks.
        self.assertEqual((refused.status, refused.body["error"]["code"]), (503, "queue_full"))
        stale = self.chat("old news", allow_stale=True)
        self.assertEqual(stale.headers["x-cache"], "stale")
        self.assertEqual(stale.body["choices"][0]["message"]["content"], "old news")
        unknown = self.client.call("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "no news"}],
                                                                    "temperature": 0, "allow_stale": True})
        self.assertEqual((unknown.status, unknown.body["error"]["code"]), (503, "queue_full"))
        self.resume()
        while self.client.call("POST", "/v1/jobs", {"prompt": "is there room?", "cache": False}).status != 202:
            self.assertLess(time.monotonic(), until + 60, "there is no room again")
            time.sleep(0.05)    # Between two looks.


if __name__ == "__main__":
    unittest.main()
