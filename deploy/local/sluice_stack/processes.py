"""Processes by identity. A pid alone may belong to someone else by now; a pid with its start time
and the machine's boot id can't. Nothing here ever signals by name."""
import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass

MEMBER_VARIABLE = "STACK_MEMBER"  # "<stack id>:<component>", in the environment of every process of a stack


# Settings of whoever runs `stack` that must not reach the processes of a stack: theirs are given on purpose.
_FOREIGN_PREFIXES = ("SLUICE_", "RABBITMQ_", "ERL_", "MYSQL_", "NOTIFY_SOCKET", "STACK_")


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_PREFIXES)}


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name, or [] where the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def start_time(pid: int) -> int | None:
    """Start of the process in clock ticks since boot; None if it is gone or a zombie."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


@dataclass(frozen=True)
class Identity:
    pid: int
    started: int
    boot: str

    @staticmethod
    def of(pid: int) -> "Identity | None":
        started = start_time(pid)
        return None if started is None else Identity(pid, started, boot_id())

    @staticmethod
    def load(record) -> "Identity | None":
        """From `save()`; None for anything else, a record of an earlier boot included."""
        try:
            identity = Identity(int(record["pid"]), int(record["started"]), str(record["boot"]))
        except (KeyError, TypeError, ValueError):
            return None
        return identity if identity.boot == boot_id() else None

    def save(self) -> dict:
        return {"pid": self.pid, "started": self.started, "boot": self.boot}

    def alive(self) -> bool:
        return start_time(self.pid) == self.started

    def open(self) -> int | None:
        """A pidfd of this very process, to be closed by the caller; None if it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (ProcessLookupError, OSError):
            return None
        # Opened first and checked second: a descriptor stays with its process, whatever the pid does.
        if not self.alive():
            os.close(descriptor)
            return None
        return descriptor

    def signal(self, number: int) -> bool:
        """False if the process is gone."""
        descriptor = self.open()
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)

    def wait(self, seconds: float) -> bool:
        """True once the process has ended, False if it is still there after `seconds`."""
        descriptor = self.open()
        if descriptor is None:
            return True
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            return bool(poller.poll(max(0.0, seconds) * 1000))
        finally:
            os.close(descriptor)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def members(stack_id: str) -> dict[Identity, str]:
    """Every living process that a stack started, with its component's name; children of its servers
    included. They are known by the mark in their environment."""
    prefix = f"{MEMBER_VARIABLE}={stack_id}:".encode()
    found = {}
    for pid in _pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/environ", "rb") as stream:
                variables = stream.read().split(b"\0")
            identity = Identity.of(pid)
            for variable in variables:
                if variable.startswith(prefix) and identity is not None:
                    found[identity] = variable[len(prefix):].decode("utf-8", "replace")
    return found


def members_of(stack_id: str, component: str) -> list[Identity]:
    return [identity for identity, name in members(stack_id).items() if name == component]


def end(identities: list[Identity], grace_seconds: float) -> None:
    """Asks all to end, waits together, then kills what is left."""
    for identity in identities:
        identity.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    for identity in identities:
        if not identity.wait(deadline - time.monotonic()):
            identity.signal(signal.SIGKILL)
            identity.wait(5)
