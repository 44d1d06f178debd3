#!/usr/bin/env python3
"""What sharing results saves: how long equal requests take the first time and again, and how much of a skewed load is computed.

    bench/answers.py [--engine echo|native] [--questions N] [--repeats N] [--load N] [--build DIR] [--json]

Starts a private stack. Each question is asked once (a miss), then again in rounds (hits), one request after another with
`/v1/chat/completions` as a client sees it. Then --load requests from 8 connections ask the questions anew with another system
message, as popular as Zipf's law has them (the n-th 1/n as often as the first): that part's share that was not computed is told
by the record, not by the header. At last one question by 100 connections at once, which must be computed once."""
import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests" / "e2e")]
AT_ONCE = 100


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--engine", choices=["echo", "native"], default="native")
    asked.add_argument("--questions", type=int, default=30)
    asked.add_argument("--repeats", type=int, default=5)
    asked.add_argument("--load", type=int, default=400)
    asked.add_argument("--build", default=str(ROOT / "build" / "release"))
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    from neighbour import summary   # After the arguments: --help needs no stack.
    from world import Client, Stack

    stack = Stack("--engine", options.engine)
    stack.options[1] = options.build
    try:
        stack.up()
        client = Client(stack)

        def ask(question: str, system: str) -> tuple[float, str]:
            body = {"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
                    "temperature": 0, "max_tokens": 64}
            begin = time.monotonic()
            answer = client.call("POST", "/v1/chat/completions", body, timeout=300)
            took = (time.monotonic() - begin) * 1000
            if answer.status != 200:
                raise SystemExit(f"{answer.status} {answer.body}")
            return took, answer.headers["x-cache"]

        def computed() -> int:
            return int(stack.sql("SELECT COUNT(*) FROM job WHERE attempt > 0")[0][0])

        questions = [f"Write the numbers from {i + 1} to {i + 20} in words." for i in range(options.questions)]
        for i in range(3):
            ask(f"warm {i}", "Be brief.")   # Connections, the model's pages.
        misses = [ask(one, "Be brief.") for one in questions]
        hits = [ask(one, "Be brief.") for _ in range(options.repeats) for one in questions]
        if {said for _, said in misses} != {"miss"} or {said for _, said in hits} != {"hit"}:
            raise SystemExit(f"not what was to be timed: {Counter(said for _, said in misses + hits)}")

        rng = random.Random(1)
        weights = [1 / (n + 1) for n in range(len(questions))]
        todo = rng.choices(questions, weights, k=options.load)
        before = computed()
        # What a thread raises is raised here: a request that was refused must not look like one that was saved.
        with ThreadPoolExecutor(8) as lanes:
            list(lanes.map(lambda one: ask(one, "Answer as a poet."), todo))
        load_computed = computed() - before
        before = computed()
        gate = threading.Barrier(AT_ONCE, timeout=60)   # Else lanes that are done would ask for those that have not begun.

        def ask_at_once(_lane: int) -> None:
            gate.wait()
            ask("All at once?", "Be brief.")

        with ThreadPoolExecutor(AT_ONCE) as lanes:
            list(lanes.map(ask_at_once, range(AT_ONCE)))
        at_once = computed() - before
    finally:
        stack.down()
    miss, hit = (summary(sorted(took for took, _ in part)) for part in (misses, hits))
    report = {"engine": options.engine, "miss_median_ms": miss["median_ms"], "hit_median_ms": hit["median_ms"],
              "less_percent": round(100 * (1 - hit["median_ms"] / miss["median_ms"]), 2), "hit_p95_ms": hit["p95_ms"],
              "load": options.load, "load_computed": load_computed,
              "load_saved_percent": round(100 * (1 - load_computed / options.load), 1), "of_100_at_once_computed": at_once}
    if options.json:
        print(json.dumps(report))
    else:
        print(f"computed      median {report['miss_median_ms']:8.2f} ms  ({options.questions} questions)\n"
              f"known         median {report['hit_median_ms']:8.2f} ms  p95 {report['hit_p95_ms']:.2f} ms: {report['less_percent']} % less\n"
              f"skewed load   {load_computed} of {options.load} computed: {report['load_saved_percent']} % saved\n"
              f"100 at once   {at_once} computed")
    return 0 if at_once == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
