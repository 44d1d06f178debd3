"""Files that are replaced whole, locks held by open files, and logs that stay bounded."""
import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path

LOG_BYTES_MAX = 16 * 1024 * 1024
LOGS_KEPT = 3


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Replaces `path` in one step: a reader sees the old text or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
    os.replace(temporary, path)


def write_json(path: Path, value: object) -> None:
    write_atomic(path, json.dumps(value, indent=1) + "\n", 0o600)


def read_json(path: Path, default):
    """The parsed file, or `default` where it is missing or unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return default


def try_lock(path: Path):
    """An open file that holds the lock on `path` until it is closed; None if someone else holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = open(path, "a+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    return stream


def is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    stream = try_lock(path)
    if stream is None:
        return True
    stream.close()
    return False


@contextlib.contextmanager
def locked(path: Path):
    """Waits for the lock on `path` and holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _older(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def rotate_log(log: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Moves a grown log aside. The content is copied and the file truncated, because the process
    that writes it holds it open; it appends, so its next line starts at the new beginning. Lines
    written between copying and truncating are lost, which a log can bear."""
    try:
        if log.stat().st_size <= bytes_max:
            return
    except FileNotFoundError:
        return
    for number in range(LOGS_KEPT - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            os.replace(_older(log, number), _older(log, number + 1))
    shutil.copyfile(log, _older(log, 1))
    os.truncate(log, 0)


def tail(log: Path, lines: int, bytes_max: int = 64 * 1024) -> str:
    """The last `lines` lines of a log, indented; empty where there is no log."""
    try:
        with open(log, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - bytes_max))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])
