"""The settings by which services, tests and people find a stack."""
import shlex
from pathlib import Path

from .context import Context
from .layout import DEFAULT_DIR, REPOSITORY
from .ports import LOOPBACK

DEFAULT_BUILD = REPOSITORY / "build" / "release"
ENGINE_NATIVE = "native"
MYSQL_USER = "sluice"
MYSQL_DATABASE = "sluice"
RABBITMQ_USER = "sluice"
RABBITMQ_VHOST = "sluice"


def binaries(options: dict) -> Path:
    """The folder of the binaries: the build folder's bin where there is one."""
    build = Path(options.get("build") or DEFAULT_BUILD)
    return build / "bin" if (build / "bin").is_dir() else build


def model(options: dict) -> str:
    """The model file that workers serve, empty for an engine that needs none."""
    if options.get("model"):
        return str(options["model"])
    if options.get("engine", ENGINE_NATIVE) != ENGINE_NATIVE:
        return ""
    quantized = DEFAULT_DIR / "models" / "sluice-tiny-q8_0.gguf"
    return str(quantized if quantized.exists() else REPOSITORY / "models" / "sluice-tiny" / "sluice-tiny-f16.gguf")


def settings(context: Context) -> dict[str, str]:
    """Everything that a client or a service of the stack needs. A server whose port isn't chosen yet
    is left out."""
    ports, secrets, options = context.state.ports, context.credentials, context.state.options
    found: dict[str, str] = {}
    if "mysql" in ports:
        found |= {
            "SLUICE_MYSQL_HOST": LOOPBACK,
            "SLUICE_MYSQL_PORT": str(ports["mysql"]),
            "SLUICE_MYSQL_USER": MYSQL_USER,
            "SLUICE_MYSQL_PASSWORD": secrets["mysql_password"],
            "SLUICE_MYSQL_DATABASE": MYSQL_DATABASE,
        }
    if "redis" in ports:
        found |= {
            "SLUICE_REDIS_HOST": LOOPBACK,
            "SLUICE_REDIS_PORT": str(ports["redis"]),
            "SLUICE_REDIS_PASSWORD": secrets["redis_password"],
        }
    if "rabbitmq" in ports:
        found |= {
            "SLUICE_RABBITMQ_HOST": LOOPBACK,
            "SLUICE_RABBITMQ_PORT": str(ports["rabbitmq"]),
            "SLUICE_RABBITMQ_USER": RABBITMQ_USER,
            "SLUICE_RABBITMQ_PASSWORD": secrets["rabbitmq_password"],
            "SLUICE_RABBITMQ_VHOST": RABBITMQ_VHOST,
        }
    found |= {
        "SLUICE_MASTER_KEY_FILE": str(secrets.path("master_key")),
        "SLUICE_API_KEY": secrets["api_key"],
        "SLUICE_ADMIN_KEY": secrets["admin_key"],
        "SLUICE_WEBHOOK_SECRET": secrets["webhook_secret"],
        "SLUICE_ENGINE": options.get("engine", ENGINE_NATIVE),
        "SLUICE_BIN": str(binaries(options)),
    }
    if model(options):
        found["SLUICE_MODEL"] = model(options)
    if "producer" in ports:
        found["SLUICE_URL"] = f"http://{LOOPBACK}:{ports['producer']}"
    return found


def assignments(values: dict[str, str]) -> str:
    """Lines that a shell can evaluate."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
