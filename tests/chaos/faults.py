"""What goes wrong in a chaos run, and when: a plan made from a seed, and the hands that carry it out."""
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from journal import Journal
from proxy import Proxy

# How often each happens, in shares. Those of the broker's restart are kept below a tenth: each takes it many seconds.
WEIGHTS = {
    "kill_worker": 16, "kill_producer": 9, "kill_callback": 9, "stop_worker": 7, "stop_producer": 3, "stop_callback": 3,
    "kill_mysql": 4, "restart_mysql": 4, "kill_sessions": 7, "kill_redis": 3, "restart_redis": 3, "flush_redis": 4,
    "purge_queues": 8, "close_broker_connections": 5, "broker_alarm": 4, "restart_broker": 3,
    "cut": 8, "delay": 5, "silence": 4, "refuse": 4, "terminate_worker": 3, "redis_outage": 2,
}
PURGE = "[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()], ok."


@dataclass
class Planned:
    wait: float     # Since the fault before, in shares of the run.
    fault: str
    chance: random.Random = field(repr=False, default_factory=random.Random)


def plan(seed: int, count: int, wipe: bool = True) -> list[Planned]:
    """`count` faults; the broker is wiped once, in the second half."""
    chance = random.Random(seed)
    faults = chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=count)
    # Each kind at least once, as far as there is room, in an order that the seed decides.
    for at, fault in zip(chance.sample(range(count), min(count, len(WEIGHTS))), chance.sample(list(WEIGHTS), len(WEIGHTS))):
        faults[at] = fault
    restarts = [n for n, fault in enumerate(faults) if fault == "restart_broker"]
    for n in restarts[max(1, count // 10 - 1):]:
        faults[n] = "kill_worker"
    if wipe and count > 1:
        faults[chance.randrange(count // 2, count)] = "wipe_broker"
    waits = [0.5 + chance.random() for _ in range(count)]
    return [Planned(wait / sum(waits), fault, random.Random(chance.random())) for wait, fault in zip(waits, faults)]


class Faults:
    """Carries a plan out on a stack. What lasts, lasts beside what comes next."""

    def __init__(self, stack, proxies: dict[str, Proxy], workers: int, producers: int, lease: float, journal: Journal) -> None:
        self._stack, self._proxies, self._lease, self._journal = stack, proxies, lease, journal
        self._services = {"worker": workers, "producer": producers, "callback": 1}
        self._threads: list[threading.Thread] = []
        self._breaking: threading.Thread | None = None
        self._stopped: set[int] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.done = 0
        self.failed: list[str] = []

    def start(self, planned: list[Planned], seconds: float) -> None:
        """Carries the plan out beside its caller, who must `stop` it however things go."""
        self._breaking = threading.Thread(target=self._run, args=(planned, seconds), daemon=True)
        self._breaking.start()

    def wait(self) -> None:
        """Until the plan is carried out."""
        self._breaking.join()

    def stop(self) -> None:
        """Ends the plan after the fault that is happening, and all that lasts, and waits for both: a fault after this would
        meet a stack that is being taken down, and start servers in it."""
        self._over.set()
        if self._breaking is not None:
            self._breaking.join()
        for thread in self._threads:
            thread.join()
        for pid in list(self._stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _run(self, planned: list[Planned], seconds: float) -> None:
        began, due = time.monotonic(), 0.0
        for one in planned:
            due += one.wait * seconds
            if self._over.wait(max(0.0, began + due - time.monotonic())):
                return
            try:
                getattr(self, "_" + one.fault)(one.chance)
                self.done += 1
            except Exception as error:  # The run goes on; run.py says at the end what could not be done.
                self.failed.append(f"{one.fault}: {type(error).__name__}: {str(error)[:300]}")

    def heal(self) -> None:
        """Leaves nothing broken. After `stop`."""
        for proxy in self._proxies.values():
            proxy.heal()
        self._alarm(False)

    # --- the pieces

    def _note(self, fault: str, target: str, pid: int | None = None, began: float | None = None) -> None:
        now = time.time()
        self._journal.write(**{"fault": fault, "target": target, "pid": pid, "until": now, "t": began or now})

    def _lasting(self, seconds: float, act: Callable[[], None], undo: Callable[[], None], fault: str, target: str,
                 pid: int | None = None) -> None:
        began = time.time()
        act()

        def later() -> None:
            self._over.wait(seconds)
            try:
                undo()
            finally:
                self._note(fault, target, pid, began)
        thread = threading.Thread(target=later, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _signal(self, kind: str, number: int, fault: str, chance: random.Random) -> None:
        n = chance.randint(1, self._services[kind])
        name = kind if n == 1 else f"{kind}-{n}"
        pid = self._stack.pid(name)
        if pid is None:
            return      # Down already.
        self._note(fault, name, pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def _stop(self, kind: str, seconds: float, chance: random.Random) -> None:
        n = chance.randint(1, self._services[kind])
        name = kind if n == 1 else f"{kind}-{n}"
        pid = self._stack.pid(name)
        with self._lock:
            if pid is None or pid in self._stopped:
                return
            self._stopped.add(pid)

        def go_on() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            with self._lock:
                self._stopped.discard(pid)
        self._lasting(seconds, lambda: os.kill(pid, signal.SIGSTOP), go_on, "stop", name, pid)

    def _server(self, command: str, name: str) -> None:
        began = time.time()
        try:
            self._stack.run(command, name)
        finally:
            self._note(command, name, None, began)

    def _kill_server(self, name: str) -> None:
        began, pid = time.time(), self._stack.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self._stack.run("up", "--only", name)       # Waits until the supervisor has it back.
        self._note("kill", name, pid, began)

    def _broker(self, *arguments: str) -> None:
        self._stack.broker("--timeout", "30", *arguments)   # A broker that is busy must not hold up what comes next.

    def _alarm(self, on: bool) -> None:
        self._broker("set_vm_memory_high_watermark", *(["0.00001"] if on else ["absolute", "1GB"]))

    # --- the faults, by their names in the plan

    def _kill_worker(self, chance: random.Random) -> None:
        self._signal("worker", signal.SIGKILL, "kill", chance)

    def _terminate_worker(self, chance: random.Random) -> None:
        self._signal("worker", signal.SIGTERM, "terminate", chance)

    def _kill_producer(self, chance: random.Random) -> None:
        self._signal("producer", signal.SIGKILL, "kill", chance)

    def _kill_callback(self, chance: random.Random) -> None:
        self._signal("callback", signal.SIGKILL, "kill", chance)

    def _stop_worker(self, chance: random.Random) -> None:
        self._stop("worker", self._lease * (1.2 + chance.random()), chance)

    def _stop_producer(self, chance: random.Random) -> None:
        self._stop("producer", self._lease * (0.5 + chance.random()), chance)

    def _stop_callback(self, chance: random.Random) -> None:
        self._stop("callback", 3 + 5 * chance.random(), chance)

    def _kill_mysql(self, _chance: random.Random) -> None:
        self._kill_server("mysql")

    def _restart_mysql(self, _chance: random.Random) -> None:
        self._server("restart", "mysql")

    def _kill_sessions(self, _chance: random.Random) -> None:
        ids = self._stack.sql("SELECT id FROM information_schema.processlist WHERE user = 'sluice'")
        # One statement for all that are still there: a session that ended by itself meanwhile is no failure.
        kills = "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; %s END" % " ".join(f"KILL {row[0]};" for row in ids)
        self._stack.run("mysql", "--delimiter=//", "-e", kills if ids else "SELECT 1")
        self._note("kill_sessions", "mysql")

    def _kill_redis(self, _chance: random.Random) -> None:
        self._kill_server("redis")

    def _restart_redis(self, _chance: random.Random) -> None:
        self._server("restart", "redis")

    def _redis_outage(self, chance: random.Random) -> None:
        began = time.time()
        self._stack.run("stop", "redis")
        self._over.wait(2 + 3 * chance.random())
        self._stack.run("start", "redis")
        self._note("outage", "redis", None, began)

    def _flush_redis(self, _chance: random.Random) -> None:
        self._stack.redis("FLUSHALL")
        self._note("flush", "redis")

    def _purge_queues(self, _chance: random.Random) -> None:
        self._broker("eval", PURGE)
        self._note("purge", "rabbitmq")

    def _close_broker_connections(self, _chance: random.Random) -> None:
        self._broker("close_all_connections", "chaos")
        self._note("close_connections", "rabbitmq")

    def _broker_alarm(self, chance: random.Random) -> None:
        self._lasting(3 + 6 * chance.random(), lambda: self._alarm(True), lambda: self._alarm(False), "alarm", "rabbitmq")

    def _restart_broker(self, _chance: random.Random) -> None:
        self._server("restart", "rabbitmq")

    def _wipe_broker(self, _chance: random.Random) -> None:
        self._server("wipe", "rabbitmq")

    def _some(self, chance: random.Random) -> list[Proxy]:
        return chance.sample(list(self._proxies.values()), chance.randint(1, len(self._proxies)))

    def _cut(self, chance: random.Random) -> None:
        for proxy in self._some(chance):
            proxy.cut()
        self._note("cut", "network")

    def _network(self, chance: random.Random, fault: str, seconds: float, act: Callable[[Proxy], None]) -> None:
        some = self._some(chance)

        def each(what: Callable[[Proxy], None]) -> None:
            for proxy in some:
                what(proxy)
        self._lasting(seconds, lambda: each(act), lambda: each(Proxy.heal), fault, "network")

    def _delay(self, chance: random.Random) -> None:
        late = 0.02 + 0.3 * chance.random()
        self._network(chance, "delay", 4 + 6 * chance.random(), lambda proxy: proxy.delay(late))

    def _silence(self, chance: random.Random) -> None:
        self._network(chance, "silence", 2 + self._lease * chance.random(), Proxy.silence)

    def _refuse(self, chance: random.Random) -> None:
        self._network(chance, "refuse", 1 + 5 * chance.random(), Proxy.refuse)
