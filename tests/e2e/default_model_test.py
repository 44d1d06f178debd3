"""The default model through the whole stack: answers are those that the evaluation set expects."""
import json
import subprocess
import unittest

from world import REPOSITORY, Client, Receiver, Stack, binaries

EVALUATION = REPOSITORY / "models" / "sluice-tiny" / "eval.jsonl"


class DefaultModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.model = binaries() / "sluice-tiny-q8_0.gguf"
        if not cls.model.exists():
            subprocess.run([str(binaries() / "bin" / "sluice-engine"), "quantize",
                            str(REPOSITORY / "models/sluice-tiny/sluice-tiny-f16.gguf"), str(cls.model), "--type", "Q8_0"],
                           check=True, capture_output=True)
        cls.stack = Stack("--model", str(cls.model))
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.receiver = Receiver(cls.stack.environment["SLUICE_WEBHOOK_SECRET"])
        cls.addClassCleanup(cls.receiver.close)

    def test_one_job(self) -> None:
        job = self.client.submit({"prompt": "What is 27 + 58?", "callback_url": self.receiver.url()})
        done = self.client.wait_final(job["id"])
        self.assertEqual(done["result"]["text"], "85")
        self.assertEqual(done["result"]["finish_reason"], "stop")
        self.assertEqual(done["model"], "sluice-tiny")
        usage = done["result"]["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        self.receiver.wait_for_jobs({job["id"]})
        event = json.loads(self.receiver.by_job()[job["id"]][0].body)
        self.assertEqual((event["object"], event["type"]), ("event", "job.succeeded"))
        self.assertEqual(event["data"], done)

    def test_a_batch_of_the_evaluation_set(self) -> None:
        cases = [json.loads(line) for line in EVALUATION.read_text(encoding="utf-8").splitlines()][::5]
        answer = self.client.call("POST", "/v1/jobs", {"requests": [{"messages": case["messages"]} for case in cases]})
        self.assertEqual(answer.status, 202, answer.body)
        self.assertEqual(answer.headers["location"], f"/v1/jobs?batch_id={answer.body['batch_id']}")
        right = 0
        for case, job in zip(cases, answer.body["data"]):
            done = self.client.wait_final(job["id"])
            self.assertEqual(done["status"], "succeeded", done["error"])
            right += done["result"]["text"] in [case["expected"], *case.get("accepted", [])]
        self.assertGreaterEqual(right / len(cases), 0.93)
        listed = self.client.call("GET", f"/v1/jobs?batch_id={answer.body['batch_id']}&limit=100").body
        self.assertEqual(len(listed["data"]), min(100, len(cases)))

    def test_stop_and_length(self) -> None:
        job = self.client.submit({"prompt": "Count to 10.", "parameters": {"max_tokens": 3}})
        done = self.client.wait_final(job["id"])
        self.assertEqual((done["result"]["finish_reason"], done["result"]["usage"]["completion_tokens"]), ("length", 3))

    def test_a_prompt_that_does_not_fit_is_refused_at_once(self) -> None:
        answer = self.client.call("POST", "/v1/jobs", {"prompt": "word " * 3000})
        self.assertEqual((answer.status, answer.body["error"]["code"]), (400, "context_length_exceeded"))

    def test_a_fault_is_refused_outside_the_echo_engine(self) -> None:
        answer = self.client.call("POST", "/v1/jobs", {"prompt": "x", "parameters": {"fault": "crash"}})
        self.assertEqual(answer.status, 400)
        self.assertIn("fault", json.dumps(answer.body))

    def test_an_unknown_model_is_not_found(self) -> None:
        answer = self.client.call("POST", "/v1/jobs", {"prompt": "x", "model": "gpt-5"})
        self.assertEqual((answer.status, answer.body["error"]["code"]), (404, "model_not_found"))


if __name__ == "__main__":
    unittest.main()
