"""What came of a chaos run, for people."""
import os
import platform
from collections import Counter
from datetime import datetime, timezone


def fault_counts(faults: list[dict]) -> Counter:
    """Faults by what was done to whom; the services' numbers are left out."""
    return Counter(f"{fault['fault']} {fault['target'].split('-')[0]}" for fault in faults)


def summary(outcome) -> str:
    lines = [outcome.report.text(), ""]
    lines += [f"{name:<44}{value}" for name, value in outcome.report.facts.items()]
    lines.append(f"{'faults':<44}{len(outcome.faults)}")
    lines += [f"  {name:<42}{times}" for name, times in sorted(fault_counts(outcome.faults).items())]
    lines += [f"could not be done: {text}" for text in outcome.faults_failed]
    lines.append(f"settled {outcome.settle_seconds:.0f} s after the last job and fault; open then: {outcome.open_at_end}")
    return "\n".join(lines)


def markdown(outcome, options) -> str:
    counts = outcome.report.counts()
    verdict = "Every column is zero." if outcome.report.good() else "**Not every column is zero.**"
    lines = [
        "# A chaos run", "",
        f"{verdict} What the columns mean, and how to run it again, stands in [tests/chaos](../tests/chaos/README.md).", "",
        "| " + " | ".join(counts) + " |", "|" + "---:|" * len(counts),
        "| " + " | ".join(str(count) for count in counts.values()) + " |", "",
        f"`tests/chaos/run.py --seed {outcome.seed} --minutes {options.seconds / 60:g} --jobs {options.jobs} "
        f"--files {options.files} --faults {options.faults} --workers {options.workers} --producers {options.producers} --lease {options.lease:g}`, "
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}. "
        f"{outcome.seconds:.0f} s of jobs and faults; all that was open then had ended {outcome.settle_seconds:.0f} s later.", "",
        "| what | count |", "|---|---:|"]
    lines += [f"| {name} | {value} |" for name, value in outcome.report.facts.items()]
    lines += ["", f"{len(outcome.faults)} faults:", "", "| fault | times |", "|---|---:|"]
    lines += [f"| {name} | {times} |" for name, times in sorted(fault_counts(outcome.faults).items())]
    for column, found in outcome.report.found.items():
        if found:
            lines += ["", f"## {column}", "", *(f"- {what}" for what in found[:50])]
    return "\n".join(lines) + "\n"
