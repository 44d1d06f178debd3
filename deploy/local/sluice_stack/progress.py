"""Shows how components come up: a line each, when something changes."""
import sys
import time

_SHOWN = {"starting": "starts", "running": "serves", "crashed": "ended", "stopping": "ends"}


class Progress:
    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._began = time.monotonic()
        self._seen: dict[str, tuple] = {}

    def show(self, rows: dict) -> None:
        for name in self._names:
            row = rows.get(name)
            if row is None or row["state"] == "stopped":
                continue
            if row["state"] == "starting" and row["pid"] is None:
                continue  # waits for another
            seen = (row["state"], row["pid"], row["crashes"])
            if self._seen.get(name) == seen:
                continue
            self._seen[name] = seen
            text = f"  {time.monotonic() - self._began:5.1f} s  {name:<10} {_SHOWN.get(row['state'], row['state']):<7}"
            if row["state"] == "running":
                text += f" on port {row['port']}, pid {row['pid']}"
            elif row["state"] == "crashed":
                text += f" ({row['detail']}), is started again"
            print(text.rstrip(), flush=True)
            sys.stdout.flush()
