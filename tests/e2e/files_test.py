"""/v1/files on a whole stack: uploads of every form, ranges, pages, tenants, and what a crash leaves."""
import concurrent.futures
import hashlib
import http.client
import json
import random
import re
import time
import unittest

from world import FORM, Answer, Client, Stack, form

OTHER_KEY = "another-tenants-key-0123456789abcdef"
PIECE = 100_000
EXPIRES = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo", "--set", "producer:SLUICE_FILES_SWEEP_EVERY=50ms",
                          "--set", "producer:SLUICE_SHARD_LEASE=2s",
                          "--set", "producer:SLUICE_FILES_UPLOADS_OF_TENANT_MAX=2")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.stack.add_key(OTHER_KEY, "other", "submit,read")

    def call(self, method: str, path: str, status: int = 200, **headers: str) -> Answer:
        answer = self.client.call(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def open(self, length: int | None) -> http.client.HTTPConnection:
        """An upload whose body is still to come; without a length it is chunked."""
        connection = http.client.HTTPConnection(self.client.url.hostname, self.client.url.port, timeout=90)
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/v1/files")
        connection.putheader("Authorization", f"Bearer {self.client.key}")
        connection.putheader("Content-Type", FORM["Content-Type"])
        connection.putheader(*("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length)))
        connection.endheaders()
        return connection

    def post(self, body: bytes, chunked: bool = False) -> tuple[int, dict]:
        connection = self.open(None if chunked else len(body))
        for at in range(0, len(body), PIECE):
            piece = body[at:at + PIECE]
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            connection.send(b"0\r\n\r\n")
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def upload(self, contents: bytes, purpose: str = "batch", chunked: bool = False, **more: object) -> dict:
        status, file = self.post(form(contents, {"purpose": purpose, **more.pop("fields", {})}, **more), chunked)
        self.assertEqual(status, 200, file)
        return file

    def content(self, file: dict, status: int = 200, method: str = "GET", **headers: str) -> tuple[bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(self.client.url.hostname, self.client.url.port, timeout=90)
        self.addCleanup(connection.close)
        connection.request(method, f"/v1/files/{file['id']}/content", headers={
            "Authorization": f"Bearer {self.client.key}", **{name.replace("_", "-"): value for name, value in headers.items()}})
        response = connection.getresponse()
        body = response.read()
        self.assertEqual(response.status, status, body[:300])
        return body, {name.lower(): value for name, value in response.getheaders()}

    def listed(self, query: str = "") -> list[str]:
        return [file["id"] for file in self.call("GET", f"/v1/files{query}").body["data"]]

    def wait_until(self, condition, what: str) -> None:
        until = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.05)

    def rows(self, where: str = "TRUE") -> list[list[str]]:
        return self.stack.sql(f"SELECT f.id, COUNT(c.start) FROM file f LEFT JOIN file_chunk c ON c.file_id = f.id WHERE {where} GROUP BY f.id")

    def wait_swept(self) -> None:
        self.wait_until(lambda: not self.rows("f.state <> 'ready'"), "what was given up is not swept")

    def test_uploads_of_every_form_give_the_file_that_was_sent(self) -> None:
        contents = b'{"custom_id": "a", "text": "\xc3\xa9"}\r\n{"custom_id": "b"}\n--B no boundary'
        for chunked in (False, True):
            for file_first in (False, True):
                with self.subTest(chunked=chunked, file_first=file_first):
                    file = self.upload(contents, chunked=chunked, file_first=file_first, fields=EXPIRES)
                    self.assertEqual({**file, "id": "", "created_at": 0, "expires_at": 0}, {
                        "id": "", "object": "file", "bytes": len(contents), "created_at": 0, "expires_at": 0,
                        "filename": "in.jsonl", "purpose": "batch", "status": "processed", "status_details": None})
                    self.assertRegex(file["id"], r"^file-[0-9a-f-]{36}$")
                    self.assertEqual(file["expires_at"] - file["created_at"], 3600)
                    self.assertEqual(self.call("GET", f"/v1/files/{file['id']}").body, file)
                    body, headers = self.content(file)
                    self.assertEqual(body, contents)
                    self.assertEqual(headers["content-disposition"], 'attachment; filename="in.jsonl"')
                    self.assertEqual(headers["content-type"], "application/octet-stream")
                    self.assertEqual(self.content(file, 206, Range="bytes=0-3", If_Range=headers["etag"])[0], contents[:4])
                    self.assertEqual(self.content(file, 200, Range="bytes=0-3", If_Range='"other"')[0], contents)

    def test_a_large_file_and_ranges_of_it(self) -> None:
        contents = random.Random(1).randbytes(30 << 20)
        file = self.upload(contents, purpose="user_data", chunked=True, filename='../a";b.bin'.replace('"', "%22"))
        self.assertEqual((file["bytes"], file["filename"]), (len(contents), "a%22;b.bin"))
        body, headers = self.content(file)
        self.assertEqual(hashlib.sha256(body).digest(), hashlib.sha256(contents).digest())
        self.assertEqual(headers["content-length"], str(len(contents)))
        size, mib = len(contents), 1 << 20
        for text, first, last in [("0-0", 0, 0), (f"{mib - 1}-{mib}", mib - 1, mib), (f"{size - 5}-", size - 5, size - 1),
                                  ("-7", size - 7, size - 1), (f"5-{size * 2}", 5, size - 1)]:
            with self.subTest(text):
                body, headers = self.content(file, 206, Range=f"bytes={text}")
                self.assertTrue(body == contents[first:last + 1])
                self.assertEqual(headers["content-range"], f"bytes {first}-{last}/{size}")
        _, headers = self.content(file, 416, Range=f"bytes={size}-")
        self.assertEqual(headers["content-range"], f"bytes */{size}")
        body, headers = self.content(file, 200, method="HEAD")
        self.assertEqual((body, headers["content-length"], headers["accept-ranges"]), (b"", str(size), "bytes"))
        self.content(file, 304, If_None_Match=headers["etag"])

    def test_lists_have_pages_in_both_orders(self) -> None:
        made = [self.upload(b"x\n", purpose="user_data")["id"] for _ in range(5)]
        mine = [i for i in self.listed("?purpose=user_data&limit=1000") if i in made]
        self.assertEqual(mine, made[::-1])
        pages, after = [], ""
        while True:
            page = self.call("GET", f"/v1/files?limit=2&order=asc{after}").body
            self.assertEqual((page["object"], page["first_id"], page["last_id"]),
                             ("list", page["data"][0]["id"], page["data"][-1]["id"]))
            pages += [file["id"] for file in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        self.assertEqual(pages, self.listed("?order=asc"))
        self.assertEqual([i for i in pages if i in made], made)
        for query in ("limit=0", "limit=10001", "order=up", "after=5", "purpose=%27", "x=1", "limit=1&limit=2"):
            error = self.call("GET", f"/v1/files?{query}", 400).body["error"]
            self.assertEqual((error["code"], error["param"]), ("invalid_query_parameter", query.split("=")[0]))

    def test_deleted_and_expired_files_are_gone_and_their_chunks_go(self) -> None:
        deleted, expired = self.upload(b"d" * (3 << 20)), self.upload(b"e\n", fields=EXPIRES)
        answer = self.call("DELETE", f"/v1/files/{deleted['id']}").body
        self.assertEqual(answer, {"id": deleted["id"], "object": "file", "deleted": True})
        self.stack.sql(f"UPDATE file SET expires_at = UTC_TIMESTAMP(6), sweep_due = UTC_TIMESTAMP(6) WHERE id = '{expired['id']}'")
        for file in (deleted, expired):
            path = f"/v1/files/{file['id']}"
            for method, one in [("GET", path), ("DELETE", path), ("GET", f"{path}/content")]:
                self.assertEqual(self.call(method, one, 404).body["error"]["code"], "file_not_found")
            self.assertNotIn(file["id"], self.listed())
        ids = f"f.id IN ('{deleted['id']}', '{expired['id']}')"
        self.wait_until(lambda: not self.rows(ids), "the rows stay")
        self.assertEqual(self.stack.sql(f"SELECT COUNT(*) FROM file_chunk f WHERE {ids.replace('f.id', 'f.file_id')}"), [["0"]])

    def test_an_upload_with_a_key_is_stored_once(self) -> None:
        contents = random.Random(5).randbytes(2_500_000)

        def send(body: bytes, key: str) -> Answer:
            return self.client.call("POST", "/v1/files", body, headers={**FORM, "Idempotency-Key": key})

        body = form(contents, {"purpose": "user_data"})
        first = send(body, "large")
        self.assertEqual(first.status, 200, first.body)
        again = send(form(contents, {"purpose": "user_data"}, file_first=True), "large")
        self.assertEqual((again.status, again.body), (200, first.body))
        other = send(form(contents[:-1], {"purpose": "user_data"}), "large")
        self.assertEqual((other.status, other.body["error"]["code"]), (422, "idempotency_key_reused"))
        self.assertNotEqual(send(body, "another").body["id"], first.body["id"])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: send(body, "both"), range(2)))
        self.assertEqual([answer.status for answer in both], [200, 200], [answer.body for answer in both])
        self.assertEqual(both[0].body, both[1].body)
        self.wait_swept()
        self.assertEqual(send(form(b"x", {"purpose": "batch"}), "\u00e9").status, 400)
        self.call("DELETE", f"/v1/files/{first.body['id']}")
        gone = send(body, "large")
        self.assertEqual((gone.status, gone.body["error"]["code"]), (404, "file_not_found"))

    def test_another_tenants_id_looks_like_an_unknown_one(self) -> None:
        file = self.upload(b"mine\n")
        unknown = file["id"][:-12] + "000000000000"
        as_other = {"Authorization": f"Bearer {OTHER_KEY}"}
        for method, suffix in [("GET", ""), ("DELETE", ""), ("GET", "/content")]:
            theirs = self.call(method, f"/v1/files/{file['id']}{suffix}", 404, **as_other)
            none = self.call(method, f"/v1/files/{unknown}{suffix}", 404, **as_other)
            bad = self.call(method, f"/v1/files/nonsense{suffix}", 404, **as_other)
            self.assertEqual(theirs.body, none.body)
            self.assertEqual(theirs.body, bad.body)
        self.assertEqual(self.call("GET", "/v1/files", **as_other).body["data"], [])
        self.assertEqual(self.content(file)[0], b"mine\n")

    def test_broken_uploads_are_refused_by_name_and_leave_nothing(self) -> None:
        good = form(b"x\n", {"purpose": "batch"})
        before = self.listed()
        for body, status, code, param in [
                (form(b"x", {}), 400, "missing_field", "purpose"),
                (form(b"x", {"purpose": "fine-tune"}, file_first=True), 400, "invalid_value", "purpose"),
                (form(b"", {"purpose": "batch"}), 400, "empty_file", "file"),
                (form(b"x\n" * 50_001, {"purpose": "batch"}), 400, "too_many_lines", "file"),
                (form(b"x", {"purpose": "batch", "expires_after[seconds]": "5"}), 400, "invalid_value", "expires_after[seconds]"),
                (good[:-9], 400, "invalid_multipart", None), (b"nonsense", 400, "invalid_multipart", None)]:
            for chunked in (False, True):
                with self.subTest(code=code, param=param, chunked=chunked):
                    answer = self.post(body, chunked)
                    self.assertEqual((answer[0], answer[1]["error"]["code"], answer[1]["error"]["param"]), (status, code, param))
        # Told by its length alone, before any of it is sent.
        refused = self.open(300 << 20).getresponse()
        self.assertEqual(refused.status, 413)
        self.assertEqual(json.loads(refused.read())["error"]["type"], "invalid_request_error")
        answer = self.client.call("POST", "/v1/files", {"file": "x"})
        self.assertEqual(answer.status, 415, answer.body)
        self.assertEqual(self.listed(), before)
        self.wait_swept()

    def half_an_upload(self) -> http.client.HTTPConnection:
        """Two MiB are stored, the end is missing."""
        body = form(b"y" * (5 << 20), {"purpose": "user_data"})
        connection = self.open(len(body))
        before = len(self.rows("f.state = 'writing'"))
        connection.send(body[:3 << 20])
        self.wait_until(lambda: len([row for row in self.rows("f.state = 'writing'") if int(row[1]) >= 2]) > before,
                        "no chunk is stored")
        return connection

    def test_uploads_at_a_time_are_bounded_and_those_left_are_given_up(self) -> None:
        before = self.listed()
        two = [self.half_an_upload(), self.half_an_upload()]
        status, refused = self.post(form(b"x\n", {"purpose": "batch"}))
        self.assertEqual((status, refused["error"]["code"]), (503, "too_many_uploads"))
        for connection in two:
            connection.close()
        self.wait_until(lambda: self.post(form(b"x\n", {"purpose": "batch"}))[0] == 200, "the places stay taken")
        self.wait_swept()
        self.assertEqual(len(self.listed()), len(before) + 1)

    def died(self, failpoint: str, doing) -> None:
        """The producer dies at a failpoint, once, while `doing` is done."""
        self.stack.up("--set", f"producer:SLUICE_FAILPOINT={failpoint}")
        pid = self.stack.pid("producer")
        doing()
        self.wait_until(lambda: self.stack.pid("producer") != pid, f"it does not die at {failpoint}")

    def cut_off(self, contents: bytes) -> None:
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.post(form(contents, {"purpose": "batch"}))

    def test_whatever_a_killed_producer_leaves_is_invisible_or_whole(self) -> None:
        before = self.listed()

        def uploads() -> None:
            self.half_an_upload()
            self.cut_off(b"never\n")

        self.died("files.before_finish", uploads)
        self.died("files.after_finish", lambda: self.cut_off(b"whole\n"))
        self.assertEqual(sorted(int(row[1]) for row in self.rows("f.state = 'writing'")), [1, 2])
        # A day later the sweep comes, and dies on its way.
        self.died("store.sweep_before_row", lambda: self.stack.sql(
            "UPDATE file SET sweep_due = UTC_TIMESTAMP(6) WHERE state = 'writing'"))
        self.stack.up("--set", "producer:SLUICE_FAILPOINT=")
        new = [i for i in self.listed() if i not in before]
        self.assertEqual([self.content({"id": i})[0] for i in new], [b"whole\n"])
        self.wait_swept()
        self.assertEqual(self.stack.sql("SELECT COUNT(*) FROM file_chunk WHERE file_id NOT IN (SELECT id FROM file)"), [["0"]])
        swept = re.search(r"^sluice_producer_files_swept_total (\d+)", self.client.call("GET", "/metrics").body, re.M)
        self.assertGreater(int(swept.group(1)), 0)


if __name__ == "__main__":
    unittest.main()
