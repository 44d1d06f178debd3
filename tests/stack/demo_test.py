"""The demonstration against a small server that answers as sluice does."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "deploy" / "local" / "demo.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(DEMO.parent))

import demo  # noqa: E402

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class FakeSluice:
    """Finishes each job when it is first looked at; answers what the evaluation expects."""

    def __init__(self, test: unittest.TestCase) -> None:
        self.test = test
        self.signing_key = KEY
        self.wrong_answers = 0
        self.failing = False
        self.model = demo.DEFAULT_MODEL
        self.jobs: dict[str, dict] = {}
        self.expected = {json.dumps(row["messages"]): row["expected"] for row in map(
            json.loads, demo.EVALUATION.read_text(encoding="utf-8").splitlines())}
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, code: int, value: dict) -> None:
                body = json.dumps(value).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def allowed(self) -> bool:
                if self.headers.get("Authorization") == "Bearer right-key":
                    return True
                self.answer(401, {"error": {"message": "no such key", "type": "x", "param": None, "code": None}})
                return False

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.allowed():
                    requests = body.get("requests")
                    made = [fake.make(one) for one in (requests or [body])]
                    self.answer(202, {"object": "list", "batch_id": "batch_1", "data": made} if requests else made[0])

            def do_GET(self) -> None:
                if not self.allowed():
                    return
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                if url.path != "/v1/jobs":
                    self.answer(200, fake.finish(url.path.split("/")[-1]))
                    return
                ids = [job_id for job_id, job in fake.jobs.items() if job["batch_id"] == query["batch_id"]]
                start = ids.index(query["after"]) + 1 if "after" in query else 0
                page = ids[start:start + 10]  # small pages, so that following them is tested
                self.answer(200, {"object": "list", "data": [fake.finish(job_id) for job_id in page],
                                  "has_more": start + 10 < len(ids)})

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        test.addCleanup(thread.join)
        test.addCleanup(self._server.server_close)
        test.addCleanup(self._server.shutdown)

    def make(self, request: dict) -> dict:
        job = {"id": f"job_{len(self.jobs)}", "batch_id": None if "callback_url" in request else "batch_1",
               "status": "queued", "model": self.model, "result": None, "error": None}
        self.jobs[job["id"]] = job | {"request": request}
        return job

    def finish(self, job_id: str) -> dict:
        job = self.jobs[job_id]
        if job["status"] == "queued":
            request = job["request"]
            text = self.expected[json.dumps(request["messages"])]
            if self.failing:
                job |= {"status": "dead", "error": {"message": "used up all attempts"}}
            else:
                self.wrong_answers -= 1
                job |= {"status": "succeeded", "result": {
                    "text": "nonsense" if self.wrong_answers >= 0 else text,
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}}
            if "callback_url" in request:
                self.send(request["callback_url"], job)
        return {name: value for name, value in job.items() if name != "request"}

    def send(self, url: str, job: dict) -> None:
        body = json.dumps({"id": "evt_1", "object": "event", "type": "job." + job["status"], "created_at": 1,
                           "data": {"id": job["id"]}}).encode()
        sent = str(int(time.time()))
        digest = hmac.new(self.signing_key, f"evt_1.{sent}.".encode() + body, hashlib.sha256).digest()
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, data=body, headers={
            "webhook-id": "evt_1", "webhook-timestamp": sent,
            "webhook-signature": "v1,AAAA v1," + base64.b64encode(digest).decode()}), timeout=5).close()


class Demonstration(unittest.TestCase):
    def run_demo(self, url: str, key: str = "right-key") -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, str(DEMO)], capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, "SLUICE_URL": url, "SLUICE_API_KEY": key,
                                   "SLUICE_WEBHOOK_SECRET": SECRET, "PYTHONIOENCODING": "utf-8"})

    def test_shows_a_job_its_webhook_and_a_batch(self):
        fake = FakeSluice(self)
        result = self.run_demo(fake.url)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        batch = [job for job in fake.jobs.values() if job["batch_id"]]
        self.assertGreaterEqual(len(batch), demo.BATCH_MIN)
        self.assertIn("webhook job.succeeded came", result.stdout)
        self.assertIn("its signature is right", result.stdout)
        self.assertIn(f"{len(batch)} of {len(batch)} as expected", result.stdout)
        self.assertEqual(result.stdout.count("✓"), len(batch) + 2)
        self.assertNotIn("✗", result.stdout)

    def test_marks_a_wrong_answer_and_goes_on(self):
        fake = FakeSluice(self)
        fake.wrong_answers = 2
        result = self.run_demo(fake.url)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stdout.count("✗"), 2)

    def test_another_models_answers_are_not_judged(self):
        fake = FakeSluice(self)
        fake.model, fake.wrong_answers = "another", 100
        result = self.run_demo(fake.url)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertNotIn("✗", result.stdout)
        self.assertIn("succeeded, ", result.stdout)
        self.assertNotIn("as expected", result.stdout)

    def test_a_wrong_signature_is_a_failure(self):
        fake = FakeSluice(self)
        fake.signing_key = b"x" * 32
        result = self.run_demo(fake.url)
        self.assertEqual(result.returncode, 1)
        self.assertIn("SIGNATURE IS WRONG", result.stdout)

    def test_failed_jobs_are_shown_with_their_reason(self):
        fake = FakeSluice(self)
        fake.failing = True
        result = self.run_demo(fake.url)
        self.assertEqual(result.returncode, 1)
        self.assertIn("(dead: used up all attempts)", result.stdout)

    def test_mistakes_are_explained(self):
        fake = FakeSluice(self)
        for url, key, words in ((fake.url, "wrong", "no such key"), ("http://127.0.0.1:1", "k", "can't be reached")):
            result = self.run_demo(url, key)
            self.assertEqual(result.returncode, 1)
            self.assertIn(words, result.stderr)
            self.assertNotIn("Traceback", result.stderr)


class Shown(unittest.TestCase):
    def test_cells_are_as_wide_as_asked_for_whatever_is_in_them(self):
        for text in ("", "short", "a longer one than fits", "把“compatible”翻译成中文。", "兼容兼容兼容兼容", "two\nlines\there",
                     "e\u0301" * 20):
            for width in (5, 8, 13):
                shown = demo.fit(text, width)
                self.assertEqual(sum(map(demo._cell_width, shown)), width, (text, width))
                self.assertNotIn("\n", shown)

    def test_a_signature_must_fit_id_time_and_body(self):
        receiver = demo.Receiver(SECRET)
        self.addCleanup(receiver._server.server_close)
        now = str(int(time.time()))

        def signed(message_id: str, sent: str, body: bytes) -> dict:
            digest = hmac.new(KEY, f"{message_id}.{sent}.".encode() + body, hashlib.sha256).digest()
            return {"webhook-id": message_id, "webhook-timestamp": sent,
                    "webhook-signature": "v1," + base64.b64encode(digest).decode()}

        self.assertTrue(receiver.verified(signed("evt_1", now, b"{}"), b"{}"))
        self.assertFalse(receiver.verified(signed("evt_1", now, b"{}"), b"{} "))
        self.assertFalse(receiver.verified(signed("evt_1", now, b"{}") | {"webhook-id": "evt_2"}, b"{}"))
        old = str(int(time.time()) - demo.SIGNATURE_AGE_SECONDS - 5)
        self.assertFalse(receiver.verified(signed("evt_1", old, b"{}"), b"{}"))
        self.assertFalse(receiver.verified({}, b"{}"))


if __name__ == "__main__":
    unittest.main()
