"""The floor's generated passwords and where its embedded servers listen: one JSON file, mode 600."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trading.domain.errors import Unavailable

SUPERUSER = "superuser"
"""Key of the cluster's administrator; its login is called ``postgres``."""
LOGINS = (SUPERUSER, "tf_app", "tf_broker", "tf_observer", "tf_dagster", "tf_mlflow")
"""Every login with a password of its own. ``tf_owner`` owns the tables and cannot log in."""


@dataclass(frozen=True, slots=True)
class FloorSecrets:
    """What ``data/secrets.json`` holds. ``server_home`` is the folder of the embedded servers' own files.

    ``brokers`` are keys of brokers elsewhere, by a name of the floor's own.
    """

    postgres: Mapping[str, str]
    postgres_socket_dir: str
    valkey_socket: str
    valkey_password: str
    cookie_key: str
    server_home: str = ""
    brokers: Mapping[str, str] = field(default_factory=dict)


def generate() -> FloorSecrets:
    """New random passwords (192 bits each), no addresses yet."""
    return FloorSecrets(
        postgres={login: secrets.token_urlsafe(24) for login in LOGINS},
        postgres_socket_dir="",
        valkey_socket="",
        valkey_password=secrets.token_urlsafe(24),
        cookie_key=secrets.token_urlsafe(48),
    )


def read(path: Path) -> FloorSecrets | None:
    """The secrets of a floor, None where it never started; `Unavailable` where the file cannot be used."""
    try:
        content = json.loads(path.read_text())
        return FloorSecrets(**{key: content[key] for key in FloorSecrets.__slots__ if key in content})
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise Unavailable(f"{path} cannot be read by this user; the floor belongs to another one") from error
    except (ValueError, TypeError) as error:
        raise Unavailable(f"{path} is damaged; restore it from a backup, the database's passwords are in it") from error


def write(path: Path, content: FloorSecrets) -> None:
    """Replace the file in one step; only its owner can read it at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(content), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def read_or_generate(path: Path) -> FloorSecrets:
    """The floor's secrets, written at its first start."""
    existing = read(path)
    if existing is None:
        existing = generate()
        write(path, existing)
    return existing
