"""A worker with two formats of its model, through the whole stack: jobs that allow it move to the faster one while the queue is
deep, others never, and each result tells which it was."""
import subprocess
import unittest

from world import REPOSITORY, Client, Stack, binaries

FULL = REPOSITORY / "models/sluice-tiny/sluice-tiny-f16.gguf"


class Precision(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        fast = binaries() / "sluice-tiny-q4_0.gguf"
        if not fast.exists():
            subprocess.run([str(binaries() / "bin" / "sluice-engine"), "quantize", str(FULL), str(fast), "--type", "Q4_0", "--pure"],
                           check=True, capture_output=True)
        cls.stack = Stack("--model", str(FULL), "--set", f"worker:SLUICE_MODEL_FAST={fast}",
                          "--set", "worker:SLUICE_FAST_QUEUE_DEPTH=8")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)

    def test_jobs_that_allow_it_move_while_the_queue_is_deep(self) -> None:
        self.stack.run("stop", "worker")
        requests = [{"prompt": f"Count from {i} to {i + 20}.", "parameters": {"precision": "full" if i % 4 == 0 else "adaptive"}}
                    for i in range(300)]
        answer = self.client.call("POST", "/v1/jobs", {"requests": requests})
        self.assertEqual(answer.status, 202, answer.body)
        self.stack.run("start", "worker")
        done = [self.client.wait_final(job["id"]) for job in answer.body["data"]]
        self.assertEqual({job["status"] for job in done}, {"succeeded"})
        moved = [job for job in done if job["result"]["precision"] == "Q4_0"]
        self.assertGreater(len(moved), 50)
        for request, job in zip(requests, done):
            if request["parameters"]["precision"] == "full":
                self.assertEqual(job["result"]["precision"], "F16")

        # The queue is short again: at the latest two looks later nothing moves any more.
        for _ in range(50):
            late = self.client.wait_final(self.client.submit({"prompt": "What is 27 + 58?",
                                                              "parameters": {"precision": "adaptive"}})["id"])
            if late["result"]["precision"] == "F16":
                break
        self.assertEqual(late["result"]["precision"], "F16")

        # The database tells the same as the copies in Redis.
        self.stack.redis("flushall")
        self.assertEqual(self.client.job(moved[0]["id"]), moved[0])

    def test_without_a_word_a_job_is_computed_in_full(self) -> None:
        done = self.client.wait_final(self.client.submit({"prompt": "What is 27 + 58?"})["id"])
        self.assertEqual((done["result"]["text"], done["result"]["precision"]), ("85", "F16"))

    def test_any_other_precision_is_refused(self) -> None:
        answer = self.client.call("POST", "/v1/jobs", {"prompt": "x", "parameters": {"precision": "Q4_0"}})
        self.assertEqual((answer.status, answer.body["error"]["code"], answer.body["error"]["param"]),
                         (400, "invalid_value", "parameters.precision"))


if __name__ == "__main__":
    unittest.main()
