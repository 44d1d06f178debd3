"""Journals: one JSON object a line, written as things happen, so that a checker can read afterwards what was seen."""
import json
import threading
import time
from pathlib import Path


class Journal:
    """Safe for concurrent use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = open(path, "a", encoding="utf-8")  # pylint: disable=consider-using-with

    def write(self, **fields: object) -> None:
        line = json.dumps({"t": time.time(), **fields}, ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")

    def flush(self) -> None:
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        with self._lock:
            self._file.close()


def read(path: Path) -> list[dict]:
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
