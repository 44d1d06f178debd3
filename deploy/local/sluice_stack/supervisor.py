"""The process that keeps a stack as it is wanted. One for each stack, held by a lock."""
import asyncio
import contextlib
import os
import resource
import signal
import sys
import time
import traceback

from . import components, files, processes
from .components import Setup, is_service
from .context import Context
from .credentials import Credentials
from .layout import Layout, State
from .ports import Reservations
from .processes import Identity
from .runner import Runner

SERVERS_WAIT_SECONDS = 90.0   # longest wait of a service's first start for the servers
POLL_SECONDS = 1.0            # a wake-up signal may be lost; the file is not
ROTATE_SECONDS = 60.0


class Supervisor:
    """Lives in one event loop. Reads desired.json, writes status.json."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._context = Context(layout, State(layout), Credentials(layout.secrets))
        self._reservations = Reservations()
        self._runners: dict[str, Runner] = {}
        self._tasks: dict[str, asyncio.Task] = {}
        self._desired: dict = {}
        self._revision = -1
        self._wake = asyncio.Event()
        self._closing = False
        self._started: set[str] = set()
        self._setup_done = ""
        self._setup_error = ""
        self._setup_task: asyncio.Task | None = None
        self._waiters: set[asyncio.Event] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._close)
        loop.add_signal_handler(signal.SIGUSR1, self._wake.set)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        files.write_json(self._layout.supervisor_file, Identity.of(os.getpid()).save())
        rotation = asyncio.create_task(self._rotate_logs())
        try:
            while not self._closing:
                self._apply()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
                self._wake.clear()
        finally:
            rotation.cancel()
            await self._end_all()

    def _close(self) -> None:
        self._closing = True
        self._wake.set()

    # Following what is wanted.

    def _apply(self) -> None:
        desired = files.read_json(self._layout.desired_file, self._desired)
        if desired.get("revision", 0) == self._revision:
            return
        self._desired = desired
        self._revision = desired.get("revision", 0)
        self._context.state.options = desired.get("options", {})
        wanted = [name for name, yes in desired.get("components", {}).items() if yes]
        if "rabbitmq" in wanted:
            wanted.append("epmd")
        self._assign_ports(wanted)
        for name in {**dict.fromkeys(wanted), **dict.fromkeys(self._left_records()), **self._runners}:
            if name not in self._runners:
                self._add(name, name in wanted)
        for name, runner in self._runners.items():
            # A broker that is being stopped still talks to its port mapper, which therefore stays.
            if name == "epmd" and runner.wanted:
                continue
            runner.want(name in wanted)
            if name in wanted:
                runner.restart_if_outdated()
                runner.retry_now()
        for name in desired.get("restart", []):
            if name in self._runners and name in wanted:
                self._runners[name].restart()
        self._changed()

    def _left_records(self) -> list[str]:
        """Components that an earlier supervisor left a record of."""
        suffix = ".pid.json"
        return [path.name.removesuffix(suffix) for path in self._layout.run.glob(f"*{suffix}")]

    def _add(self, name: str, wanted: bool) -> None:
        component = components.make(name, self._context)
        runner = Runner(component, self._context.state.stack_id, self._log, self._changed, self._before_start)
        runner.want(wanted)
        self._runners[name] = runner
        task = asyncio.create_task(runner.run())
        task.add_done_callback(self._runner_ended)
        self._tasks[name] = task

    def _runner_ended(self, task: asyncio.Task) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log("".join(traceback.format_exception(task.exception())))
            self._close()

    def _assign_ports(self, wanted: list[str]) -> None:
        """Remembered ports stay unless someone else took them in the meantime."""
        ports = self._context.state.ports
        for name in wanted:
            runner = self._runners.get(name)
            busy = runner is not None and runner.identity is not None
            left = Identity.load(files.read_json(self._layout.record(name), {}))
            if busy or (left is not None and left.alive()):
                continue
            for port_name in components.make(name, self._context).port_names():
                if port_name == "epmd" and name != "epmd":
                    continue
                if port_name in ports and self._reservations.keep(ports[port_name]):
                    continue
                taken = set(ports.values())
                choose = self._reservations.choose_http if port_name == "producer" else self._reservations.choose
                ports[port_name] = choose(taken)
        self._context.state.save()

    async def _before_start(self, runner: Runner) -> None:
        name = runner.name
        if name == "rabbitmq":
            await self._until(lambda: self._is("epmd", "running"), 15)
        if is_service(name):
            # The first start waits for the servers, so that nobody's first log lines are complaints.
            # Later ones don't: a service must come back, and answer, while a server is down.
            if name not in self._started:
                await self._until(lambda: not any(self._pending(s) for s in components.SERVERS), SERVERS_WAIT_SECONDS)
            await self._set_up()
        self._started.add(name)
        for port in runner.component.ports():
            self._reservations.release(port)

    def _pending(self, name: str) -> bool:
        runner = self._runners.get(name)
        return runner is not None and runner.wanted and runner.state != "running"

    def _is(self, name: str, state: str) -> bool:
        return name in self._runners and self._runners[name].state == state

    async def _until(self, condition, seconds: float) -> None:
        """Waits for a condition on the runners' states, but no longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            event = asyncio.Event()
            self._waiters.add(event)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), deadline - time.monotonic())
            self._waiters.discard(event)

    async def _set_up(self) -> None:
        """Once for each build of sluicectl, however many services wait for it."""
        setup = Setup(self._context)
        if self._setup_done == setup.fingerprint():
            return
        if self._setup_task is None:
            self._log("setup: brings the schema up to date")
            self._setup_task = asyncio.create_task(asyncio.to_thread(setup.run))
            self._setup_task.add_done_callback(lambda task: self._setup_ended(setup, task))
        # Shielded: a service that is stopped meanwhile must not take it from the others.
        await asyncio.shield(self._setup_task)

    def _setup_ended(self, setup: Setup, task: asyncio.Task) -> None:
        self._setup_task = None
        error = None if task.cancelled() else task.exception()
        self._setup_error = "" if error is None else str(error)
        if error is None:
            self._setup_done = setup.fingerprint()
        self._changed()

    # Saying what is.

    def _changed(self) -> None:
        for event in self._waiters:
            event.set()
        rows = [self._row(name, runner) for name, runner in self._runners.items()]
        try:
            files.write_json(self._layout.status_file, {
                "revision": self._revision, "supervisor": os.getpid(), "setup_error": self._setup_error,
                "components": {row["name"]: row for row in rows}})
        except OSError as error:  # a full disk, say: no reason to end what runs
            self._log(f"supervisor: can't write its status: {error}")

    def _row(self, name: str, runner: Runner) -> dict:
        return {
            "name": name, "pid": runner.identity.pid if runner.identity else None, "port": runner.component.port,
            "state": runner.state, "log": str(runner.component.log), "detail": runner.detail,
            "crashes": runner.crashes}

    def _log(self, text: str) -> None:
        print(time.strftime("%Y-%m-%dT%H:%M:%S"), text, flush=True)

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_SECONDS)
            for log in self._layout.logs.glob("*.log"):
                await asyncio.to_thread(files.rotate_log, log)

    # The end: services first, then the servers that they use, the broker's port mapper last.

    async def _end_all(self) -> None:
        stages = [[], [], []]
        for name in self._runners:
            stages[0 if is_service(name) else 2 if name == "epmd" else 1].append(name)
        # A set-up in progress uses the database.
        await asyncio.to_thread(processes.end, processes.members_of(self._context.state.stack_id, Setup.NAME), 5)
        for stage in stages:
            for name in stage:
                self._runners[name].close()
            await asyncio.gather(*(self._tasks[name] for name in stage), return_exceptions=True)
        self._log("supervisor: everything has ended")


def _raise_file_limit() -> None:
    """Children inherit the limit; a broker and 5,000 idle connections need more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def supervise(layout: Layout) -> int:
    """The body of the daemon: returns when the stack was told to end. Its caller leaves at once."""
    if os.fork() > 0:
        return 0
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    lock = files.try_lock(layout.supervisor_lock)
    if lock is None:
        os._exit(0)  # another one was faster
    _raise_file_limit()
    code = 0
    try:
        asyncio.run(Supervisor(layout).run())
    except BaseException:
        traceback.print_exc()
        code = 1
    layout.supervisor_file.unlink(missing_ok=True)
    sys.stdout.flush()
    lock.close()
    os._exit(code)
