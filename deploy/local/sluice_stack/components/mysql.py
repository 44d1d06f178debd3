"""MariaDB, as the MySQL of the stack."""
import os
import shutil
import subprocess
from pathlib import Path

from .. import files, probes
from ..environment import MYSQL_DATABASE as DATABASE, MYSQL_USER as USER
from ..ports import LOOPBACK
from .base import Command, Component

_CONFIG = """\
[mariadbd]
datadir = {data}
tmpdir = {tmp}
socket = {socket}
pid-file = {pid_file}
bind-address = {address}
port = {port}
init-file = {init_file}
skip-name-resolve
skip-log-bin
character-set-server = utf8mb4
collation-server = utf8mb4_unicode_ci
max_connections = 400
# A committed job survives a crash of the machine.
innodb_flush_log_at_trx_commit = 1
innodb_buffer_pool_size = 256M
innodb_log_file_size = 128M
innodb_fast_shutdown = 1
# Small: a stack starts often, and a file that grows is written once.
innodb_data_file_path = ibdata1:12M:autoextend
performance_schema = OFF
log_warnings = 2
"""

# Read by the server at each start before it takes connections, so that the passwords are always those
# of the secrets folder. One statement a line. The further databases are for tests that want their own.
_INIT = """\
CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4;
CREATE OR REPLACE USER 'root'@'localhost' IDENTIFIED BY '{root_password}';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION;
CREATE OR REPLACE USER 'root'@'{address}' IDENTIFIED BY '{root_password}';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'{address}' WITH GRANT OPTION;
DROP USER IF EXISTS 'root'@'::1', 'root'@'{hostname}', ''@'localhost', ''@'{hostname}';
CREATE OR REPLACE USER '{user}'@'{address}' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON `{database}`.* TO '{user}'@'{address}';
GRANT ALL PRIVILEGES ON `{database}\\_%`.* TO '{user}'@'{address}';
"""


class Mysql(Component):
    name = "mysql"
    stop_seconds = 30.0

    def data(self) -> Path:
        return self.layout.data / "mysql"

    @property
    def client_file(self) -> Path:
        """Options with which the client logs in as root."""
        return self.layout.conf / "mysql-root.cnf"

    def prepare(self) -> None:
        if not (self.data() / "mysql").is_dir():
            self._install()
        socket = self.layout.socket("mysql.sock")
        if socket.parent != self.layout.run:
            self.layout.create_short_folder()
        temporary = self.layout.data / "mysql-tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        secrets = self.context.credentials
        init_file = self.layout.conf / "mysql-init.sql"
        files.write_atomic(init_file, _INIT.format(
            database=DATABASE, user=USER, address=LOOPBACK, hostname=os.uname().nodename.replace("'", ""),
            root_password=secrets["mysql_root_password"], password=secrets["mysql_password"]), 0o600)
        files.write_atomic(self._config_file(), _CONFIG.format(
            data=self.data(), tmp=temporary, socket=socket, pid_file=self.layout.run / "mysql.pid",
            address=LOOPBACK, port=self.port, init_file=init_file), 0o600)
        files.write_atomic(self.client_file, f"[client]\nhost = {LOOPBACK}\nport = {self.port}\nuser = root\n"
                           f"password = {secrets['mysql_root_password']}\n", 0o600)
        files.write_atomic(self._user_file(), f"[client]\nhost = {LOOPBACK}\nport = {self.port}\nuser = {USER}\n"
                           f"password = {secrets['mysql_password']}\nconnect-timeout = 3\n", 0o600)

    def command(self) -> Command:
        argv = [shutil.which("mariadbd", path=_search_path()) or "mariadbd", f"--defaults-file={self._config_file()}"]
        if os.getuid() == 0:
            argv.append("--user=root")
        return Command(argv)

    def not_ready(self) -> str | None:
        reason = probes.mysql_greeting(self.port)
        if reason is not None:
            return reason
        result = subprocess.run(
            ["mariadb", f"--defaults-file={self._user_file()}", "--batch", "-e", "SELECT 1", DATABASE],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False)
        return None if result.returncode == 0 else result.stderr.strip()

    def _config_file(self) -> Path:
        return self.layout.conf / "mysql.cnf"

    def _user_file(self) -> Path:
        return self.layout.conf / "mysql-user.cnf"

    def _install(self) -> None:
        """Makes an empty data folder; under another name first, so that a half-made one is never used."""
        fresh = self.layout.data / "mysql.new"
        shutil.rmtree(fresh, ignore_errors=True)
        # --force: without it, a machine whose own name can't be looked up is refused.
        argv = ["mariadb-install-db", "--no-defaults", f"--datadir={fresh}", "--skip-test-db", "--force",
                "--auth-root-authentication-method=normal"]
        with open(self.log, "ab") as log:
            result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
                                    env={**os.environ, "PATH": _search_path()})
        if result.returncode != 0:
            raise RuntimeError(f"mariadb-install-db ended with {result.returncode}")
        shutil.rmtree(self.data(), ignore_errors=True)
        fresh.rename(self.data())


def _search_path() -> str:
    """Debian keeps servers in sbin, which an ordinary user's PATH lacks."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
