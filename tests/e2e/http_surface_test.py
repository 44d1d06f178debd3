"""The producer's whole HTTP surface: schema/openapi.json and the service say the same (each operation is called, each route is
described), and hostile clients don't get anywhere."""
import http.client
import json
import os
import subprocess
import tempfile
import unittest
import urllib.parse
from pathlib import Path

import hostile_http
from world import FORM, REPOSITORY, Client, Receiver, Stack, binaries, form

DESCRIPTION = json.loads((REPOSITORY / "schema" / "openapi.json").read_text(encoding="utf-8"))
METHODS = ("get", "post", "put", "patch", "delete")
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "Hi"}]}}
# Operations whose successes are looked at in an order of their own, before all others: they make what the others need, or
# need a worker that takes jobs, which drainWorker ends.
MAKE = ("createChatCompletion", "createCompletion", "createResponse", "uploadFile", "createBatch", "createWebhookEndpoint",
        "createKey", "setPause", "redriveDeadLetters")
# And these at the end, since they end what the others need.
END = ("retryBatch", "cancelBatch", "deleteFile", "deleteResponse", "deleteWebhookEndpoint", "revokeKey", "endPause", "replayDeadLetter",
       "cancelOperation", "undrainWorker")
# Their success needs a state that isn't had here; what they answer instead is described, too.
MAY_REFUSE = {"continueOperation", "cancelOperation", "replayDeadLetter", "retryBatch", "pauseBatch", "resumeBatch"}


