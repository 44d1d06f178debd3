#!/usr/bin/env python3
"""Runs Python tests and counts results. Each command appends one line `PASSED FAILED SKIPPED` to a file.

  tally.py junit REPORT.xml TOTALS     counts a report of ctest
  tally.py python FOLDER TOTALS        runs the *_test.py of a folder (unittest) and counts
  tally.py sum TOTALS                  prints the sums
"""
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def count_junit(report: Path) -> tuple[int, int, int]:
    passed = failed = skipped = 0
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        status = case.get("status")
        if status == "run":
            passed += 1
        elif status == "disabled":
            skipped += 1
        elif status == "notrun":
            # ctest reports a test that skipped itself and one whose program is missing alike, but for the message.
            note = case.find("skipped")
            message = "" if note is None else note.get("message", "")
            if message.startswith("SKIP_"):
                skipped += 1
            else:
                failed += 1
        else:
            failed += 1
    return passed, failed, skipped


def run_python(folder: Path) -> tuple[int, int, int]:
    sys.dont_write_bytecode = True
    suite = unittest.TestLoader().discover(str(folder), pattern="*_test.py")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped) + len(result.expectedFailures)
    # An error in setUpClass fails without a test having run.
    return max(0, result.testsRun - bad - skipped), bad, skipped


def main() -> int:
    command, *paths = sys.argv[1:]
    if command == "sum":
        totals = [0, 0, 0]
        for line in Path(paths[0]).read_text(encoding="ascii").splitlines():
            totals = [a + int(b) for a, b in zip(totals, line.split())]
        print(*totals)
        return 0
    counts = {"junit": count_junit, "python": run_python}[command](Path(paths[0]))
    with open(paths[1], "a", encoding="ascii") as stream:
        print(*counts, file=stream)
    print("%d passed, %d failed, %d skipped" % counts)
    return 1 if counts[1] else 0


if __name__ == "__main__":
    sys.exit(main())
