"""Tests of the stack tool itself, with real servers. Needs no build: a small program stands in for the
services. Each test has stacks of its own and leaves no process."""
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STACK = REPOSITORY / "deploy" / "local" / "stack"
sys.dont_write_bytecode = True
sys.path.insert(0, str(STACK.parent))

from sluice_stack import files, processes  # noqa: E402
from sluice_stack.layout import Layout, State  # noqa: E402
from sluice_stack.ports import Reservations, usable  # noqa: E402

BACK_SECONDS = 3.0          # a dead process is started again within
START_SECONDS = 20.0        # its own start, generously: the machine may be busy


class Stack:
    """One stack in a temporary folder."""

    def __init__(self, test: unittest.TestCase, folder: Path | None = None) -> None:
        self.test = test
        self.root = folder or Path(tempfile.mkdtemp(prefix="stack-test-"))
        test.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        test.addCleanup(self.run, "down", check=False)

    def run(self, *arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess:
        command, *rest = arguments
        result = subprocess.run([str(STACK), command, "--dir", str(self.root), *rest], capture_output=True, text=True,
                                timeout=200, check=False, **options)
        if check and result.returncode != 0:
            self.test.fail(f"stack {' '.join(arguments)} gave {result.returncode}:\n{result.stdout}{result.stderr}")
        return result

    def rows(self) -> dict[str, dict]:
        return {row["name"]: row for row in json.loads(self.run("status", "--json").stdout)}

    def row(self, name: str) -> dict:
        return self.rows()[name]

    def environment(self) -> dict[str, str]:
        script = f'eval "$({STACK} env --dir {self.root})"; for name in ${{!SLUICE_*}}; do ' \
                 'printf "%s=%s\\0" "$name" "${!name}"; done'
        out = subprocess.run(["env", "-i", f"PATH={os.environ['PATH']}", "bash", "-c", script], capture_output=True,
                             text=True, check=True).stdout
        return dict(pair.split("=", 1) for pair in out.split("\0") if pair)

    def supervisor(self) -> int:
        return json.loads((self.root / "run" / "supervisor.json").read_text())["pid"]

    def members(self) -> list[int]:
        return [m.pid for m in processes.members(State(Layout(self.root)).stack_id)]

    def wait_until_back(self, name: str, old_pid: int) -> float:
        """Seconds until `name` serves as another process."""
        began = time.monotonic()
        while time.monotonic() - began < BACK_SECONDS + START_SECONDS:
            row = self.row(name)
            if row["state"] == "running" and row["pid"] != old_pid:
                return time.monotonic() - began
            time.sleep(0.05)
        self.test.fail(f"{name} did not come back: {self.row(name)}")

    def wait_until_started_again(self, name: str, old_pid: int) -> float:
        """Seconds until there is another process, serving or not."""
        began = time.monotonic()
        while time.monotonic() - began < BACK_SECONDS + START_SECONDS:
            if self.row(name)["pid"] not in (None, old_pid):
                return time.monotonic() - began
            time.sleep(0.02)
        self.test.fail(f"{name} was not started again: {self.row(name)}")


def gone(pid: int) -> bool:
    return processes.start_time(pid) is None


FAKE_SERVICE = '''#!/usr/bin/env python3
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if sys.argv[1:] == ["--help"]:
    print("  --a <text>\\n  --b <text>\\n  --fake <text>")
    sys.exit()
if os.environ.get("SLUICE_FAKE") == "broken":
    sys.exit("a reason to fail")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = repr(sorted((k, v) for k, v in os.environ.items() if k.startswith("SLUICE_"))).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((os.environ["SLUICE_HTTP_ADDRESS"], int(os.environ["SLUICE_HTTP_PORT"])), Handler).serve_forever()
'''


def fake_build(test: unittest.TestCase, sluicectl: str = 'echo "$@" >> "$(dirname "$0")/calls"') -> Path:
    build = Path(tempfile.mkdtemp(prefix="stack-build-"))
    test.addCleanup(shutil.rmtree, build, ignore_errors=True)
    (build / "bin").mkdir()
    for name in ("producer", "worker", "callback"):
        program = build / "bin" / f"sluice-{name}"
        program.write_text(FAKE_SERVICE)
        program.chmod(0o755)
    control = build / "bin" / "sluicectl"
    control.write_text(f"#!/bin/sh\n{sluicectl}\n")
    control.chmod(0o755)
    return build


class Servers(unittest.TestCase):
    def test_two_stacks_side_by_side_share_nothing_and_down_leaves_nothing(self):
        first, second = Stack(self), Stack(self)
        only = ("--only", "mysql,redis,rabbitmq")
        starts = [subprocess.Popen([str(STACK), "up", "--dir", str(s.root), *only], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True) for s in (first, second)]
        for start in starts:
            out = start.communicate(timeout=200)[0]
            self.assertEqual(start.returncode, 0, out)
        for name in ("mysql", "redis", "rabbitmq"):
            self.assertNotEqual(first.row(name)["port"], second.row(name)["port"])
            self.assertEqual(first.row(name)["state"], "running")
        ours = set(first.members()) | {first.supervisor()}
        self.assertFalse(ours & set(second.members()))
        # The clients reach their own stack's server with its own passwords, and only that one.
        self.assertEqual(first.run("redis-cli", "set", "whose", "first").stdout.strip(), "OK")
        self.assertEqual(second.run("redis-cli", "get", "whose").stdout.strip(), "")
        self.assertIn("sluice", first.run("rabbitmqctl", "list_users", "--silent").stdout)
        self.assertNotIn("guest", first.run("rabbitmqctl", "list_users", "--silent").stdout)
        refused = subprocess.run(["redis-cli", "-p", str(second.row("redis")["port"]), "ping"], capture_output=True,
                                 text=True, check=True, env={**os.environ, "REDISCLI_AUTH":
                                                             first.environment()["SLUICE_REDIS_PASSWORD"]})
        self.assertIn("NOAUTH", refused.stdout + refused.stderr)
        # Every listener of ours is on the loopback interface.
        for line in subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True,
                                   check=True).stdout.splitlines():
            fields = line.split()
            if len(fields) > 3 and fields[3] == "0A":
                address, port = fields[1].split(":")
                if int(port, 16) in State(Layout(first.root)).ports.values():
                    # epmd listens on ::1, too, whatever it is told.
                    self.assertIn(address, ("0100007F", "00000000000000000000000001000000"))
        first.run("down")
        for pid in ours:
            self.assertTrue(gone(pid), f"pid {pid} outlived `down`")
        self.assertEqual(first.members(), [])
        self.assertEqual(second.row("rabbitmq")["state"], "running")
        self.assertEqual(second.run("redis-cli", "ping").stdout.strip(), "PONG")

    def test_killed_servers_come_back_with_their_data(self):
        stack = Stack(self)
        stack.run("up", "--only", "mysql,redis")
        stack.run("mysql", "-e", "CREATE TABLE sluice.kept (n INT); INSERT INTO sluice.kept VALUES (41)")
        for name in ("redis", "mysql", "redis"):
            old = stack.row(name)
            os.kill(old["pid"], signal.SIGKILL)
            self.assertLess(stack.wait_until_started_again(name, old["pid"]), BACK_SECONDS)
            stack.wait_until_back(name, old["pid"])
            self.assertEqual(stack.row(name)["port"], old["port"])
        self.assertEqual(stack.run("mysql", "-N", "-e", "SELECT n FROM sluice.kept").stdout.strip(), "41")

    def test_a_stopped_server_stays_stopped_until_it_is_started(self):
        stack = Stack(self)
        stack.run("up", "--only", "mysql,redis")
        old = stack.row("redis")
        stack.run("stop", "redis")
        self.assertTrue(gone(old["pid"]))
        again = stack.run("up", "--only", "mysql,redis")
        self.assertIn("redis was stopped by name", again.stdout)
        os.kill(stack.supervisor(), signal.SIGKILL)
        stack.run("up", "--only", "mysql")
        self.assertEqual((stack.row("redis")["state"], stack.row("redis")["pid"]), ("stopped", None))
        stack.run("start", "redis")
        self.assertEqual(stack.row("redis")["state"], "running")
        self.assertEqual(stack.row("redis")["port"], old["port"])

    def test_wipe_gives_an_empty_server(self):
        stack = Stack(self)
        stack.run("up", "--only", "redis")
        stack.run("redis-cli", "set", "a", "1")
        for _ in range(3):
            old = stack.row("redis")["pid"]
            stack.run("restart", "redis")
            self.assertNotIn(stack.row("redis")["pid"], (old, None))
        self.assertEqual(stack.run("redis-cli", "get", "a").stdout.strip(), "1")
        stack.run("wipe", "redis")
        self.assertEqual(stack.run("redis-cli", "get", "a").stdout.strip(), "")

    def test_a_killed_supervisors_processes_are_taken_over(self):
        stack = Stack(self)
        stack.run("up", "--only", "mysql,redis")
        before, supervisor = stack.rows(), stack.supervisor()
        os.kill(supervisor, signal.SIGKILL)
        while not gone(supervisor):
            time.sleep(0.01)
        self.assertEqual(stack.row("redis")["state"], "unsupervised")
        self.assertEqual(stack.run("env", check=False).returncode, 1)
        stack.run("up", "--only", "mysql,redis")
        for name in ("mysql", "redis"):
            self.assertEqual(stack.row(name), before[name])
        os.kill(before["redis"]["pid"], signal.SIGKILL)
        self.assertLess(stack.wait_until_started_again("redis", before["redis"]["pid"]), BACK_SECONDS)

    def test_down_after_a_killed_supervisor_leaves_nothing(self):
        stack = Stack(self)
        stack.run("up", "--only", "redis,rabbitmq")
        ours = stack.members()
        self.assertGreaterEqual(len(ours), 4)  # redis, the node, its helper, epmd
        os.kill(stack.supervisor(), signal.SIGKILL)
        stack.run("down")
        self.assertEqual([pid for pid in ours if not gone(pid)], [])

    def test_a_terminated_supervisor_ends_its_children(self):
        stack = Stack(self)
        stack.run("up", "--only", "mysql,redis")
        ours, supervisor = stack.members(), processes.Identity.of(stack.supervisor())
        supervisor.signal(signal.SIGTERM)
        self.assertTrue(supervisor.wait(40))
        self.assertEqual([pid for pid in ours if not gone(pid)], [])

    def test_up_at_the_same_time_makes_one_supervisor(self):
        stack = Stack(self)
        starts = [subprocess.Popen([str(STACK), "up", "--dir", str(stack.root), "--only", "redis"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)]
        self.assertEqual([start.wait(60) for start in starts], [0, 0, 0, 0])
        self.assertEqual(len(stack.members()), 1)

    def test_a_taken_port_is_replaced_and_a_free_one_kept(self):
        stack = Stack(self)
        stack.run("up", "--only", "redis")
        port = stack.row("redis")["port"]
        stack.run("down")
        stack.run("up", "--only", "redis")
        self.assertEqual(stack.row("redis")["port"], port)
        stack.run("down")
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen(1)
            stack.run("up", "--only", "redis")
            self.assertNotEqual(stack.row("redis")["port"], port)

    def test_secrets_are_private_and_stay_the_same(self):
        stack = Stack(self)
        stack.run("up", "--only", "redis")
        secrets = {path.name: path.read_text() for path in (stack.root / "secrets").iterdir()}
        self.assertIn("master_key", secrets)
        for folder in ("secrets", "conf", "data", "run", "logs"):
            self.assertEqual(stat.S_IMODE((stack.root / folder).stat().st_mode), 0o700, folder)
        for path in (stack.root / "secrets").iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path.name)
        for path in (stack.root / "conf").iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path.name)
        for pid in stack.members():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
            self.assertFalse([name for name, value in secrets.items() if value.strip() in words])
        stack.run("down")
        stack.run("up", "--only", "redis")
        self.assertEqual(secrets, {path.name: path.read_text() for path in (stack.root / "secrets").iterdir()})
        stack.run("down", "--purge")
        self.assertFalse(stack.root.exists())

    def test_a_long_folder_name_and_odd_characters_do_no_harm(self):
        parent = Path(tempfile.mkdtemp(prefix="stack test "))
        self.addCleanup(shutil.rmtree, parent, ignore_errors=True)
        stack = Stack(self, parent / ("long-" * 20) / "it's")
        stack.root.mkdir(parents=True)
        stack.run("up", "--only", "mysql,redis,rabbitmq")
        self.assertEqual(stack.run("mysql", "-N", "-e", "SELECT 1").stdout.strip(), "1")
        self.assertIn("sluice", stack.run("rabbitmqctl", "list_vhosts").stdout)
        short = [p for p in Path("/tmp").glob(f"sluice-{os.getuid()}-*") if (p / "mysql.sock").exists()]
        self.assertTrue(short)
        stack.run("down")
        self.assertEqual([p for p in short if p.exists()], [])

    def test_mistakes_are_answered_plainly(self):
        stack = Stack(self)
        for arguments, word in ((("status",), "no stack"), (("start", "redis"), "no stack"), (("env",), "no stack"),
                                (("up", "--only", "oracle"), "no `oracle`"), (("up", "--workers", "0"), "--workers"),
                                (("up", "--set", "what"), "--set"),
                                (("up", "--set", "producer:answer-keep=3s"), "SLUICE_ANSWER_KEEP"),
                                (("up", "--set", "prodcer:SLUICE_A=3"), "no service `prodcer`")):
            result = stack.run(*arguments, check=False)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn(word, result.stderr)
            self.assertNotIn("Traceback", result.stderr)
        self.assertEqual(stack.run("down").returncode, 0)


