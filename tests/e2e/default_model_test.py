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

    def events(self, path: str, body: dict | None = None) -> list:
        """The data of a stream's events."""
        answer = self.client.call("GET" if body is None else "POST", path, body)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertTrue(answer.headers["content-type"].startswith("text/event-stream"))
        lines = [line.removeprefix("data:").strip() for line in answer.body.split("\n") if line.startswith("data:")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]

    def test_openai_chat(self) -> None:
        ask = {"model": "sluice-tiny", "messages": [{"role": "user", "content": "What is 27 + 58?"}], "temperature": 0}
        chat = self.client.call("POST", "/v1/chat/completions", ask)
        self.assertEqual(chat.status, 200, chat.body)
        self.assertEqual(chat.body["choices"][0]["message"]["content"], "85")
        again = self.client.call("GET", f"/v1/chat/completions/{chat.body['id']}")
        self.assertEqual(again.body, chat.body)
        *chunks, usage, done = self.events("/v1/chat/completions",
                                           {**ask, "stream": True, "stream_options": {"include_usage": True}})
        self.assertEqual(done, "[DONE]")
        self.assertEqual("".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks), "85")
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "stop")
        self.assertEqual(usage["usage"]["completion_tokens"], chat.body["usage"]["completion_tokens"])

    def test_openai_response(self) -> None:
        ask = {"model": "sluice-tiny", "input": "What is 27 + 58?", "temperature": 0, "stream": True}
        events = self.events("/v1/responses", ask)
        self.assertEqual([events[0]["type"], events[-1]["type"]], ["response.created", "response.completed"])
        self.assertEqual("".join(e["delta"] for e in events if e["type"] == "response.output_text.delta"), "85")
        response = events[-1]["response"]
        self.assertEqual(self.client.call("GET", f"/v1/responses/{response['id']}").body, response)
        # Who comes back after any event gets the rest of the same.
        cut = next(i for i, e in enumerate(events) if e["type"] == "response.output_text.delta")
        rest = self.events(f"/v1/responses/{response['id']}?stream=true&starting_after={events[cut]['sequence_number']}")
        said = events[cut]["delta"] + "".join(e["delta"] for e in rest if e["type"] == "response.output_text.delta")
        self.assertEqual(said, "85")
        self.assertEqual(rest[-1], events[-1])
        following = self.client.call("POST", "/v1/responses", {"input": "What is 1 + 1?", "temperature": 0,
                                                               "previous_response_id": response["id"]})
        self.assertEqual((following.status, following.body["status"]), (200, "completed"), following.body)

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
