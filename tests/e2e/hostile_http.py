"""A producer on an open network: clients that drip bytes, and a thousand requests that are no requests."""
import json
import random
import socket
import threading

DRIPPERS = 200
MALFORMED = 1000
SEED = 4
# Settings under which that takes seconds.
SETTINGS = ("--set", "producer:SLUICE_HTTP_HEADER_TIMEOUT=2s", "--set", "producer:SLUICE_HTTP_BODY_TIMEOUT=2s")


class HostileHttp:
    """For a test that has a `stack` with the echo engine and SETTINGS, and a `client`."""

    def served(self) -> None:
        """The service does what it is there for; `call` has a limit of time."""
        answer = self.client.call("POST", "/v1/jobs", {"prompt": "still there?"}, timeout=20)
        self.assertEqual(answer.status, 202, answer.body)
        self.assertEqual(self.client.wait_final(answer.body["id"], 20)["result"]["text"], "still there?")

    def test_two_hundred_clients_that_drip_bytes_hold_up_nobody(self) -> None:
        key = f"Authorization: Bearer {self.client.key}\r\n"
        heads = [
            "GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 100000\r\n\r\n",
            f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n{key}Transfer-Encoding: chunked\r\n\r\n186a0\r\n",
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\n{key}Content-Type: multipart/form-data; boundary=b\r\n"
            "Content-Length: 100000\r\n\r\n",
        ]
        slow = [socket.create_connection((self.client.url.hostname, self.client.url.port), timeout=30) for _ in range(DRIPPERS)]
        self.addCleanup(lambda: [one.close() for one in slow])
        for index, one in enumerate(slow):
            one.sendall(heads[index % len(heads)].encode())
        over = threading.Event()

        def drip() -> None:
            open_ones = list(slow)
            while open_ones and not over.wait(0.05):
                for one in list(open_ones):
                    try:
                        one.sendall(b"a")
                    except OSError:
                        open_ones.remove(one)

        dripping = threading.Thread(target=drip)
        dripping.start()
        self.addCleanup(dripping.join)
        self.addCleanup(over.set)
        for _ in range(10):
            self.served()
        # Each is ended by the clock, most with a 408; uploads have room for eight of a tenant, the others hear that.
        for index, one in enumerate(slow):
            with self.subTest(index=index):
                self.assertIn(status_of(read_all(one)), (408, 503, None))
        self.served()

    def test_a_thousand_malformed_requests_are_refused_and_nothing_runs(self) -> None:
        jobs = self.stack.sql("SELECT COUNT(*) FROM job")
        corpus = malformed(self.client.key)
        answered = 0
        for number, text in enumerate(corpus):
            with self.subTest(number=number, seed=SEED, text=text[:200]):
                with socket.create_connection((self.client.url.hostname, self.client.url.port), timeout=20) as one:
                    try:
                        one.sendall(text)
                        one.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass    # Refused before all of it was sent.
                    answer = read_all(one)
                for line in answer.split(b"\r\n"):
                    self.assertFalse(line.startswith(b"HTTP/1.1 2") and b" 100 " not in line, answer[:300])
                status = status_of(answer)
                if status is not None:
                    answered += 1
                    self.assertTrue(400 <= status < 500 or status in (501, 505), answer[:300])   # Method, version.
        self.assertGreater(answered, MALFORMED // 2)
        self.assertEqual(self.stack.sql("SELECT COUNT(*) FROM job"), jobs)
        self.served()


def read_all(one: socket.socket) -> bytes:
    parts = []
    try:
        while part := one.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass    # What was said before counts.
    return b"".join(parts)


def status_of(answer: bytes) -> int | None:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def malformed(key: str) -> list[bytes]:
    """Requests each of which is wrong in itself; none of them may be answered with a success."""
    rng = random.Random(SEED)
    auth = f"Authorization: Bearer {key}\r\n".encode()

    def noise(most: int, low: int = 0, high: int = 255) -> bytes:
        return bytes(rng.randint(low, high) for _ in range(rng.randint(1, most)))

    def post(path: bytes, fields: bytes, body: bytes) -> bytes:
        return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + auth + fields + b"\r\n" + body

    def sized(path: bytes, body: bytes, kind: bytes = b"application/json") -> bytes:
        return post(path, b"Content-Type: " + kind + b"\r\nContent-Length: %d\r\n" % len(body), body)

    def broken_json() -> bytes:
        good = json.dumps({"prompt": "x" * rng.randint(1, 40), "parameters": {"max_tokens": 4}}).encode()
        return rng.choice([good[:-rng.randint(1, len(good) - 1)], good + b"}", b"[" * rng.randint(65, 5000), noise(60, 128),
                           good.replace(b":", b"=", 1), b"\xff" + good, b"", good.replace(b'"', b"'")])

    def wrong_job() -> bytes:
        return json.dumps(rng.choice([
            [], 1, None, {}, {"prompt": rng.randint(0, 9)}, {"prompt": "x", "messages": []}, {"messages": "x"},
            {"prompt": "x", "parameters": {"temperature": rng.uniform(2.1, 1e9)}}, {"prompt": "x", "surprise": rng.random()},
            {"prompt": "x", "expires_in": -rng.randint(1, 99)}, {"prompt": "x", "priority": "highest"},
            {"requests": []}, {"requests": [{"prompt": "x"}, {"prompt": None}]},
            {"prompt": "x", "callback_url": "ftp://example.com/"}, {"prompt": "x", "metadata": {"k": {"deep": 1}}},
        ])).encode()

    kinds = [
        lambda: noise(300),
        lambda: noise(80, 33, 126) + b"\r\n\r\n",
        lambda: b"GET /" + noise(20, 128) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: b"GET /v1/jobs HTTP/" + noise(6, 48, 90) + b"\r\nHost: x\r\n\r\n",
        lambda: b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n" + noise(10, 1, 31) + b": y\r\n\r\n",
        lambda: b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX: " + rng.choice([b"\x00", b"\x0b", b"\x7f", b"\xe9"]) + b"\r\n\r\n",
        lambda: b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * rng.randint(101, 300) + b"\r\n",
        lambda: b"GET /" + b"a" * rng.randint(9000, 30000) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: b"GET /v1/jobs/%" + rng.choice([b"", b"zz", b"0", b"00"]) + b" HTTP/1.1\r\nHost: x\r\n" + auth + b"\r\n",
        lambda: rng.choice([b"get", b"BREW", b"POST POST"]) + b" /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: b"GET /v1/" + noise(12, 97, 122) + b"?x HTTP/1.1\r\nHost: x\r\n" + auth + b"\r\n",
        lambda: b"GET /v1/jobs?limit=%d HTTP/1.1\r\nHost: x\r\n" % rng.randint(101, 10**9) + auth + b"\r\n",
        lambda: post(b"/v1/jobs", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        lambda: post(b"/v1/jobs", b"Content-Length: " + rng.choice([b"-1", b"+2", b"1e3", b"0x5", b"5, 5", b"9" * 30]) + b"\r\n", b"{}"),
        lambda: post(b"/v1/jobs", b"Content-Length: %d\r\n" % rng.randint(8_000_001, 10**12), b""),
        lambda: post(b"/v1/jobs", b"Transfer-Encoding: " + rng.choice([b"gzip", b"chunked, chunked", b"xchunked"]) + b"\r\n", b"0\r\n\r\n"),
        lambda: post(b"/v1/jobs", b"Transfer-Encoding: chunked\r\n",
                     rng.choice([b"zz\r\n", b"-1\r\n", b"1\r\nab\r\n", b"F" * 17 + b"\r\n", b"1;" + b"x" * 300 + b"\r\n", b"2\nab"])),
        lambda: sized(b"/v1/jobs", broken_json()),
        lambda: sized(b"/v1/jobs", wrong_job()),
        lambda: post(b"/v1/jobs", b"Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}"),
        lambda: sized(b"/v1/files", b"--b\r\n" + noise(200), b"multipart/form-data; boundary=b"),
        lambda: sized(b"/v1/files", b"--b\r\nContent-Disposition: form-data; name=purpose\r\n\r\nbatch\r\n--b--",
                      b"multipart/form-data" + rng.choice([b"", b"; boundary=", b"; boundary=\"", b"; boundary=c", b"; boundary=b"])),
    ]
    return [kinds[number % len(kinds)]() for number in range(MALFORMED)]
