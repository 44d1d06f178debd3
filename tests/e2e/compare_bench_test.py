"""The side-by-side bench runs, tiny and without llama.cpp: its numbers mean nothing here, but it must not rot."""
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from world import REPOSITORY, binaries


class CompareBench(unittest.TestCase):
    def test_every_scenario_is_measured(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "tiny.gguf"
            subprocess.run([str(binaries() / "bin" / "sluice-bench-model"), str(model), "--shape", "tiny-qwen2", "--type", "Q8_0"], check=True)
            done = subprocess.run(["node", str(REPOSITORY / "bench" / "compare" / "compare.mjs"), "--model", str(model), "--bin",
                                   str(binaries() / "bin"), "--threads", "2", "--rounds", "2", "--without-llama", "--json"],
                                  capture_output=True, text=True, timeout=180, check=False)
            self.assertEqual(done.returncode, 0, done.stderr[-2000:])
            report = json.loads(done.stdout)
            self.assertEqual([r["scenario"] for r in report["results"]], ["prefill", "decode1", "decode8", "decode32", "requests"])
            for result in report["results"]:
                self.assertEqual(len(result["runs"]["sluice"]), 2)
                self.assertGreater(result["tokens_per_s"]["sluice"], 0)
            self.assertIn("quiet", report["machine"])

    def test_requests_without_a_prompt_of_their_own_are_refused(self) -> None:
        done = subprocess.run([str(binaries() / "bin" / "sluice-bench-requests"), "--model", "none.gguf", "--prompt", "8", "--shared", "8"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--shared 8", done.stderr)

    def test_unknown_arguments_are_refused(self) -> None:
        done = subprocess.run(["node", str(REPOSITORY / "bench" / "compare" / "compare.mjs"), "--modle", "x"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--modle", done.stderr)


if __name__ == "__main__":
    unittest.main()
