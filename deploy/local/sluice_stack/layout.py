"""Where a stack keeps its things, and what it remembers from one start to the next."""
import hashlib
import os
import re
import shutil
import stat
import uuid
from pathlib import Path

from . import files

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_DIR = REPOSITORY / ".local"
SOCKET_PATH_MAX = 100  # the kernel allows 107 bytes


def directory_of(name: str) -> Path:
    return DEFAULT_DIR if name == "default" else DEFAULT_DIR / "stacks" / name


class Layout:
    """The folders and files of one stack. Creates nothing until `create()`."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.data = directory / "data"
        self.conf = directory / "conf"
        self.logs = directory / "logs"
        self.run = directory / "run"
        self.secrets = directory / "secrets"
        self.state_file = directory / "stack.json"
        self.desired_file = self.run / "desired.json"
        self.status_file = self.run / "status.json"
        self.supervisor_file = self.run / "supervisor.json"
        self.supervisor_lock = self.run / "supervisor.lock"
        self.command_lock = self.run / "command.lock"

    def create(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (self.data, self.conf, self.logs, self.run, self.secrets):
            folder.mkdir(mode=0o700, exist_ok=True)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def record(self, name: str) -> Path:
        """What is known of the process of a component."""
        return self.run / f"{name}.pid.json"

    def _short_folder(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path("/tmp") / f"sluice-{os.getuid()}-{digest}"

    def socket(self, name: str) -> Path:
        """A path for a unix socket, under /tmp where the stack's own folder has too long a name."""
        path = self.run / name
        return path if len(os.fsencode(path)) <= SOCKET_PATH_MAX else self._short_folder() / name

    def plain(self, path: Path) -> Path:
        """A name of `path`, which lies in the stack's folder, for programs that hand it to a shell
        unquoted: by way of a link where the folder's own name has blanks or quotes in it."""
        if re.fullmatch(r"[A-Za-z0-9_./+=@-]+", str(self.root)):
            return path
        return self._short_folder() / "root" / path.relative_to(self.root)

    def create_short_folder(self) -> None:
        """For `socket()` and `plain()`; may be called again."""
        folder = self._short_folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise RuntimeError(f"{folder} belongs to someone else or is open to others")
        link = folder / "root"
        if not link.is_symlink():
            link.symlink_to(self.root)

    def remove_short_folder(self) -> None:
        shutil.rmtree(self._short_folder(), ignore_errors=True)

    def purge(self) -> None:
        """Deletes everything that `create()` and the servers made, and nothing else: other stacks may
        live in a folder below this one."""
        for folder in (self.data, self.conf, self.logs, self.run, self.secrets):
            shutil.rmtree(folder, ignore_errors=True)
        self.state_file.unlink(missing_ok=True)
        try:
            self.root.rmdir()
        except OSError:
            pass  # something that isn't ours is in it


class State:
    """What a stack remembers: its id, its ports and the options of its last `up`."""

    def __init__(self, layout: Layout) -> None:
        self._file = layout.state_file
        stored = files.read_json(self._file, {})
        self.stack_id: str = stored.get("stack_id") or uuid.uuid4().hex
        self.ports: dict[str, int] = stored.get("ports", {})
        self.options: dict = stored.get("options", {})

    def save(self) -> None:
        files.write_json(self._file, {"stack_id": self.stack_id, "ports": self.ports, "options": self.options})
