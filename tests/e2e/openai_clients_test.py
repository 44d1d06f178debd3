"""OpenAI's own clients against a whole stack: what tests/clients/openai says of each major version."""
import json
import os
import subprocess
import unittest

from world import CLIENTS, NODE, Client, Stack, needs_clients

READ_KEY = "a-key-that-may-only-read-0123456789ab"
OTHER_KEY = "another-tenants-key-0123456789abcdef"
LIMITED_KEY = "a-key-of-a-limited-tenant-0123456789"


@needs_clients("openai")
class OpenAiClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack("--engine", "echo", "--set", "producer:SLUICE_LIMITS_READ=100ms")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        for key, tenant, scopes in [(READ_KEY, "default", "read"), (OTHER_KEY, "other", "submit,read"), (LIMITED_KEY, "limited", "read")]:
            cls.stack.add_key(key, tenant, scopes)
        admin = {"Authorization": f"Bearer {cls.stack.environment['SLUICE_ADMIN_KEY']}"}
        for name, route, quota, window in [("models", "/v1/models", 2, 3600), ("files", "/v1/files", 1, 1)]:
            answer = Client(cls.stack).call("POST", "/v1/admin/limits", {
                "name": name, "tenant": "limited", "route": route, "quota": quota, "window": window}, headers=admin)
            if answer.status != 200:
                raise AssertionError(answer)

    def check(self, version: str) -> None:
        environment = {"PATH": os.environ["PATH"], "SLUICE_READ_KEY": READ_KEY, "SLUICE_OTHER_KEY": OTHER_KEY,
                       "SLUICE_LIMITED_KEY": LIMITED_KEY,
                       **{name: self.stack.environment[name] for name in ("SLUICE_URL", "SLUICE_API_KEY")}}
        done = subprocess.run([str(NODE), "suite.mjs", version], cwd=CLIENTS / "openai", env=environment, capture_output=True, text=True,
                              timeout=300, check=False)
        results = [json.loads(line) for line in done.stdout.splitlines()]
        for result in results:
            with self.subTest(result["case"], version=version):
                self.assertTrue(result["ok"], result["error"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(len(results), 5)

    def test_version_5(self) -> None:
        self.check("openai-v5")

    def test_version_6(self) -> None:
        self.check("openai-v6")

    def test_version_7(self) -> None:
        self.check("openai-v7")


if __name__ == "__main__":
    unittest.main()
