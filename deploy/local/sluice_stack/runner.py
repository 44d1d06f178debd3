"""Keeps one process as it is wanted: started, looked after, restarted, ended."""
import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable

from . import files, processes
from .components import Component
from .processes import MEMBER_VARIABLE, Identity

PROBE_SECONDS = 0.1
STABLE_SECONDS = 1.0       # who served for so long isn't in a crash loop: it is started again at once
RESTART_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)  # before restart 1, 2, …; the last repeats


class Runner:
    """Used from the supervisor's event loop alone. `before_start` is awaited before each start and
    may raise; `changed` is called after every change of what the properties say."""

    def __init__(self, component: Component, stack_id: str, log: Callable[[str], None],
                 changed: Callable[[], None], before_start: Callable[["Runner"], Awaitable[None]]) -> None:
        self.component = component
        self.name = component.name
        self.state = "stopped"
        self.detail = ""
        self.identity: Identity | None = None
        self.crashes = 0
        self._member = f"{stack_id}:{component.name}"
        self._stack_id = stack_id
        self._log = log
        self._changed = changed
        self._before_start = before_start
        self._record = component.layout.record(component.name)
        self._wanted = False
        self._anew = False
        self._closing = False
        self._wake = asyncio.Event()
        self._popen: subprocess.Popen | None = None
        self._fingerprint = ""
        self._since = time.monotonic()

    # What the supervisor says.

    def want(self, wanted: bool) -> None:
        if wanted and not self._wanted:
            self.crashes = 0
        self._wanted = wanted
        self._wake.set()

    def restart(self) -> None:
        """Ends the running process, if any, and starts it again without delay."""
        self._anew = True
        self.crashes = 0
        if self.identity is not None:
            self._set("stopping")  # at once: nobody may take the process for the new one
        self._wake.set()

    def restart_if_outdated(self) -> None:
        if self.identity is not None and self._fingerprint != self.component.fingerprint():
            self._log(f"{self.name}: its program or settings changed")
            self.restart()

    def retry_now(self) -> None:
        """Ends a wait after crashes."""
        if self.state == "crashed":
            self.crashes = 0
            self._wake.set()

    def close(self) -> None:
        """Ends the process; `run()` returns then."""
        self._closing = True
        self.want(False)

    @property
    def wanted(self) -> bool:
        return self._wanted

    # Life.

    async def run(self) -> None:
        await self._adopt()
        while not (self._closing and self.identity is None):
            self._wake.clear()
            if self.identity is not None:
                await self._look_after()
            elif not self._wanted:
                self._set("stopped")
                await self._wake.wait()
            else:
                self._anew = False
                try:
                    self._set("starting", self.detail)
                    await self._start()
                except Exception as error:  # any reason not to start is shown, and the start tried again
                    await self._crashed(str(error) or type(error).__name__)
        self._set("stopped")

    async def _start(self) -> None:
        await self._until_unwanted(self._before_start(self))
        if self._wanted:
            await asyncio.to_thread(self._prepare)  # not given up half-way: it may be making a data folder
        if not self._wanted:
            return
        command = self.component.command()
        self._fingerprint = self.component.fingerprint()
        environment = {**processes.clean_environment(), **command.environment, MEMBER_VARIABLE: self._member}
        with open(self.component.log, "ab") as log:
            self._popen = subprocess.Popen(command.argv, env=environment, cwd=self.component.layout.root,
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.identity = Identity.of(self._popen.pid)
        if self.identity is None:  # over before we could look
            raise RuntimeError(f"ended at once with {self._popen.wait()}")
        files.write_json(self._record, {**self.identity.save(), "fingerprint": self._fingerprint})
        self._log(f"{self.name}: started, pid {self.identity.pid}")
        self._set("starting")

    def _prepare(self) -> None:
        files.rotate_log(self.component.log)
        self.component.prepare()

    async def _adopt(self) -> None:
        """Takes over a process that an earlier supervisor left running, if it is still as it should
        be, and ends whatever else carries the component's mark."""
        record = files.read_json(self._record, {})
        identity = Identity.load(record)
        strays = await asyncio.to_thread(processes.members_of, self._stack_id, self.name)
        if self._wanted and identity in strays and record.get("fingerprint") == self.component.fingerprint():
            self.identity, self._fingerprint = identity, record["fingerprint"]
            self._log(f"{self.name}: found running, pid {identity.pid}")
            self._set("starting")
        elif strays:
            self._log(f"{self.name}: ends what was left running: {', '.join(str(s.pid) for s in strays)}")
            self._set("stopping")
            await asyncio.to_thread(processes.end, strays, self.component.stop_seconds)
            self._record.unlink(missing_ok=True)

    async def _look_after(self) -> None:
        """Returns when the process has ended."""
        async with self._exit_watch() as ended:
            probe = asyncio.create_task(self._probe_until_ready())
            try:
                while not ended.done():
                    if not self._wanted or self._anew:
                        probe.cancel()
                        await self._end(ended)
                        break
                    wake = asyncio.create_task(self._wake.wait())
                    await asyncio.wait({ended, wake}, return_when=asyncio.FIRST_COMPLETED)
                    wake.cancel()
                    self._wake.clear()
            finally:
                probe.cancel()
        expected = not self._wanted or self._anew
        status = self._popen.poll() if self._popen is not None else None
        self._log(f"{self.name}: pid {self.identity.pid} ended{_describe(status)}")
        lived = time.monotonic() - self._since
        self.identity = self._popen = None
        self._record.unlink(missing_ok=True)
        # What a dead server leaves behind (helpers of the Erlang machine, say) must not meet the next one.
        strays = await asyncio.to_thread(processes.members_of, self._stack_id, self.name)
        if strays:
            await asyncio.to_thread(processes.end, strays, 1.0)
        if expected:
            self._set("stopped" if not self._wanted else "starting")
        else:
            if self.state == "running" and lived > STABLE_SECONDS:
                self.crashes = 0
            await self._crashed(f"ended{_describe(status)}")

    async def _end(self, ended: asyncio.Future) -> None:
        self._set("stopping")
        self.identity.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), self.component.stop_seconds)
            return
        self._log(f"{self.name}: did not end within {self.component.stop_seconds:g} s, is killed")
        self.identity.signal(signal.SIGKILL)
        await ended

    async def _crashed(self, reason: str) -> None:
        self.crashes += 1
        delay = RESTART_SECONDS[min(self.crashes, len(RESTART_SECONDS)) - 1]
        self._set("crashed", reason)
        self._log(f"{self.name}: {reason}; next start in {delay:g} s (crash {self.crashes})")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), delay)

    async def _probe_until_ready(self) -> None:
        while True:
            try:
                reason = await asyncio.to_thread(self.component.not_ready)
            except Exception as error:  # a probe that can't be made is an answer too
                reason = str(error) or type(error).__name__
            if self._anew or not self._wanted:
                return
            if reason is None:
                break
            self._set("starting", reason)
            await asyncio.sleep(PROBE_SECONDS)
        self._log(f"{self.name}: ready")
        self._set("running")

    async def _until_unwanted(self, work: Awaitable[None]) -> None:
        """Awaits `work`, but gives it up when the component is no longer wanted."""
        task = asyncio.create_task(work)
        while not task.done():
            wake = asyncio.create_task(self._wake.wait())
            await asyncio.wait({task, wake}, return_when=asyncio.FIRST_COMPLETED)
            wake.cancel()
            self._wake.clear()
            if not self._wanted and not task.done():
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    @contextlib.asynccontextmanager
    async def _exit_watch(self):
        """A future that is done once the process has ended; works for processes that aren't our
        children, too."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        descriptor = self.identity.open()
        if descriptor is None:
            ended.set_result(None)
            yield ended
            return
        loop.add_reader(descriptor, lambda: ended.done() or ended.set_result(None))
        try:
            yield ended
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _set(self, state: str, detail: str = "") -> None:
        if state != self.state:
            self._since = time.monotonic()
        self.state, self.detail = state, detail
        self._changed()


def _describe(status: int | None) -> str:
    if status is None:
        return ""
    if status < 0:
        return f" by {signal.Signals(-status).name}"
    return f" with exit status {status}"
