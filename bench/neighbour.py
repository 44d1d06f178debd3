#!/usr/bin/env python3
"""How long one tenant's single jobs take, with and without another tenant's batch beside them.

    bench/neighbour.py [--engine echo|native] [--lines N] [--singles N] [--build DIR] [--json] [--set [SERVICE:]SLUICE_X=VALUE]…

Starts a private stack, sends singles one after another (each awaited), then the batch, and singles again while it runs. Prints
the median and the 95th percentile of both in milliseconds, and how much of the batch was left when the last single ended: with
nothing left the second half measured too little, and the run says so and fails."""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
PER_REQUEST = 5000      # Lines that fit into one request's 8 MB, whatever they are here.


def times_of(stack, ids: list[str]) -> list[float]:
    """From acceptance to end, by the database's clock."""
    listed = ",".join(f"'{one}'" for one in ids)
    rows = stack.sql(f"SELECT TIMESTAMPDIFF(MICROSECOND, created_at, finished_at) FROM job WHERE id IN ({listed})")
    return sorted(int(row[0]) / 1000 for row in rows)


def summary(times: list[float]) -> dict[str, float]:
    return {"median_ms": round(statistics.median(times), 1), "p95_ms": round(times[int(len(times) * 0.95) - 1], 1)}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--engine", choices=["echo", "native"], default="echo")
    asked.add_argument("--lines", type=int, default=10_000)
    asked.add_argument("--singles", type=int, default=40)
    asked.add_argument("--build", default=str(ROOT / "build" / "release"))
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--set", action="append", default=[])
    options = asked.parse_args()
    from world import Client, Stack     # After the arguments: --help needs no stack.

    stack = Stack("--engine", options.engine, *[word for one in options.set for word in ("--set", one)])
    stack.options[1] = options.build
    try:
        stack.up()
        stack.sql("INSERT INTO tenant (id, name, created_at) VALUES ('neighbour', 'neighbour', UTC_TIMESTAMP(6))")
        single, batch = Client(stack), Client(stack)
        made = subprocess.run([f"{options.build}/bin/sluicectl", "keys", "create", "--tenant", "neighbour", "--name", "bench"],
                              env={"SLUICE_URL": stack.environment["SLUICE_URL"],
                                   "SLUICE_ADMIN_KEY": stack.environment["SLUICE_ADMIN_KEY"]},
                              capture_output=True, text=True, check=True)
        batch.key = made.stdout.strip()

        def run_singles() -> list[float]:
            ids = []
            for i in range(options.singles):
                job = single.submit({"prompt": f"What is {i} + 30?", "parameters": {"max_tokens": 32}})
                single.wait_final(job["id"], 600)
                ids.append(job["id"])
            return times_of(stack, ids)

        run_singles()   # Warm: connections, the model's pages.
        alone = run_singles()
        for start in range(0, options.lines, PER_REQUEST):
            count = min(PER_REQUEST, options.lines - start)
            if batch.submit({"requests": [{"prompt": f"What is {start + i} + 12?"} for i in range(count)],
                             "parameters": {"max_tokens": 32}}) is None:
                raise SystemExit("the batch was refused")
        beside = run_singles()
        left = int(stack.sql("SELECT COUNT(*) FROM job WHERE tenant_id = 'neighbour' AND finished_at IS NULL")[0][0])
    finally:
        stack.down()
    report = {"engine": options.engine, "lines": options.lines, "singles": options.singles, "alone": summary(alone),
              "beside": summary(beside), "lines_left": left}
    if options.json:
        print(json.dumps(report))
    else:
        for name in ("alone", "beside"):
            print(f"{name:7} median {report[name]['median_ms']:8.1f} ms   p95 {report[name]['p95_ms']:8.1f} ms")
        print(f"{left} of {options.lines} lines were left when the last single job ended")
    if left == 0:
        print("the batch ended too early to say anything: use more --lines or fewer --singles", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
