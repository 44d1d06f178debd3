#!/usr/bin/env python3
"""A chaos run: the real stack with several producers and workers, thousands of jobs of every kind of fate, and a seeded
series of faults; afterwards a checker counts what is wrong. See README.md.

  tests/chaos/run.py --minutes 30 --jobs 50000 --files 240 --faults 200 --report docs/chaos.md
"""
import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import checker  # noqa: E402  pylint: disable=wrong-import-position
import record  # noqa: E402  pylint: disable=wrong-import-position
import report as reports  # noqa: E402  pylint: disable=wrong-import-position
from faults import Faults, plan  # noqa: E402  pylint: disable=wrong-import-position
from journal import Journal, read as read_journal  # noqa: E402  pylint: disable=wrong-import-position
from load import Load, LoadPlan  # noqa: E402  pylint: disable=wrong-import-position
from proxy import Proxy  # noqa: E402  pylint: disable=wrong-import-position
from receiver import Receiver  # noqa: E402  pylint: disable=wrong-import-position
from world import Stack  # noqa: E402  pylint: disable=wrong-import-position

SERVERS = ("mysql", "redis", "rabbitmq")
SETTLE_STEP = 0.5


@dataclass
class Options:
    seed: int
    seconds: float
    jobs: int
    faults: int
    files: int = 8                  # Batches that come as files.
    workers: int = 3
    producers: int = 2
    lease: float = 15.0             # Seconds. Shorter: lost starts come back sooner, and a short run has more of them.
    settle_seconds: float = 300.0   # After the last fault, for all that is open to end.
    crashes: int = 2
    poisons: int = 1
    wipe: bool = True
    settings: list[str] = field(default_factory=list)   # More `--set` of the stack.
    unreliable: float = 0.04        # Share of the POSTs that the receiver refuses or cuts off.


@dataclass
class Outcome:
    report: checker.Report
    faults: list[dict]
    faults_failed: list[str]
    open_at_end: tuple[int, ...]    # As record.open_ends says it.
    seconds: float
    settle_seconds: float
    seed: int
    folder: Path


def service_settings(options: Options) -> list[str]:
    return ["SLUICE_LEASE=%dms" % (options.lease * 1000), "SLUICE_LOG_LEVEL=debug", "SLUICE_WEBHOOK_RETRY_WAITS=" +
            ",".join(["0s", "1s", "2s", "4s", "5s"] + ["10s"] * 15), "SLUICE_WEBHOOK_TIMEOUT=5s", "SLUICE_WEBHOOK_HOLD=15s",
            *options.settings]


