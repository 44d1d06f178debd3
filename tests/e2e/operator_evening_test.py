"""An operator's evening (docs/runbook.md), played with the real tool on the whole stack with the echo engine: 1,000 dead letters of
three causes are found, one cause is mended, its jobs are redriven after a canary, the others are discarded, and the audit log tells."""
import json
import os
import pty
import re
import select
import signal
import time
import unittest

from world import Client, Stack, binaries

TOO_LONG, REFUSED, UNAVAILABLE = 600, 250, 150
TOTAL = TOO_LONG + REFUSED + UNAVAILABLE


class OperatorsEvening(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        # The first cause: somebody gave the worker less context than the producer promises.
        cls.stack = Stack("--engine", "echo", "--set", "worker:SLUICE_CONTEXT_TOKENS_MAX=16")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        cls.client = Client(cls.stack)
        cls.ctl = cls.stack.ctl

    def program(self) -> str:
        return str(binaries() / "bin" / "sluicectl")

    def ctl_json(self, *words: str) -> dict:
        return json.loads(self.ctl(*words, "--json"))

    def at_terminal(self, *words: str, say: list[tuple[str, bytes | int]]) -> tuple[int, str]:
        """Runs it at a terminal of its own; what to type (or which signal to send) once a text has come."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(self.program(), [self.program(), *words], {**self.stack.operator(), "TERM": "xterm"})
        seen, due = "", list(say)
        until = time.monotonic() + 60
        try:
            while time.monotonic() < until:
                if due and due[0][0] in seen:
                    answer = due.pop(0)[1]
                    if isinstance(answer, int):
                        os.kill(pid, answer)
                    else:
                        os.write(terminal, answer)
                if not select.select([terminal], [], [], 0.1)[0]:
                    continue
                try:
                    piece = os.read(terminal, 65536)
                except OSError:     # The other end is closed.
                    break
                if not piece:
                    break
                seen += piece.decode("utf-8", "replace")
            else:
                os.kill(pid, signal.SIGKILL)
        finally:
            status = os.waitpid(pid, 0)[1]
            os.close(terminal)
        self.assertEqual(due, [], seen)
        return os.waitstatus_to_exitcode(status), seen

    def causes(self) -> dict[str, tuple[str, int]]:
        """Error code -> fingerprint and number of letters."""
        groups = self.ctl_json("dlq", "list")["data"]
        return {group["error"]["code"]: (group["fingerprint"], group["count"]) for group in groups}

    def wait_for_letters(self, total: int) -> None:
        until = time.monotonic() + 90
        while (have := sum(count for _, count in self.causes().values())) < total:
            self.assertLess(time.monotonic(), until, f"{have} dead letters")
            time.sleep(0.5)     # Between two looks.

    def test_the_evening(self) -> None:
        before = len(self.ctl_json("audit", "--limit", "0")["data"])
        words = " ".join(f"word{i}" for i in range(30))
        for requests in ([{"prompt": f"{words} {i}"} for i in range(TOO_LONG)],
                         [{"prompt": f"r{i}", "parameters": {"fault": "permanent"}} for i in range(REFUSED)],
                         [{"prompt": f"u{i}", "parameters": {"fault": "transient", "fault_attempts": 1000}}
                          for i in range(UNAVAILABLE)]):
            self.assertIsNotNone(self.client.submit({"requests": requests}))
        self.wait_for_letters(TOTAL)

        # Find.
        overview = self.ctl("dlq", "list")
        self.assertIn("1,000 dead letters of 3 causes", overview)
        causes = self.causes()
        self.assertEqual({code: count for code, (_, count) in causes.items()},
                         {"context_length_exceeded": TOO_LONG, "invalid_request": REFUSED, "engine_unavailable": UNAVAILABLE})
        too_long = causes["context_length_exceeded"][0]
        cause = self.ctl("dlq", "show", too_long)
        self.assertIn("the model's context holds 16", cause)
        one = re.search(r"dlq show (job_\S+)", cause).group(1)
        self.assertIn("context_length_exceeded", self.ctl("dlq", "show", one))
        unavailable = self.ctl_json("dlq", "list", "--reason", "attempts", "--each", "-n", "1")["data"][0]["job_id"]
        tried = self.ctl_json("dlq", "show", unavailable)
        self.assertEqual(len(tried["attempt_log"]), 5)

        # A canary before anything is mended: it fails, and so does the command.
        failed = self.ctl("dlq", "redrive", "--fingerprint", too_long, "--canary", "3", "--yes", code=1)
        self.assertIn("3 redriven jobs ended badly again", failed)
        first = self.ctl_json("dlq", "operations", "-n", "1")["data"][0]["id"]
        self.assertIn("is stopped: 3 of 600", self.ctl("dlq", "stop", first))

        # Mend the cause, then a canary.
        self.stack.up("--set", "worker:SLUICE_CONTEXT_TOKENS_MAX=")
        self.assertIn("would redrive 600 letters", self.ctl("dlq", "redrive", "--fingerprint", too_long, "--dry-run"))
        code, seen = self.at_terminal("dlq", "redrive", "--fingerprint", too_long, "--canary", "10", say=[("[y/N]", b"y\n")])
        self.assertEqual(code, 0, seen)
        self.assertIn("Run 600 jobs again (10 first, as canary)?", seen)
        self.assertIn("of these jobs 10 succeeded, 0 ended otherwise, 0 are unfinished", seen)
        operation = re.search(r"dlq continue (op_\S+)", seen).group(1)
        done = self.ctl("dlq", "continue", operation, "--outcome")
        self.assertIn("redrove 600 of 600 dead letters", done)
        self.assertIn("of these jobs 600 succeeded, 0 ended otherwise, 0 are unfinished", done)

        # One of the refused ones is corrected by hand and runs as a job of its own.
        refused = self.ctl_json("dlq", "list", "--error", "invalid_request", "--each", "-n", "1")["data"][0]["job_id"]
        fresh = self.ctl_json("dlq", "replay", refused, "--set", "parameters.fault=null", "--set", "prompt=corrected")["id"]
        self.assertEqual(self.client.wait_final(fresh)["result"]["text"], "corrected")

        # The rest is exported, then discarded.
        letters = self.stack.root / "letters.jsonl"
        self.assertIn("399 dead letters in ", self.ctl("dlq", "export", "--output", str(letters)))
        exported = [json.loads(line) for line in letters.read_text(encoding="utf-8").splitlines()]
        self.assertEqual(len({letter["job_id"] for letter in exported}), TOTAL - TOO_LONG - 1)
        self.assertEqual({letter["request"]["parameters"]["fault"] for letter in exported}, {"permanent", "transient"})
        self.assertIn("give --yes", self.ctl("dlq", "discard", "--all", code=2))
        code, seen = self.at_terminal("dlq", "discard", "--all", say=[("[y/N]", b"n\n")])
        self.assertEqual(code, 1, seen)
        self.assertEqual(sum(count for _, count in self.causes().values()), 399)
        self.assertIn("discarded 399 of 399 dead letters", self.ctl("dlq", "discard", "--all", "--yes"))
        self.assertEqual(self.ctl("dlq", "list"), "no dead letters\n")

        # Who did what.
        entries = [(entry["action"], entry["count"]) for entry in self.ctl_json("audit", "--limit", "0")["data"]][::-1][before:]
        wanted = [("dead_letters.redrive", 600), ("dead_letters.redrive.cancel", 3), ("dead_letters.redrive", 600),
                  ("dead_letters.redrive.continue", 590), ("dead_letters.redrive.done", 600), ("dead_letters.replay", 1),
                  ("dead_letters.discard", 399), ("dead_letters.discard.done", 399)]
        self.assertEqual([entry for entry in entries if entry[0] != "dead_letters.export"], wanted)
        self.assertEqual(sum(count for action, count in entries if action == "dead_letters.export"), 399)
        self.assertIn("bootstrap-admin", self.ctl("audit"))

    def test_ctrl_c_leaves_a_redrive_to_the_server(self) -> None:
        accepted = self.client.submit({"requests": [{"prompt": f"c{i}", "parameters": {"fault": "permanent"}} for i in range(20)]})
        ids = [job["id"] for job in accepted["data"]]
        for job_id in ids:
            self.client.wait_final(job_id)
        code, seen = self.at_terminal("dlq", "redrive", *ids, "--rate", "1", "--yes", say=[("redriving [", signal.SIGINT)])
        self.assertEqual(code, 130, seen)
        operation = re.search(r"sluicectl dlq watch (op_\S+);", seen).group(1)
        self.assertIn(self.ctl_json("dlq", "operations", "-n", "1")["data"][0]["status"], ("running", "done"))
        self.ctl("dlq", "stop", operation)
        # What was redriven until then ends before the letters are given up.
        over = json.loads(self.ctl("dlq", "watch", operation, "--outcome", "--json", code=None))
        self.assertEqual((over["status"], over["outcome"]["unfinished"]), ("cancelled", 0))
        self.assertIn("discarded 20 of 20", self.ctl("dlq", "discard", "--all", "--yes"))

    def test_what_is_wrong_is_said(self) -> None:
        self.assertIn("invalid_api_key", self.ctl("audit", code=1, SLUICE_ADMIN_KEY="sk_wrong"))
        self.assertIn("insufficient_scope", self.ctl("audit", code=1, SLUICE_ADMIN_KEY=self.stack.environment["SLUICE_API_KEY"]))
        self.assertIn("can't be reached", self.ctl("audit", code=1, SLUICE_URL="http://127.0.0.1:1"))
        self.assertIn("dead_letter_not_found", self.ctl("dlq", "show", "job_1", code=1))
        self.assertIn("fingerprint must be 16 hex", self.ctl("dlq", "list", "--fingerprint", "XY", code=2))
        self.assertIn("Did you mean 'list'?", self.ctl("dlq", "lst", code=2))
        error = json.loads(self.ctl("dlq", "show", "job_1", "--json", code=1))["error"]
        self.assertEqual(error["code"], "not_found")


if __name__ == "__main__":
    unittest.main()
