"""``tradefloor keys``: a broker's key comes in by a pipe, a file or a prompt, and never comes out again."""

import json
import stat
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from trading.adapters.embedded import connections, secrets
from trading.adapters.postgres.reference import keep_instruments
from trading.bootstrap import broker_keys, open_floor
from trading.cli import app
from trading.config import Settings
from trading.domain.errors import Invalid, NotFound, TradefloorError
from trading.market.profiles import PROFILES
from trading.services import monitoring, people
from trading.services.access import SYSTEM
from trading.services.ports.audit import AuditFilter

KEY = "sk-live-0123456789"


@pytest.fixture
def call(environment: dict[str, str]) -> Any:
    """The command line in this process; what is refused is raised."""

    def run(*arguments: str, given: str = "", code: int = 0) -> Result:
        answer = CliRunner().invoke(app, ["keys", *arguments], input=given, env=environment)
        if isinstance(answer.exception, TradefloorError):
            raise answer.exception
        assert answer.exit_code == code, answer.output
        assert KEY not in answer.output
        return answer

    return run


def test_a_key_is_kept_replaced_and_removed_and_the_trail_names_it_alone(call: Any, settings: Settings) -> None:
    before = secrets.read(settings.secrets_path)
    assert "is kept" in call("set", "acme", given=f"{KEY}\n").output
    assert broker_keys(settings) == {"acme": KEY}
    assert stat.S_IMODE(settings.secrets_path.stat().st_mode) == 0o600
    known = secrets.read(settings.secrets_path)
    assert known is not None
    assert before is not None
    assert (known.postgres, known.cookie_key) == (before.postgres, before.cookie_key)
    file = settings.data_dir / "new.key"
    file.write_text("another-key\n")
    assert "is replaced" in call("set", "acme", "--file", str(file)).output
    assert broker_keys(settings) == {"acme": "another-key"}
    assert "gone" in call("remove", "acme").output
    assert broker_keys(settings) == {}
    with pytest.raises(NotFound):
        call("remove", "acme")
    with open_floor(settings) as floor:
        rows = floor.audit.search(AuditFilter(action="brokers."), None, 10).rows
    assert [(row["action"], row["subject"]) for row in rows] == [
        ("brokers.remove_key", "key:acme"),
        ("brokers.set_key", "key:acme"),
        ("brokers.set_key", "key:acme"),
    ]
    assert KEY not in str(rows)


@pytest.mark.parametrize(
    ("name", "given"),
    [("acme", ""), ("acme", "  \n"), ("acme", "two\nlines"), ("acme", "x" * 5_000), ("../acme", KEY), ("", KEY)],
)
def test_what_is_no_key_or_no_name_is_refused_and_nothing_is_written(
    call: Any, settings: Settings, name: str, given: str
) -> None:
    with pytest.raises(Invalid):
        call("set", name, given=given)
    assert broker_keys(settings) == {}


def test_a_person_at_a_terminal_types_it_without_echo(
    call: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("trading.processes.command_keys._is_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or KEY)
    call("set", "acme")
    assert asked == ["Key acme (not shown): "]
    assert broker_keys(settings) == {"acme": KEY}


def test_the_list_names_the_accounts_and_says_whose_key_is_missing(call: Any, settings: Settings) -> None:
    assert "There is no key" in call("list").output
    call("set", "acme", given=KEY)
    with psycopg.connect(connections.dsn(settings, "tf_app"), autocommit=True) as connection:
        keep_instruments(connection, PROFILES)
    with open_floor(settings) as floor:
        owner = people.create_user(floor, SYSTEM, "tina", "Tina", "trader", "correct horse battery")
        portfolio = people.create_portfolio(floor, SYSTEM, owner.id, "Main")
        for name, key_name in (("First", "acme"), ("Second", "acme"), ("Third", "other")):
            monitoring.open_account(floor, SYSTEM, portfolio.id, name, "remote", "https://broker.example", key_name)
    answer = json.loads(call("list", "--json", code=1).output)
    assert answer["keys"] == [
        {"name": "acme", "kept": True, "accounts": ["First", "Second"]},
        {"name": "other", "kept": False, "accounts": ["Third"]},
    ]
    assert "missing" in call("list", code=1).output
    call("set", "other", given=KEY)
    call("list")
