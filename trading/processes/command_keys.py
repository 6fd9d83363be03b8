"""Keys of brokers elsewhere: put into the floor's secrets, taken out, listed by name. A key is never shown or told."""

import getpass
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trading.adapters.embedded import secrets
from trading.config import Settings
from trading.domain.errors import Invalid, NotFound, Unavailable
from trading.processes.opening import reachable_database

KEY_CHARACTERS_MAX = 4_096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def put(given: Settings, name: str, file: Path | None) -> str:
    """Keep a key out of a file, a pipe, or typed without echo; returns what to say. An old one of the name is gone.

    Raises `Invalid` with code ``bad_key_name`` or ``bad_key``, `NotFound` where there is no such file.
    """
    if not _NAME.fullmatch(name):
        raise Invalid("a key's name is letters, digits, dots, lines and underscores, 80 at most", "bad_key_name")
    key = _given(name, file)
    with reachable_database(given) as settings:
        known = _known(settings)
        _keep(settings, {**known.brokers, name: key}, "brokers.set_key", name)
    return f"Key {name} is {'replaced' if name in known.brokers else 'kept'}; the loop's next cycle uses it."


def remove(given: Settings, name: str) -> str:
    """Forget a key; returns what to say. Raises `NotFound`."""
    with reachable_database(given) as settings:
        known = _known(settings).brokers
        if name not in known:
            raise NotFound(f"the floor has no key called {name[:80]!r}", "no_key")
        _keep(settings, {other: key for other, key in known.items() if other != name}, "brokers.remove_key", name)
    return f"Key {name} is gone."


def show(given: Settings, as_json: bool) -> int:
    """List names of keys and the accounts that use them; returns 1 where an account's key is missing, else 0."""
    with reachable_database(given) as settings:
        from trading.bootstrap import open_floor
        from trading.services import monitoring
        from trading.services.access import SYSTEM

        known = _known(settings).brokers
        with open_floor(settings) as floor:
            remote = [each for each in monitoring.accounts(floor, SYSTEM) if each.adapter == "remote"]
    users: dict[str, list[str]] = {name: [] for name in known}
    for each in remote:
        users.setdefault(each.key_name, []).append(each.name)
    if as_json:
        rows = [{"name": name, "kept": name in known, "accounts": names} for name, names in sorted(users.items())]
        print(json.dumps({"v": 1, "keys": rows}, indent=2))  # noqa: T201 - the answer
    elif users:
        table = Table("Key", "State", "Accounts that use it")
        for name, names in sorted(users.items()):
            table.add_row(name, "kept" if name in known else "missing", ", ".join(names) or "none")
        Console(soft_wrap=True).print(table)
    else:
        Console(soft_wrap=True).print("There is no key of a broker. Keep one: tradefloor keys set NAME")
    return 0 if users.keys() <= known.keys() else 1


def _given(name: str, file: Path | None) -> str:
    if file is not None:
        try:
            text = file.read_text()
        except FileNotFoundError:
            raise NotFound(f"There is no file {file}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{file} cannot be read as text", "bad_key") from error
    elif _is_terminal():
        text = getpass.getpass(f"Key {name} (not shown): ")
    else:
        text = sys.stdin.read(KEY_CHARACTERS_MAX + 2)
    key = text.strip()
    if not key or len(key) > KEY_CHARACTERS_MAX or not key.isprintable() or not key.isascii():
        raise Invalid(f"a key is one line of at most {KEY_CHARACTERS_MAX} plain characters", "bad_key")
    return key


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _known(settings: Settings) -> secrets.FloorSecrets:
    known = secrets.read(settings.secrets_path)
    if known is None:
        raise Unavailable("The floor has never been opened. Start it with: make up")
    return known


def _keep(settings: Settings, brokers: Mapping[str, str], deed: str, name: str) -> None:
    """Write the secrets, and the audit row that names the key."""
    from trading.bootstrap import open_floor
    from trading.services.access import SYSTEM

    with open_floor(settings) as floor:
        secrets.write(settings.secrets_path, replace(_known(settings), brokers=brokers))
        floor.audit.did(SYSTEM.user_id, deed, f"key:{name}", "command line", {})
