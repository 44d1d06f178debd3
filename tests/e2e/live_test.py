"""Reading along with running jobs: text comes in pieces, and whoever lost the connection, or whose worker or Redis was lost,
neither misses nor hears anything twice."""
import http.client
import json
import threading
import time
import unittest
from collections.abc import Iterator

from world import REPOSITORY, Client, Stack

WORDS = " ".join(f"wörd{i}🎈" for i in range(40))


class Events:
    """One stream of events. `with` closes the connection wherever it stands."""

    def __init__(self, client: Client, job_id: str, last_id: str = "", key: str = "") -> None:
        self.connection = http.client.HTTPConnection(client.url.hostname, client.url.port, timeout=60)
        headers = {"Authorization": f"Bearer {key or client.key}", "Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        self.connection.request("GET", f"/v1/jobs/{job_id}/events", headers=headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.last_id = last_id

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        """Pairs of an event's name and its data."""
        fields: dict[str, str] = {}
        for line in self.response:
            text = line.decode().rstrip("\n")
            if not text:
                if "data" in fields:
                    self.last_id = fields.get("id", self.last_id)
                    yield fields["event"], json.loads(fields["data"])
                fields = {}
            elif not text.startswith(":"):
                name, _, value = text.partition(":")
                fields[name] = value.removeprefix(" ")


class Reader:
    """Reads along over as many connections as it takes; offsets must fit, always."""

    def __init__(self, test: unittest.TestCase) -> None:
        self.test = test
        self.text = ""
        self.last_id = ""
        self.pieces: list[str] = []
        self.states: list[tuple[str, int]] = []
        self.last_state: dict = {}
        self.final: dict | None = None
        self.said = threading.Condition()

    def read(self, client: Client, job_id: str, pieces: int | None = None) -> "Reader":
        """Until the end, or until `pieces` more of text have come."""
        until = None if pieces is None else len(self.pieces) + pieces
        with Events(client, job_id, self.last_id) as events:
            self.test.assertEqual(events.status, 200)
            for name, data in events:
                self.last_id = events.last_id
                self.take(name, data)
                if until is not None and len(self.pieces) >= until:
                    break
        return self

    def take(self, name: str, data: dict) -> None:
        if name == "state":
            self.test.assertNotEqual(data, self.last_state, "a state was told twice")
            self.last_state = data
            self.states.append((data["status"], data["attempt"]))
        elif name == "text":
            self.test.assertEqual(data["offset"], len(self.text.encode()))
            with self.said:
                self.text += data["text"]
                self.pieces.append(data["text"])
                self.said.notify_all()
        else:
            self.test.assertEqual(name, "final")
            self.final = data

    def wait_for_pieces(self, count: int) -> None:
        with self.said:
            self.test.assertTrue(self.said.wait_for(lambda: len(self.pieces) >= count, timeout=30))


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)

    def submit(self, milliseconds: int, prompt: str = WORDS, **parameters: object) -> str:
        job = self.client.submit({"prompt": prompt, "parameters": {"fault": "slow", "fault_ms": milliseconds, **parameters}})
        self.assertIsNotNone(job)
        return job["id"]

    def check(self, reader: Reader, job_id: str, text: str = WORDS) -> None:
        self.assertEqual(reader.text, text)
        self.assertEqual(reader.final, self.client.job(job_id))
        self.assertEqual(reader.final["result"]["text"], text)

    def test_text_comes_in_pieces_and_a_lost_connection_goes_on_where_it_was(self) -> None:
        job_id = self.submit(1500, stream=True)
        reader = Reader(self)
        reader.read(self.client, job_id, pieces=3)
        self.assertLess(len(reader.text), len(WORDS))
        self.assertNotEqual(self.client.job(job_id)["status"], "succeeded")
        reader.read(self.client, job_id, pieces=2)
        reader.read(self.client, job_id)
        self.check(reader, job_id)
        self.assertGreater(len(reader.pieces), 8)
        self.assertEqual(reader.states[-1], ("running", 1))

    def test_who_comes_late_hears_all_of_it(self) -> None:
        job_id = self.submit(1500)
        until = time.monotonic() + 20
        while self.client.job(job_id)["status"] != "running":
            self.assertLess(time.monotonic(), until)
        reader = Reader(self).read(self.client, job_id)
        self.check(reader, job_id)
        self.assertGreater(len(reader.pieces), 2)

    def test_a_stop_string_is_never_told(self) -> None:
        job_id = self.submit(800, prompt="one two thr three four", stop=["three"], stream=True)
        reader = Reader(self).read(self.client, job_id)
        self.check(reader, job_id, "one two thr ")

    def test_an_ended_job_is_told_at_once_and_its_last_event_is_the_last(self) -> None:
        job_id = self.submit(0)
        self.client.wait_final(job_id)
        reader = Reader(self).read(self.client, job_id)
        self.check(reader, job_id)
        self.assertEqual(len(reader.pieces), 1)
        with Events(self.client, job_id, reader.last_id) as events:
            self.assertEqual(events.status, 204)

    def test_who_was_told_something_else_hears_so(self) -> None:
        for job_id in (self.submit(0), self.submit(1500, stream=True)):
            with Events(self.client, job_id, "1-1-5-0-deadbeef") as events:
                names = [name for name, _ in events if name != "state"]
            self.assertEqual(names, ["mismatch", "final"])

    def test_a_killed_worker_leaves_no_seam(self) -> None:
        # The first attempt is slow enough to be killed in its midst, the second says all at once.
        job_id = self.submit(20_000, stream=True, fault_attempts=1)
        reader = Reader(self)
        reading = threading.Thread(target=reader.read, args=(self.client, job_id))
        reading.start()
        reader.wait_for_pieces(3)
        self.stack.kill("worker")
        reading.join(timeout=90)
        self.check(reader, job_id)
        self.assertEqual(reader.final["attempt"], 2)
        self.assertGreater(len(reader.pieces), 3)

    def test_without_redis_states_come_and_the_text_at_the_end(self) -> None:
        self.stack.run("stop", "redis")
        try:
            job_id = self.submit(1500, stream=True)
            reader = Reader(self).read(self.client, job_id)
        finally:
            self.stack.run("start", "redis")
        self.check(reader, job_id)
        self.assertIn(("running", 1), reader.states)
        self.assertEqual(len(reader.pieces), 1)

    def test_fifty_who_read_along_hear_the_same(self) -> None:
        job_id = self.submit(1500, stream=True)
        readers = [Reader(self) for _ in range(50)]
        threads = [threading.Thread(target=reader.read, args=(self.client, job_id)) for reader in readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        for reader in readers:
            self.check(reader, job_id)

    def test_of_a_job_that_is_not_there_nothing_is_told(self) -> None:
        job_id = self.submit(0)
        unknown = job_id[:-1] + ("0" if job_id[-1] != "0" else "1")
        for path, status in ((f"/v1/jobs/{unknown}/events", 404), ("/v1/jobs/nonsense/events", 404),
                             (f"/v1/jobs/{job_id}/events?from=1", 400)):
            self.assertEqual(self.client.call("GET", path).status, status, path)
        answer = self.client.call("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "7"})
        self.assertEqual((answer.status, answer.body["error"]["code"]), (400, "invalid_last_event_id"))


class LiveModel(unittest.TestCase):
    def test_sampled_text_of_the_default_model_comes_as_it_is_made(self) -> None:
        stack = Stack("--model", str(REPOSITORY / "models/sluice-tiny/sluice-tiny-f16.gguf"))
        self.addCleanup(stack.down)
        stack.up()
        client = Client(stack)
        job = client.submit({"prompt": "Count to 20.", "parameters": {"temperature": 0.7, "stream": True, "max_tokens": 64}})
        self.assertIsNotNone(job)
        reader = Reader(self).read(client, job["id"])
        self.assertEqual(reader.text, client.job(job["id"])["result"]["text"])
        self.assertTrue(reader.text)


if __name__ == "__main__":
    unittest.main()
