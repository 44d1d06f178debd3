"""sluice's own services, and the preparation of the database that comes before them."""
import subprocess
from pathlib import Path

from .. import probes, processes
from ..context import Context
from ..environment import binaries, settings
from ..layout import REPOSITORY
from ..ports import LOOPBACK
from ..processes import MEMBER_VARIABLE
from .base import Command, Component

SERVICES = ("producer", "worker", "callback")
HELP_SECONDS_MAX = 5


def is_service(name: str) -> bool:
    return name.partition("-")[0] in SERVICES


def numbered(name: str, count: int) -> list[str]:
    """worker, worker-2, worker-3 …"""
    return [name if n == 1 else f"{name}-{n}" for n in range(1, count + 1)]


def _stamp(program: Path) -> str:
    """Changes when the program is built anew."""
    try:
        found = program.stat()
    except FileNotFoundError:
        return "missing"
    return f"{program}:{found.st_mtime_ns}:{found.st_size}"


def settings_text(service: str, options: dict) -> str | None:
    """What --help of the service says; None: there is nobody to ask."""
    try:
        result = subprocess.run([str(binaries(options) / f"sluice-{service}"), "--help"], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=HELP_SECONDS_MAX, check=False,
                                env=processes.clean_environment())
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


VIEWER = REPOSITORY / "producer" / "docs" / "viewer" / "node_modules" / "swagger-ui-dist"     # Once it is installed.


class Service(Component):
    stop_seconds = 30.0

    def __init__(self, context: Context, name: str) -> None:
        super().__init__(context)
        self.name = name

    def fingerprint(self) -> str:
        return repr((_stamp(self._program()), sorted(self._settings().items())))

    def command(self) -> Command:
        program = self._program()
        if not program.exists():
            raise RuntimeError(f"{program} is not built yet")
        return Command([str(program)], self._settings())

    def not_ready(self) -> str | None:
        return probes.http_ready(self.port)

    def _program(self) -> Path:
        return binaries(self.context.state.options) / f"sluice-{self.name.partition('-')[0]}"

    def _settings(self) -> dict[str, str]:
        found = settings(self.context) | {"SLUICE_HTTP_ADDRESS": LOOPBACK, "SLUICE_HTTP_PORT": str(self.port)}
        if self.name == "callback":
            # Receivers on this machine are refused everywhere else.
            found["SLUICE_WEBHOOK_ALLOW_LOOPBACK"] = "true"
            if "SLUICE_URL" in found:
                found["SLUICE_PUBLIC_URL"] = found["SLUICE_URL"]
        if self.name == "producer" and VIEWER.is_dir():
            found["SLUICE_DOCS_VIEWER"] = str(VIEWER)
        for name, value in self.context.state.options.get("settings", {}).items():
            service, colon, variable = name.rpartition(":")
            if not colon or service == self.name:
                found[variable] = value
        return found


class Setup:
    """Brings the schema up to date and creates the tenant, its keys and its webhook secret. Both
    commands change nothing that is there already."""

    NAME = "setup"
    SECONDS_MAX = 120

    def __init__(self, context: Context) -> None:
        self._context = context
        self.log = context.layout.log(self.NAME)

    def fingerprint(self) -> str:
        return _stamp(self._program())

    def run(self) -> None:
        environment = {**processes.clean_environment(), **settings(self._context),
                       MEMBER_VARIABLE: f"{self._context.state.stack_id}:{self.NAME}"}
        for arguments in (["migrate", "up"], ["bootstrap"]):
            with open(self.log, "ab") as log:
                result = subprocess.run([str(self._program()), *arguments], stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, env=environment, timeout=self.SECONDS_MAX, check=False)
            if result.returncode != 0:
                raise RuntimeError(f"sluicectl {' '.join(arguments)} ended with {result.returncode}")

    def _program(self) -> Path:
        return binaries(self._context.state.options) / "sluicectl"
