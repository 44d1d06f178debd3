"""bench/answers.py runs, tiny: its times mean nothing here, but equal requests are computed once."""
import json
import subprocess
import unittest

from world import REPOSITORY, binaries


class AnswersBench(unittest.TestCase):
    def test_equal_requests_are_computed_once(self) -> None:
        done = subprocess.run([str(REPOSITORY / "bench" / "answers.py"), "--engine", "echo", "--build", str(binaries()), "--questions",
                               "5", "--repeats", "2", "--load", "40", "--json"],
                              capture_output=True, text=True, timeout=180, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual(report["of_100_at_once_computed"], 1)
        # The same 40 requests each time, in which all 5 questions occur.
        self.assertEqual((report["load"], report["load_computed"], report["load_saved_percent"]), (40, 5, 87.5))
        self.assertGreater(report["miss_median_ms"], 0)
        self.assertGreater(report["hit_median_ms"], 0)
        self.assertGreaterEqual(report["hit_p95_ms"], report["hit_median_ms"])


if __name__ == "__main__":
    unittest.main()