class Services(unittest.TestCase):
    """With programs that stand in for the services, and no server to wait for but MySQL and Redis."""

    def up(self, stack: Stack, build: Path, *arguments: str, check: bool = True):
        stack.run("up", "--only", "mysql,redis")
        return stack.run("up", "--only", "mysql,redis,producer,worker,callback", "--build", str(build), *arguments,
                         check=check)

    def settings(self, row: dict) -> dict:
        with socket.create_connection(("127.0.0.1", row["port"]), 5) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = sock.makefile("rb").read()
        return dict(eval(answer.partition(b"\r\n\r\n")[2].decode()))  # what our own stand-in printed

    def test_services_get_their_settings_and_are_supervised(self):
        stack, build = Stack(self), fake_build(self)
        self.up(stack, build, "--set", "SLUICE_A=1", "--set", "worker:SLUICE_B=2")
        self.assertEqual((build / "bin" / "calls").read_text().splitlines(), ["migrate up", "bootstrap"])
        rows, environment = stack.rows(), stack.environment()
        self.assertGreaterEqual(rows["producer"]["port"], 8080)
        self.assertEqual(environment["SLUICE_URL"], f"http://127.0.0.1:{rows['producer']['port']}")
        self.assertEqual(environment["SLUICE_BIN"], str(build / "bin"))
        worker, callback = self.settings(rows["worker"]), self.settings(rows["callback"])
        for name, value in environment.items():
            if name not in ("SLUICE_STACK_DIR",):
                self.assertEqual(worker.get(name), value, name)
        self.assertEqual((worker["SLUICE_A"], worker["SLUICE_B"]), ("1", "2"))
        self.assertNotIn("SLUICE_B", callback)
        self.assertEqual(callback["SLUICE_WEBHOOK_ALLOW_LOOPBACK"], "true")
        self.assertNotIn("SLUICE_WEBHOOK_ALLOW_LOOPBACK", worker)
        for _ in range(4):
            old = stack.row("worker")["pid"]
            os.kill(old, signal.SIGKILL)
            self.assertLess(stack.wait_until_started_again("worker", old), BACK_SECONDS)
            stack.wait_until_back("worker", old)
        # A service comes back while a server is down, too.
        stack.run("stop", "mysql")
        old = stack.row("producer")["pid"]
        os.kill(old, signal.SIGKILL)
        stack.wait_until_back("producer", old)

    def test_a_setting_that_no_service_has_is_warned_of(self):
        stack, build = Stack(self), fake_build(self)
        up = ("up", "--only", "redis", "--build", str(build))
        result = stack.run(*up, "--set", "producer:SLUICE_NOPE=3", "--set", "SLUICE_B_FILE=/b", "--set",
                           "worker-2:SLUICE_A=1")
        self.assertEqual(result.stderr.count("no setting"), 1, result.stderr)
        self.assertIn("no setting of producer is called SLUICE_NOPE", result.stderr)
        self.assertNotIn("no setting", stack.run(*up, "--set", "producer:SLUICE_NOPE=").stderr)

    def test_more_producers(self):
        stack, build = Stack(self), fake_build(self)
        self.up(stack, build, "--producers", "2")
        rows = stack.rows()
        self.assertEqual(list(rows), ["mysql", "redis", "rabbitmq", "producer", "producer-2", "worker", "callback"])
        stack.run("up", "--only", "producer-2")
        rows = stack.rows()
        self.assertEqual(rows["producer-2"]["state"], "running")
        self.assertNotEqual(rows["producer-2"]["port"], rows["producer"]["port"])

    def test_more_workers_fewer_workers_and_a_new_build(self):
        stack, build = Stack(self), fake_build(self)
        self.up(stack, build, "--workers", "3")
        rows = stack.rows()
        self.assertEqual(list(rows), ["mysql", "redis", "rabbitmq", "producer", "worker", "worker-2", "worker-3",
                                      "callback"])
        stack.run("up", "--only", "worker-2,worker-3")
        before = stack.rows()
        self.assertEqual(len({before[name]["port"] for name in ("worker", "worker-2", "worker-3")}), 3)
        os.utime(build / "bin" / "sluice-worker", ns=(1, 1))
        stack.run("up", "--only", "mysql,redis,producer,worker,callback", "--workers", "1")
        after = stack.rows()
        self.assertNotIn("worker-2", after)
        self.assertTrue(gone(before["worker-2"]["pid"]) and gone(before["worker-3"]["pid"]))
        self.assertNotEqual(after["worker"]["pid"], before["worker"]["pid"])
        self.assertEqual(after["producer"]["pid"], before["producer"]["pid"])

    def test_a_service_that_cannot_start_is_shown_with_its_log(self):
        stack, build = Stack(self), fake_build(self)
        result = self.up(stack, build, "--set", "worker:SLUICE_FAKE=broken", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("worker does not serve: ended with exit status 1", result.stderr)
        self.assertIn("a reason to fail", result.stderr)
        stack.run("up", "--only", "mysql,redis,producer,worker,callback", "--set", "worker:SLUICE_FAKE=")

    def test_a_failing_migration_is_shown_and_no_service_starts(self):
        stack, build = Stack(self), fake_build(self, 'echo "migration 7 is broken"; exit 1')
        result = self.up(stack, build, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("migration 7 is broken", result.stderr)
        self.assertEqual([name for name in ("producer", "worker", "callback") if stack.row(name)["pid"]], [])

    def test_settings_of_the_callers_shell_stay_outside(self):
        stack, build = Stack(self), fake_build(self)
        stack.run("up", "--only", "mysql,redis")
        stack.run("up", "--only", "mysql,redis,producer", "--build", str(build),
                  env={**os.environ, "SLUICE_FAILPOINT": "boom"})
        self.assertNotIn("SLUICE_FAILPOINT", self.settings(stack.row("producer")))


class Parts(unittest.TestCase):
    def test_a_pid_of_someone_else_is_never_signalled(self):
        child = subprocess.Popen(["sleep", "60"])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        right = processes.Identity.of(child.pid)
        for wrong in (processes.Identity(child.pid, right.started + 1, right.boot),):
            self.assertFalse(wrong.alive())
            self.assertFalse(wrong.signal(signal.SIGKILL))
            self.assertTrue(wrong.wait(0))
        self.assertIsNone(processes.Identity.load({**right.save(), "boot": "another"}))
        self.assertIsNone(processes.Identity.load({"pid": "x"}))
        self.assertTrue(right.alive())
        self.assertEqual(processes.Identity.load(right.save()), right)

    def test_ports_are_chosen_outside_the_ephemeral_range_and_held(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
            first = int(stream.read().split()[0])
        mine, theirs = Reservations(), Reservations()
        port = mine.choose(set())
        self.addCleanup(mine.release, port)
        self.assertLess(port, first)
        self.assertFalse(theirs.keep(port))
        self.assertTrue(mine.keep(port))
        mine.release(port)
        self.assertTrue(usable(port))

    def test_a_log_is_moved_aside_when_it_has_grown(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "a.log"
            with open(log, "ab") as writer:
                for number in range(5):
                    writer.write(b"%d" % number * 100)
                    writer.flush()
                    files.rotate_log(log, bytes_max=50)
                writer.write(b"last")
            self.assertEqual(log.read_bytes(), b"last")
            self.assertEqual(sorted(p.name for p in Path(folder).iterdir()),
                             ["a.log", "a.log.1", "a.log.2", "a.log.3"])
            self.assertEqual((Path(folder) / "a.log.1").read_bytes(), b"4" * 100)


if __name__ == "__main__":
    unittest.main()
