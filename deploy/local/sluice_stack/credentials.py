"""Passwords, keys and secrets of a stack: made once, one file each, readable by their owner alone."""
import base64
import os
import secrets
from pathlib import Path


def _password() -> str:
    return secrets.token_hex(24)


_MAKERS = {
    "mysql_root_password": _password,
    "mysql_password": _password,
    "redis_password": _password,
    "rabbitmq_password": _password,
    "erlang_cookie": lambda: secrets.token_hex(20).upper(),
    "api_key": lambda: "sluice_" + secrets.token_urlsafe(32),
    "admin_key": lambda: "sluice_admin_" + secrets.token_urlsafe(32),
    "webhook_secret": lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    "master_key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
}


class Credentials:
    """Reads each secret from `folder`, making those that are missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._values = {name: self._load(name, make) for name, make in _MAKERS.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def path(self, name: str) -> Path:
        return self._folder / name

    def _load(self, name: str, make) -> str:
        path = self.path(name)
        try:
            value = path.read_text(encoding="ascii").strip()
            if value:
                return value
        except FileNotFoundError:
            pass
        value = make()
        temporary = path.with_name(f".{name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(value + "\n")
        os.replace(temporary, path)
        return value
