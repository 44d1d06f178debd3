"""Redis, from the server binary that Debian's redis-tools ships under the name redis-check-rdb."""
import shutil
from pathlib import Path

from .. import files, probes
from ..ports import LOOPBACK
from .base import Command, Component

_CONFIG = """\
bind {address}
protected-mode yes
port {port}
dir "{data}"
requirepass {password}
daemonize no
appendonly yes
appendfsync everysec
save ""
maxclients 4000
# Redis only makes things faster here: what has an end date goes first when memory is short.
maxmemory 512mb
maxmemory-policy volatile-lfu
# The environment must stay readable: by it the stack recognises its processes.
set-proc-title no
"""


class Redis(Component):
    name = "redis"

    def data(self) -> Path:
        return self.layout.data / "redis"

    def prepare(self) -> None:
        self.data().mkdir(mode=0o700, exist_ok=True)
        files.write_atomic(self._config_file(), _CONFIG.format(
            address=LOOPBACK, port=self.port, data=self.data(),
            password=self.context.credentials["redis_password"]), 0o600)

    def command(self) -> Command:
        return Command([str(self._server()), str(self._config_file())])

    def not_ready(self) -> str | None:
        return probes.redis(self.port, self.context.credentials["redis_password"])

    def _config_file(self) -> Path:
        return self.layout.conf / "redis.conf"

    def _server(self) -> Path:
        installed = shutil.which("redis-server")
        if installed is not None:
            return Path(installed)
        checker = shutil.which("redis-check-rdb")
        if checker is None:
            raise RuntimeError("neither redis-server nor redis-check-rdb is installed")
        # The binary is a server or a checker according to the name it is called by.
        link = self.layout.run / "redis-server"
        if not link.is_symlink() or link.readlink() != Path(checker):
            link.unlink(missing_ok=True)
            link.symlink_to(checker)
        return link
