"""What the commands do to a stack: they write what is wanted, wake the supervisor, and look."""
import contextlib
import signal
import subprocess
import sys
import time

from . import components, files, processes
from .context import Context
from .credentials import Credentials
from .layout import REPOSITORY, Layout, State
from .processes import Identity

LAUNCHER = REPOSITORY / "deploy" / "local" / "stack"


class StackError(Exception):
    """A message for the person at the terminal."""


class Control:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def lock(self):
        """Held while one command changes the stack."""
        return files.locked(self.layout.command_lock)

    def context(self) -> Context:
        return Context(self.layout, State(self.layout), Credentials(self.layout.secrets))

    def supervisor(self) -> Identity | None:
        """The living supervisor, if there is one."""
        identity = Identity.load(files.read_json(self.layout.supervisor_file, {}))
        return identity if identity is not None and identity.alive() else None

    def desired(self) -> dict:
        return files.read_json(self.layout.desired_file, {"revision": 0, "options": {}, "components": {}})

    def want(self, desired: dict, restart: tuple[str, ...] = ()) -> int:
        """Makes `desired` known to the supervisor, starting one where none is; returns its revision."""
        # Revisions only grow, also over the life of a supervisor whose file was deleted.
        desired["revision"] = max(desired["revision"] + 1, time.time_ns())
        desired["restart"] = list(restart)
        files.write_json(self.layout.desired_file, desired)
        supervisor = self.supervisor()
        if supervisor is None or not supervisor.signal(signal.SIGUSR1):
            self._start_supervisor()
        return desired["revision"]

    def _start_supervisor(self) -> None:
        log = self.layout.log("supervisor")
        files.rotate_log(log)
        with open(log, "ab") as stream:
            subprocess.run([sys.executable, str(LAUNCHER), "--dir", str(self.layout.root), "supervise"],
                           stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=self.layout.root, check=True,
                           env=processes.clean_environment())
        deadline = time.monotonic() + 10
        while self.supervisor() is None:
            if time.monotonic() > deadline:
                raise StackError(f"the supervisor did not start; its log:\n{files.tail(log, 15)}")
            time.sleep(0.02)

    def status(self) -> dict:
        """What the supervisor said last; {} if it never did."""
        return files.read_json(self.layout.status_file, {})

    def rows(self) -> list[dict]:
        """One row for each listed component, true also while no supervisor lives."""
        state = State(self.layout)
        alive = self.supervisor() is not None
        said = self.status().get("components", {})
        listed = components.names(state.options)
        listed += [name for name in said if name not in listed and name not in components.HIDDEN and said[name]["pid"]]
        rows = []
        for name in listed:
            row = {"name": name, "pid": None, "port": state.ports.get(name), "state": "stopped",
                   "log": str(self.layout.log(name))}
            if alive and name in said:
                row.update({key: said[name][key] for key in row})
            elif not alive:
                identity = Identity.load(files.read_json(self.layout.record(name), {}))
                if identity is not None and identity.alive():
                    row.update(pid=identity.pid, state="unsupervised")
            rows.append(row)
        return rows

    def down(self, seconds: float) -> bool:
        """Ends every process of the stack; False if nothing ran."""
        supervisor = self.supervisor()
        ran = supervisor is not None
        if supervisor is not None:
            supervisor.signal(signal.SIGTERM)
            if not supervisor.wait(seconds):
                supervisor.signal(signal.SIGKILL)
                supervisor.wait(5)
        # What a killed supervisor left: services before the servers that they use, then everything.
        stack_id = State(self.layout).stack_id
        for concerns in (lambda name: components.is_service(name) or name == components.Setup.NAME,
                         lambda name: name in components.SERVERS, lambda name: True):
            left = [member for member, name in processes.members(stack_id).items() if concerns(name)]
            if left:
                ran = True
                processes.end(left, 30)
        for record in [*self.layout.run.glob("*.pid.json"), self.layout.supervisor_file, self.layout.status_file,
                       self.layout.desired_file]:
            record.unlink(missing_ok=True)
        self.layout.remove_short_folder()
        return ran

    def wait_for_state(self, revision: int, names: list[str], states: tuple[str, ...], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status()
            rows = status.get("components", {})
            if status.get("revision", -1) >= revision and all(
                    name in rows and rows[name]["state"] in states for name in names):
                return True
            if self.supervisor() is None:
                return False
            with contextlib.suppress(OSError):
                time.sleep(0.03)
        return False
