"""bench/neighbour.py runs, and finds the accounts of its batch right, also when a process is killed in the midst of it."""
import json
import subprocess
import unittest

from world import REPOSITORY, binaries

BENCH = REPOSITORY / "bench" / "neighbour.py"


class NeighbourBench(unittest.TestCase):
    def measure(self, *options: str) -> dict:
        done = subprocess.run([str(BENCH), "--build", str(binaries()), "--json", *options], capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_a_batch_beside_single_jobs(self) -> None:
        report = self.measure("--lines", "5000", "--singles", "5")
        self.assertEqual((report["wrong"], report["lines"], report["killed"]), ([], 5000, None))
        self.assertGreater(report["lines_left"], 0)
        self.assertGreater(report["beside"]["p95_ms"], 0)

    def test_the_accounts_outlive_a_kill(self) -> None:
        report = self.measure("--lines", "2000", "--singles", "5", "--kill")
        self.assertEqual(report["wrong"], [])
        self.assertIn(report["killed"], ("producer", "worker", "callback"))


if __name__ == "__main__":
    unittest.main()