class Run:
    def __init__(self, options: Options, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.stack = Stack("--engine", "echo")
        self.proxies: dict[str, Proxy] = {}
        self.load: Load | None = None
        self.client, self.received, self.faulty = (Journal(folder / f"{name}.jsonl") for name in ("client", "receiver", "faults"))

    def run(self, say=lambda _text: None) -> Outcome:
        with contextlib.ExitStack() as ending:      # Last in, first out, and none that fails keeps the others from their turn.
            for journal in (self.client, self.received, self.faulty):
                ending.callback(journal.close)
            ending.callback(self._join_load)    # After the stack: what it still asks, nobody answers any more.
            ending.callback(self.stack.down)
            ending.callback(self._keep_logs)
            self._start(ending)
            return self._work(ending, say)

    def _join_load(self) -> None:
        if self.load is not None:
            self.load.join()

    def _keep_logs(self) -> None:
        with contextlib.suppress(OSError):      # As far as there are any: they matter less than what comes after.
            shutil.copytree(self.stack.root / "logs", self.folder / "logs", dirs_exist_ok=True)

    def _start(self, ending: contextlib.ExitStack) -> None:
        """Every second service reaches the servers through proxies."""
        options = self.options
        self.stack.up("--only", ",".join(SERVERS))
        for server in SERVERS:
            self.proxies[server] = Proxy(int(self.stack.environment[f"SLUICE_{server.upper()}_PORT"]))
            ending.callback(self.proxies[server].close)
        settings = service_settings(options)
        behind = [f"{kind}-{n}" for kind, count in (("producer", options.producers), ("worker", options.workers))
                  for n in range(2, count + 1, 2)] + ["callback"]
        settings += [f"{service}:SLUICE_{server.upper()}_PORT={proxy.port}" for service in behind
                     for server, proxy in self.proxies.items()]
        self.stack.up("--workers", str(options.workers), "--producers", str(options.producers),
                      *(part for setting in settings for part in ("--set", setting)))

    def _work(self, ending: contextlib.ExitStack, say) -> Outcome:
        options, environment = self.options, self.stack.environment
        receiver = Receiver(environment["SLUICE_WEBHOOK_SECRET"], self.received, options.seed, options.unreliable)
        ending.callback(receiver.close)
        ports = [row["port"] for row in self.stack.rows() if row["name"].startswith("producer")]
        load = self.load = Load(LoadPlan(options.jobs, options.seconds, options.crashes, options.poisons, files=options.files),
                                options.seed, environment["SLUICE_API_KEY"], ports, receiver.url, self.client, self.folder / "files")
        faults = Faults(self.stack, self.proxies, options.workers, options.producers, options.lease, self.faulty)
        began = time.monotonic()
        ending.callback(faults.stop)
        faults.start(plan(options.seed, options.faults, options.wipe), options.seconds)
        shown = [0.0]

        def progress(sent: int) -> None:
            if time.monotonic() - shown[0] > 10:
                shown[0] = time.monotonic()
                say(f"{time.monotonic() - began:6.0f} s  {sent} of {options.jobs} jobs sent, {faults.done} of {options.faults} faults")
        load.run(progress)
        faults.wait()
        seconds = time.monotonic() - began
        say(f"{seconds:6.0f} s  all sent, {faults.done} faults; healing")
        faults.stop()
        faults.heal()
        self.stack.up()
        load.end_files(options.settle_seconds)
        left = self._settle(say)
        settled = time.monotonic() - began - seconds
        load.look(self._sample())
        receiver.close()
        for journal in (self.client, self.received, self.faulty):
            journal.close()
        (self.folder / "record.json").write_text(json.dumps(record.read(self._sql)), encoding="utf-8")
        shutil.copytree(self.stack.root / "logs", self.folder / "logs", dirs_exist_ok=True)
        return Outcome(checker.Checker(checker.load(self.folder)).check(), read_journal(self.faulty.path), faults.failed, left,
                       seconds, settled, options.seed, self.folder)

    def _settle(self, say) -> tuple[int, ...]:
        """Until every job, event, delivery and batch is over, or the time for it is."""
        until = time.monotonic() + self.options.settle_seconds
        while any(left := record.open_ends(self._sql)) and time.monotonic() < until:
            say(f"        open: {left[0]} jobs, {left[1]} events, {left[2]} deliveries, {left[3]} batches")
            time.sleep(SETTLE_STEP if sum(left) < 1000 else 4 * SETTLE_STEP)
        return left

    def _sample(self) -> list[str]:
        self.client.flush()
        ids = [i for line in read_journal(self.client.path) if line["op"] == "accepted" for i in line["ids"]]
        return random.Random(self.options.seed).sample(ids, min(len(ids), 100))

    def _sql(self, statement: str) -> list[list[str]]:
        return self.stack.sql(statement, "--raw")


def run(options: Options, folder: Path, say=lambda _text: None) -> Outcome:
    """One run; its evidence stays in `folder`. However it ends, its servers and threads have ended before."""
    folder.mkdir(parents=True, exist_ok=True)
    return Run(options, folder).run(say)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long jobs are sent and faults happen (default 2)")
    parser.add_argument("--jobs", type=int, default=3000, help="how many (default 3000)")
    parser.add_argument("--files", type=int, help="how many batches come as files, of 20 to 200 lines (default 8 a minute)")
    parser.add_argument("--faults", type=int, help="how many (default 7 a minute)")
    parser.add_argument("--seed", type=int, help="decides jobs and faults (default: by chance; it is printed)")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument("--lease", type=float, default=15.0, help="of the workers, in seconds (default 15)")
    parser.add_argument("--report", type=Path, help="write what came of it here, as Markdown")
    parser.add_argument("--keep", type=Path, help="keep journals, record and logs in this folder")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(3), "big")
    faults = given.faults if given.faults is not None else max(1, round(given.minutes * 7))
    files = given.files if given.files is not None else round(given.minutes * 8)
    options = Options(seed, given.minutes * 60, given.jobs, faults, files, given.workers, given.producers, given.lease,
                      crashes=max(1, round(given.minutes)), poisons=max(1, round(given.minutes / 3)))
    print(f"seed {seed}: {options.jobs} jobs, {options.files} files and {options.faults} faults in {given.minutes:g} minutes", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)    # Ends it as Ctrl-C does: in order.
    folder = given.keep or Path(tempfile.mkdtemp(prefix="sluice-chaos-"))
    try:
        outcome = run(options, folder, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        print("interrupted: nothing was checked", flush=True)
        if not given.keep:
            shutil.rmtree(folder)
        return 130
    except BaseException:
        print(f"evidence: {folder}", flush=True)
        raise
    print(reports.summary(outcome))
    if given.report:
        given.report.write_text(reports.markdown(outcome, options), encoding="utf-8")
    good = outcome.report.good() and not outcome.faults_failed
    if given.keep or not good:
        print(f"evidence: {outcome.folder}")
    else:
        shutil.rmtree(outcome.folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
