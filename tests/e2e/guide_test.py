"""docs/guide.md on a whole stack, with the bundled model: every piece that is marked as one that runs is run as it stands there, in
the order of the page, and says what the page says.

What stands behind a fence's language marks it. `run`: it is run; pieces of shell go on in the shell of their section, behind the
first of all, and each other one is a program of its own. `file=NAME`: the programs find it under that name. A fence `text` right
behind a piece is what it must print, line by line: `…` stands for anything within a line, and alone on one for any lines."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from dataclasses import dataclass
from pathlib import Path

from world import CLIENTS, NODE, REPOSITORY, Client, Stack, needs_clients

GUIDE = REPOSITORY / "docs" / "guide.md"
OPENAI = CLIENTS / "openai" / "node_modules" / "openai-v7"
PORT = "9009"       # The receivers' in the guide; here it is whichever is free.
FENCE = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = {"sh": ["bash"], "js": [str(NODE)], "python": ["python3"]}
SECONDS = 120


@dataclass
class Piece:
    section: str
    language: str
    mark: str
    text: str
    expected: str | None    # None: anything.


def pieces_of(guide: str) -> list[Piece]:
    pieces: list[Piece] = []
    for section in re.split(r"^## ", guide, flags=re.MULTILINE)[1:]:
        end = -1
        for found in FENCE.finditer(section):
            language, mark, text = found.group(1), found.group(2).strip(), found.group(3)
            if language == "text":
                if found.start() - end == 1:
                    pieces[-1].expected = text
            else:
                pieces.append(Piece(section.split("\n", 1)[0], language, mark, text, None))
            end = found.end()
    return pieces


def pattern_of(expected: str) -> str:
    lines = []
    for line in expected.splitlines():
        lines.append(r"(?:[^\n]*\n)*?" if line == "…" else "[^\n]*".join(re.escape(part) for part in line.split("…")) + r"\n")
    return "".join(lines)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class GuideItself(unittest.TestCase):
    def test_what_it_marks_is_found(self) -> None:
        pieces = pieces_of(GUIDE.read_text(encoding="utf-8"))
        for language in COMMANDS:
            self.assertGreater(sum(1 for one in pieces if (one.language, one.mark) == (language, "run")), 5, language)
        for one in pieces:
            self.assertTrue(one.mark in ("", "run") or one.mark.startswith("file="), one.mark)
            if one.mark == "run" and one.section != "Before you start":
                self.assertIsNotNone(one.expected, f"{one.section}: nothing is said of what this prints:\n{one.text}")

    def test_all_of_its_python_is_python(self) -> None:
        for one in pieces_of(GUIDE.read_text(encoding="utf-8")):
            if one.language == "python":
                compile(one.text, one.section, "exec")

    def test_every_section_is_run(self) -> None:
        here = Path(__file__).read_text(encoding="utf-8")
        for section in {one.section for one in pieces_of(GUIDE.read_text(encoding="utf-8")) if one.mark == "run"} - {"Before you start"}:
            self.assertIn(f'self.check("{section}")', here)

    def test_what_is_printed_is_compared(self) -> None:
        pattern = pattern_of('a "…" b\n…\nend\n')
        for text, same in (('a "x" b\nend\n', True), ('a "x" b\n1\n2\nend\n', True), ('a "x" c\nend\n', False),
                           ('a "x" b\nend\nmore\n', False), ('a "x\n" b\nend\n', False)):
            with self.subTest(text):
                self.assertEqual(re.fullmatch(pattern, text) is not None, same)


@needs_clients("openai")
class Guide(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="sluice-guide-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.stack = Stack("--set", "producer:SLUICE_LIMITS_READ=100ms")
        cls.addClassCleanup(cls.stack.down)
        cls.stack.up()
        guide = GUIDE.read_text(encoding="utf-8").replace(PORT, str(free_port()))
        cls.pieces = pieces_of(guide)
        (cls.folder / "node_modules").mkdir()
        (cls.folder / "node_modules" / "openai").symlink_to(OPENAI)
        (cls.folder / "node").symlink_to(NODE)
        for one in cls.pieces:
            if one.mark.startswith("file="):
                (cls.folder / one.mark.removeprefix("file=")).write_text(one.text, encoding="utf-8")
        cls.environment = {"PATH": f"{cls.folder}:{os.environ['PATH']}", "HOME": str(cls.folder), "PYTHONPATH": str(cls.folder),
                           **{name: cls.stack.environment[name] for name in ("SLUICE_URL", "SLUICE_API_KEY", "SLUICE_WEBHOOK_SECRET")}}

    def limit(self, name: str, route: str, quota: int, window: int) -> None:
        admin = {"Authorization": f"Bearer {self.stack.environment['SLUICE_ADMIN_KEY']}"}
        answer = Client(self.stack).call("POST", "/v1/admin/limits", {"name": name, "route": route, "quota": quota, "window": window},
                                         headers=admin)
        self.assertEqual(answer.status, 200, answer.body)

        self.addCleanup(lambda: Client(self.stack).call("POST", "/v1/admin/limits/unset", {"name": name}, headers=admin))

    def run_piece(self, language: str, text: str) -> str:
        """What it prints. Whatever it started in the background ends with it."""
        script = self.folder / f"piece.{ {'sh': 'sh', 'js': 'mjs', 'python': 'py'}[language]}"
        script.write_text(text, encoding="utf-8")
        process = subprocess.Popen([*COMMANDS[language], str(script)], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pass    # Its code will say so.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        self.assertEqual(process.returncode, 0, f"{text}\n--- said\n{out}{err}")
        return out

    def check(self, section: str) -> None:
        """Runs every piece of a section; the shell's are one script."""
        start = "".join(one.text for one in self.pieces if (one.section, one.language, one.mark) == ("Before you start", "sh", "run"))
        own = [one for one in self.pieces if one.section == section and one.mark == "run"]
        self.assertTrue(own, f"the guide has no pieces under {section!r}")
        shell = [one for one in own if one.language == "sh"]
        todo = [Piece(section, "sh", "run", start + "".join(one.text for one in shell), "".join(one.expected or "" for one in shell))]
        for one in (todo if shell else []) + [one for one in own if one.language != "sh"]:
            with self.subTest(language=one.language):
                said = self.run_piece(one.language, one.text)
                # curl says nothing of a line's end behind a body.
                said = said if said.endswith("\n") else said + "\n"
                self.assertRegex(said, re.compile(r"\A" + pattern_of(one.expected or "…") + r"\Z"), one.text)

    def test_one_job(self) -> None:
        self.check("One job, and wait for it")

    def test_many_jobs(self) -> None:
        self.check("Many jobs at once")

    def test_a_batch(self) -> None:
        self.check("A batch from a file")

    def test_chat_completions(self) -> None:
        self.check("Chat completions")

    def test_a_response_in_the_background(self) -> None:
        self.check("A response in the background")

    def test_live_events(self) -> None:
        self.check("Live events of a job")

    def test_cancelling(self) -> None:
        self.check("Cancelling")

    def test_webhooks(self) -> None:
        self.check("Webhooks")

    def test_the_receiver_in_python(self) -> None:
        shell = "".join(one.text for one in self.pieces if one.language == "sh" and one.mark == "run" and
                        one.section in ("Before you start", "Webhooks")).replace("node receiver.mjs &", "python3 receiver.py &")
        self.assertIn("python3 receiver.py &", shell)
        self.assertRegex(self.run_piece("sh", shell), r"(?m)^job\.succeeded job_\S+ 85$")

    def test_sending_again(self) -> None:
        self.check("Sending again safely")

    def test_limits(self) -> None:
        self.limit("guide-models", "/v1/models", 2, 3600)
        self.limit("guide-jobs", "/v1/jobs", 2, 4)
        self.limit("guide-probe", "/v1/files", 1000, 60)    # Where the last one shows, the producer has read them all.
        until = time.monotonic() + 30
        while "ratelimit" not in Client(self.stack).call("GET", "/v1/files").headers:
            self.assertLess(time.monotonic(), until, "the producer doesn't read its limits")
            time.sleep(0.05)
        self.check("Limits, 429 and 503")


if __name__ == "__main__":
    unittest.main()
