"""The load bench runs, tiny: its numbers mean nothing here, but it must not rot."""
import json
import os
import subprocess
import unittest

from world import REPOSITORY, binaries


class LoadBench(unittest.TestCase):
    def run_bench(self, *arguments: str) -> dict:
        done = subprocess.run([str(REPOSITORY / "bench" / "run_load.sh"), "--build", str(binaries()), "--name",
                               f"bench-{os.getpid()}", "--json", *arguments],
                              capture_output=True, text=True, timeout=180, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return json.loads(done.stdout)

    def test_single_jobs(self) -> None:
        report = self.run_bench("--jobs", "60", "--concurrency", "4")
        for counted in ("accepted", "ended", "succeeded"):
            self.assertEqual(report[counted], 60)
        self.assertGreater(report["accepted_per_s"], 0)
        self.assertGreater(report["finished_per_s"], 0)
        for spread in ("accept_ms", "end_to_end_ms", "client_wait_ms"):
            self.assertGreater(report[spread]["p50"], 0)
            self.assertGreaterEqual(report[spread]["p99"], report[spread]["p50"])
        for part in ("mysql", "redis", "rabbitmq", "producer", "worker", "callback", "client"):
            self.assertIn(part, report["cpu"]["processes"])
        self.assertGreater(report["mysql_per_job"]["Questions"], 0)
        self.assertGreater(report["worker"]["jobs_per_claim"], 0)
        self.assertTrue(report["limit"])


if __name__ == "__main__":
    unittest.main()