def operations():
    for path, item in DESCRIPTION["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


class Surface(hostile_http.HostileHttp, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.viewer = tempfile.TemporaryDirectory()      # Stands in for the real one, which a page for people needs.
        cls.addClassCleanup(cls.viewer.cleanup)
        for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
            (Path(cls.viewer.name) / name).write_text(f"/* {name} */", encoding="utf-8")
        cls.stack = Stack("--engine", "echo", "--set", f"producer:SLUICE_DOCS_VIEWER={cls.viewer.name}",
                          *hostile_http.SETTINGS)
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.admin_key = cls.stack.environment["SLUICE_ADMIN_KEY"]
        cls.receiver = Receiver(cls.stack.environment["SLUICE_WEBHOOK_SECRET"])
        cls.addClassCleanup(cls.receiver.close)
        cls.ids: dict[str, str] = {}
        cls.prepare()

    @classmethod
    def prepare(cls) -> None:
        """Something of each kind, so that reading it has something to show."""
        job = cls.client.submit({"prompt": "hello", "callback_url": cls.receiver.url(), "parameters": {"max_tokens": 4}})
        letters = [cls.client.submit({"prompt": "x", "parameters": {"fault": "permanent"}}) for _ in range(2)]
        for one in [job, *letters]:
            cls.client.wait_final(one["id"])
        cls.receiver.wait_for_jobs({job["id"]})
        cls.ids |= {"/v1/jobs/": job["id"], "/v1/admin/jobs/": job["id"], "/v1/admin/dead_letters/": letters[0]["id"],
                    "/v1/models/": "echo", "/docs/": "start.js"}
        delivery = cls.call("GET", "/v1/webhook_deliveries?job_id=" + job["id"])[2]["data"][0]
        cls.ids["/v1/webhook_deliveries/"] = delivery["id"]
        cls.ids["/v1/admin/workers/"] = cls.call("GET", "/v1/admin/workers")[2]["data"][0]["id"]

    @classmethod
    def call(cls, method: str, path: str, body: bytes | None = None, media: str = "application/json", key: str | None = ""):
        connection = http.client.HTTPConnection(cls.client.url.hostname, cls.client.url.port, timeout=60)
        try:
            headers = {} if key is None else {"Authorization": f"Bearer {key or cls.admin_key}"}
            if body is not None:
                headers["Content-Type"] = media
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            data = response.read()
            kind = (response.getheader("Content-Type") or "").split(";")[0]
            return response.status, kind, json.loads(data) if kind == "application/json" else data
        finally:
            connection.close()

    def path_of(self, path: str, known: bool) -> str:
        """With an id of ours, or of nobody."""
        if "{" not in path:
            return path
        before, _, rest = path.partition("{")
        _, _, after = rest.partition("}")
        return before + urllib.parse.quote(self.ids.get(before, "unknown") if known else "unknown") + after

    def body_of(self, operation: dict) -> tuple[bytes | None, str]:
        """What the description gives as an example."""
        if "requestBody" not in operation:
            return None, ""
        media, content = next(iter(operation["requestBody"]["content"].items()))
        if media == "multipart/form-data":
            return form(json.dumps(LINE).encode(), {"purpose": "batch"}), FORM["Content-Type"]
        self.assertIn("example", content, f"{operation['operationId']}: a body needs an example, which is then sent")
        example = dict(content["example"])
        if "input_file_id" in example:
            example["input_file_id"] = self.ids["/v1/files/"]
        if "url" in example:
            example["url"] = self.receiver.url("/endpoint")
        return json.dumps(example).encode(), media

    def check(self, operation: dict, answer: tuple) -> None:
        status, kind, body = answer
        name = operation["operationId"]
        self.assertIn(str(status), operation["responses"], f"{name} answers {status}, which isn't described: {str(body)[:300]}")
        described = resolve(operation["responses"][str(status)]).get("content")
        if described is None:
            self.assertFalse(body, f"{name}: {status} is described without a body")
            return
        self.assertIn(kind, described, f"{name}: {status}")
        if kind == "application/json":
            faults = list(mismatches(described[kind]["schema"], body, "answer"))
            self.assertEqual(faults, [], f"{name}: {status} {json.dumps(body)[:600]}")

    def remember(self, path: str, body: object) -> None:
        if isinstance(body, dict) and "id" in body:
            self.ids.setdefault(path + "/", body["id"])
            if body.get("object") == "operation":
                self.ids["/v1/admin/operations/"] = body["id"]

    def test_every_operation_answers_as_described(self) -> None:
        by_id = {operation["operationId"]: (method, path, operation) for method, path, operation in operations()}
        between = [name for name in by_id if name not in MAKE and name not in END]
        order = [name for name in [*MAKE, *between, *END] if name in by_id]
        for name in order:
            method, path, operation = by_id[name]
            with self.subTest(operation=name):
                body, media = self.body_of(operation)
                answer = self.call(method.upper(), self.path_of(path, True), body, media)
                self.check(operation, answer)
                self.remember(path, answer[2])
                if not 200 <= answer[0] < 300:
                    self.assertIn(name, MAY_REFUSE, f"{answer[0]} {answer[2]}")

    def test_refusals_are_as_described(self) -> None:
        for method, path, operation in operations():
            with self.subTest(operation=operation["operationId"]):
                body, media = (b"{}", "application/json") if "requestBody" in operation else (None, "")
                if operation["security"]:
                    answer = self.call(method.upper(), self.path_of(path, False), body, media, key=None)
                    self.assertEqual(answer[0], 401)
                    self.check(operation, answer)
                if "{" in path:
                    self.check(operation, self.call(method.upper(), self.path_of(path, False), body, media))
                if body and operation["requestBody"]["required"]:
                    answer = self.call(method.upper(), self.path_of(path, True), b"[1]", media)
                    self.assertEqual(answer[0] // 100, 4)
                    self.check(operation, answer)
                if "/admin/" in path:
                    answer = self.call(method.upper(), self.path_of(path, False), body, media, key=self.client.key)
                    self.assertEqual(answer[0], 403)
                    self.check(operation, answer)

    def test_every_route_is_described_and_nothing_else(self) -> None:
        settings = {name: value for name, value in self.stack.environment.items() if name != "SLUICE_STACK_DIR"}
        served = subprocess.run([str(binaries() / "bin" / "sluice-producer"), "--print-routes"], capture_output=True, text=True,
                                check=True, env={"PATH": os.environ["PATH"], **settings}).stdout
        described = {f"{method.upper()} {path}" for method, path, _ in operations()}
        self.assertEqual(described, set(served.splitlines()))

    def test_the_description_is_served_and_shown(self) -> None:
        self.assertEqual(self.call("GET", "/openapi.json", key=None)[2], DESCRIPTION)
        status, kind, page = self.call("GET", "/docs", key=None)
        self.assertEqual((status, kind), (200, "text/html"))
        text = page.decode()
        for method, path, _ in operations():
            self.assertIn(f"<code>{method.upper()} {path}</code>", text)
        for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
            self.assertIn(f'"/docs/{name}"', text)
            self.assertEqual(self.call("GET", f"/docs/{name}", key=None)[2].decode(), f"/* {name} */")
        self.assertNotIn("//", text.replace("<!--", "").replace("https://example.com", ""))     # Nothing from another host.

    def test_the_description_is_sound(self) -> None:
        ids = [operation["operationId"] for _, _, operation in operations()]
        self.assertEqual(len(ids), len(set(ids)))
        tags = {tag["name"] for tag in DESCRIPTION["tags"]}
        for _, path, operation in operations():
            self.assertLessEqual(set(operation["tags"]), tags)
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            self.assertEqual(named, {part[1:-1] for part in path.split("/") if part.startswith("{")}, path)
        used: set[str] = set()
        collect(DESCRIPTION, used)
        for reference in used:
            resolve({"$ref": reference})
        self.assertEqual({f"#/components/schemas/{name}" for name in DESCRIPTION["components"]["schemas"]} - used, set())


def collect(node: object, used: set[str]) -> None:
    if isinstance(node, dict):
        if "$ref" in node:
            used.add(node["$ref"])
        for value in node.values():
            collect(value, used)
    elif isinstance(node, list):
        for value in node:
            collect(value, used)


def resolve(node: dict) -> dict:
    while "$ref" in node:
        reference = node["$ref"]
        node = DESCRIPTION
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    return node


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def has_type(value: object, name: str) -> bool:
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def mismatches(schema: dict, value: object, where: str):
    """Where a value doesn't fit a schema; of JSON Schema, what the description uses for answers."""
    schema = resolve(schema)
    if "anyOf" in schema:
        tried = [list(mismatches(one, value, where)) for one in schema["anyOf"]]
        if all(tried):
            yield min(tried, key=len)[0] if value is not None else f"{where}: null fits none"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value is not None and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(has_type(value, kind) for kind in kinds):
        yield f"{where}: {value!r} is not {' or '.join(kinds)}"
        return
    if isinstance(value, str) and "pattern" in schema and not value.startswith(schema["pattern"].removeprefix("^")):
        yield f"{where}: {value!r} does not begin as {schema['pattern']}"
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from mismatches(schema.get("items", {}), one, f"{where}[{index}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name in set(schema.get("required", [])) - value.keys():
            yield f"{where}: {name} is missing"
        for name, one in value.items():
            rest = schema.get("additionalProperties", True)
            if name in properties:
                yield from mismatches(properties[name], one, f"{where}.{name}")
            elif rest is False:
                yield f"{where}: {name} isn't described"
            elif isinstance(rest, dict):
                yield from mismatches(rest, one, f"{where}.{name}")


if __name__ == "__main__":
    unittest.main()
