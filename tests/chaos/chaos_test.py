"""A short chaos run with a fixed seed, and broken builds that the checker must find."""
import random
import shutil
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import run as chaos     # First: it says where the stack's helpers are.
from faults import WEIGHTS, Planned, plan
from report import markdown, summary


def options(**more: object) -> chaos.Options:
    return chaos.Options(**{"seed": 20260, "seconds": 60, "jobs": 1200, "faults": 20, "lease": 6, "crashes": 1, "poisons": 1,
                            "settle_seconds": 180, **more})


class WithRun(unittest.TestCase):
    def run_through(self, given: chaos.Options, sound: bool = True) -> chaos.Outcome:
        folder = Path(tempfile.mkdtemp(prefix="sluice-chaos-"))
        outcome = chaos.run(given, folder)
        if sound and not outcome.report.good():
            print(summary(outcome), f"\nevidence: {folder}", flush=True)
        else:
            shutil.rmtree(folder)
        return outcome


class Chaos(WithRun):
    def test_nothing_is_lost(self) -> None:
        given = options()
        outcome = self.run_through(given)
        counts = outcome.report.counts()
        counts.pop("unexplained")   # A machine that stalls for the length of a short lease loses starts, too.
        self.assertEqual(set(counts.values()), {0}, outcome.report.text())
        self.assertEqual(set(outcome.open_at_end), {0})
        self.assertEqual(outcome.faults_failed, [])
        self.assertGreater(outcome.report.facts["accepted"], given.jobs // 2)
        succeeded = outcome.report.facts["jobs succeeded"]
        self.assertGreater(succeeded, given.jobs // 3)
        # The columns on the engine and the webhooks say something only of what was written down.
        self.assertGreaterEqual(outcome.report.facts["starts computed"], succeeded / 2)
        self.assertGreater(outcome.report.facts["POSTs received"], 0)
        # So do those on the files.
        self.assertGreater(outcome.report.facts["batches of files"], given.files // 2)
        self.assertGreater(outcome.report.facts["lines of files"], 20 * (given.files // 2))
        self.assertGreater(outcome.report.facts["revisions after a retry"], 0)
        self.assertGreater(outcome.report.facts["reads of a running batch's output"], 0)
        self.assertIn("| kill worker |", markdown(outcome, given))


class StackInWords:
    """Stands in for world.Stack: has no servers, and writes down what is asked of it. A restart takes its time."""

    def __init__(self, *_options: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sluice-chaos-"))
        self.environment = {"SLUICE_MYSQL_PORT": "1", "SLUICE_REDIS_PORT": "1", "SLUICE_RABBITMQ_PORT": "1",
                            "SLUICE_WEBHOOK_SECRET": "whsec_AAAA", "SLUICE_API_KEY": "key"}
        self.said: list[str] = []
        self.restarting, self.downed = threading.Event(), threading.Event()

    def up(self, *_more: str) -> None:
        pass

    def rows(self) -> list[dict]:
        return [{"name": "producer", "port": 1}]    # Nobody listens there.

    def run(self, command: str, *_arguments: str) -> str:
        self.said.append(command)
        self.restarting.set()
        self.downed.wait(0.5)
        self.said.append(f"{command} is over")
        return ""

    def down(self) -> None:
        self.said.append("down")
        self.downed.set()
        shutil.rmtree(self.root)


class EndedEarly(unittest.TestCase):
    """A load that breaks off, or Ctrl-C, while a fault is happening and more are planned."""

    def end_with(self, how: BaseException) -> list[str]:
        folder = Path(tempfile.mkdtemp(prefix="sluice-chaos-"))
        self.addCleanup(shutil.rmtree, folder)
        restart = Planned(0.0, "restart_mysql", random.Random(1))
        before = set(threading.enumerate())

        def break_off(_text: str) -> None:
            self.assertTrue(run.stack.restarting.wait(20))
            raise how
        with mock.patch.object(chaos, "Stack", StackInWords), mock.patch.object(chaos, "plan", lambda *_: [restart] * 3):
            run = chaos.Run(options(), folder)
            with self.assertRaises(type(how)):
                run.run(break_off)
        for thread in set(threading.enumerate()) - before:
            thread.join(20)
            self.assertFalse(thread.is_alive(), thread.name)
        return run.stack.said

    def test_no_fault_meets_the_end_of_the_stack(self) -> None:
        for how in (RuntimeError("the load broke"), KeyboardInterrupt()):
            with self.subTest(type(how)):
                self.assertEqual(self.end_with(how), ["restart", "restart is over", "down"])


class BrokenBuilds(WithRun):
    """The same build with a mistake switched on: a checker that calls it sound is worth nothing."""

    def test_an_answer_before_the_commit_is_found(self) -> None:
        outcome = self.run_through(options(
            seconds=8, jobs=200, files=0, faults=1, crashes=0, poisons=0, wipe=False, workers=1, producers=1, settle_seconds=20,
            settings=["producer:SLUICE_DEFECT=producer.answer_before_commit",
                      "producer:SLUICE_FAILPOINT=store.submit_before_commit:12"]), sound=False)
        self.assertGreater(outcome.report.counts()["lost"], 0, outcome.report.text())

    def test_a_delivery_recorded_before_it_was_made_is_found(self) -> None:
        outcome = self.run_through(options(
            seconds=6, jobs=200, files=0, faults=1, crashes=0, poisons=0, wipe=False, workers=1, producers=1, settle_seconds=60,
            unreliable=0.3, settings=["callback:SLUICE_DEFECT=callback.record_before_post"]), sound=False)
        self.assertGreater(outcome.report.counts()["undelivered"], 0, outcome.report.text())
        self.assertEqual(outcome.report.counts()["lost"], 0, outcome.report.text())

    def test_an_event_of_a_batch_recorded_before_it_was_sent_is_found(self) -> None:
        outcome = self.run_through(options(
            seconds=6, jobs=10, files=8, faults=1, crashes=0, poisons=0, wipe=False, workers=1, producers=1, settle_seconds=60,
            unreliable=0.7, settings=["callback:SLUICE_DEFECT=callback.record_before_post"]), sound=False)
        found = outcome.report.found["undelivered"]
        self.assertTrue([what for what in found if "(batch." in what], outcome.report.text())
        self.assertEqual(outcome.report.counts()["lost"], 0, outcome.report.text())


class Plan(unittest.TestCase):
    def test_a_seed_gives_one_plan(self) -> None:
        self.assertEqual([(p.wait, p.fault) for p in plan(5, 50)], [(p.wait, p.fault) for p in plan(5, 50)])
        self.assertNotEqual([p.fault for p in plan(5, 50)], [p.fault for p in plan(6, 50)])

    def test_the_broker_is_wiped_once_and_restarted_seldom(self) -> None:
        for seed in range(50):
            faults = [p.fault for p in plan(seed, 200)]
            self.assertEqual(faults.count("wipe_broker"), 1)
            self.assertLessEqual(faults.count("restart_broker") + 1, 20)
            self.assertGreaterEqual(len(set(faults)), len(WEIGHTS) - 1)     # The wipe may stand where one was alone.

    def test_waits_fill_the_time(self) -> None:
        self.assertAlmostEqual(sum(p.wait for p in plan(1, 30)), 1.0)


if __name__ == "__main__":
    unittest.main()
