"""Every use case, called as every role, on an own and on another's portfolio."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from trading_floor import TradingFloor

import trading.services
from trading.domain.errors import Forbidden, TradefloorError
from trading.domain.fees import FeeSchedule
from trading.domain.margin import REG_T
from trading.domain.monitoring import Plan
from trading.domain.orders import Change, OrderType, Side, Ticket
from trading.services.access import OPERATIONS, Actor, Role
from trading.services.parents import Working
from trading.services.ports.audit import AuditFilter
from trading.services.ports.parents import Style
from trading.services.schedules import Timing

for _module in pkgutil.iter_modules(trading.services.__path__):
    importlib.import_module(f"trading.services.{_module.name}")

READS = {"trader": "own", "admin": "any", "observer": "granted"}
EVERYONE = {"trader": "-", "admin": "-", "observer": "-"}
DESK = {"trader": "own"}
CLIENT = {"trader": "own", "admin": "any"}
ADMIN = {"admin": "-"}
ADMIN_ANY = {"admin": "any"}
STAFF = {"trader": "-", "admin": "-"}
NOBODY: dict[str, str] = {}

# Written by hand and not read from the code: a rule that changes must be changed here too, by somebody who means it.
EXPECTED: dict[str, dict[str, str]] = {
    "audit.export": ADMIN,
    "audit.search": ADMIN,
    "backups.ask": ADMIN,
    "backups.newest": ADMIN,
    "backups.record": NOBODY,
    "backups.work": ADMIN,
    "batches.preview": DESK,
    "batches.submit": DESK,
    "actions.book": ADMIN,
    "actions.bring_forward": ADMIN,
    "actions.cancel": ADMIN,
    "actions.enter_dividend": ADMIN,
    "actions.enter_file": ADMIN,
    "actions.enter_split": ADMIN,
    "actions.listed": EVERYONE,
    "actions.preview": ADMIN,
    "brokerage.balances": CLIENT,
    "brokerage.executions": CLIENT,
    "brokerage.holdings": CLIENT,
    "brokerage.open_orders": CLIENT,
    "brokerage.order": CLIENT,
    "compliance.erase_person": ADMIN,
    "compliance.export_own": EVERYONE,
    "compliance.export_person": ADMIN,
    "compliance.prune": NOBODY,
    "compliance.retention": ADMIN,
    "compliance.set_retention": ADMIN,
    "desk.submit": DESK,
    "desk.preview": DESK,
    "desk.cancel": DESK,
    "desk.modify": DESK,
    "desk.instruments": EVERYONE,
    "fees.history": EVERYONE,
    "fees.set_listed": ADMIN,
    "fees.set_schedule": ADMIN,
    "fx.convert": CLIENT,
    "fx.pairs": STAFF,
    "fx.quote": CLIENT,
    "halt.set_mode": ADMIN,
    "halt.current": EVERYONE,
    "halt.scope_of": ADMIN,
    "ingest.ingest_inbox": ADMIN,
    "ingest.ingest_path": ADMIN,
    "ingest.ingest_shipped": ADMIN,
    "limits.current": ADMIN,
    "limits.history": ADMIN,
    "limits.own": CLIENT,
    "limits.reset_drawdown": ADMIN_ANY,
    "limits.restrict": ADMIN,
    "limits.restriction_history": ADMIN,
    "limits.restrictions": EVERYONE,
    "limits.set_limits": ADMIN,
    "limits.set_tier": ADMIN,
    "limits.tier_of": ADMIN,
    "limits.tiers": ADMIN,
    "limits.worth": ADMIN,
    "interest.accrue_due": NOBODY,
    "interest.accrue_interest": NOBODY,
    "interest.rates": EVERYONE,
    "interest.set_rate": ADMIN,
    "ledger.deposit": ADMIN_ANY,
    "ledger.withdraw": ADMIN_ANY,
    "margin.account": READS,
    "margin.calls": READS,
    "margin.markets": EVERYONE,
    "margin.policies": EVERYONE,
    "margin.set_policy": ADMIN,
    "market_data.instrument_list": EVERYONE,
    "market_data.quotes": EVERYONE,
    "market_data.sim_bars": EVERYONE,
    "market_data.splits": EVERYONE,
    "monitoring.accounts": STAFF,
    "monitoring.clear_plan": DESK,
    "monitoring.open_account": ADMIN_ANY,
    "monitoring.run_due": NOBODY,
    "monitoring.run_now": CLIENT,
    "monitoring.set_plan": DESK,
    "monitoring.state_fair_price": ADMIN,
    "monitoring.switch": CLIENT,
    "monitoring.view": CLIENT,
    "night.archive_log": ADMIN,
    "night.replay": ADMIN,
    "night.tidy_lake": ADMIN,
    "parents.cancel": DESK,
    "parents.create": DESK,
    "parents.listing": CLIENT,
    "parents.resume": DESK,
    "parents.work_all": NOBODY,
    "people.change_own_password": EVERYONE,
    "people.create_portfolio": ADMIN,
    "people.create_user": ADMIN,
    "people.grant": ADMIN_ANY,
    "people.grants": ADMIN,
    "people.portfolios": EVERYONE,
    "people.revoke_grant": ADMIN_ANY,
    "people.set_disabled": ADMIN,
    "people.set_password": ADMIN,
    "people.set_role": ADMIN,
    "people.switch_portfolio": DESK,
    "people.users": ADMIN,
    "queries.cash": READS,
    "queries.equity_curve": READS,
    "queries.fills": READS,
    "queries.order": READS,
    "queries.orders": READS,
    "queries.positions": READS,
    "queries.processes": ADMIN,
    "queries.realised": READS,
    "queries.reconciliations": ADMIN,
    "queries.returns": READS,
    "queries.statement": READS,
    "research.backtest": STAFF,
    "research.backtests": STAFF,
    "research.keep_backtest": NOBODY,
    "research.keep_model": NOBODY,
    "research.keep_sweep": NOBODY,
    "research.models": STAFF,
    "research.pipeline_runs": STAFF,
    "research.run_nightly": STAFF,
    "research.sweep": STAFF,
    "research_data.bars": EVERYONE,
    "research_data.ingest_reports": STAFF,
    "research_data.series_list": EVERYONE,
    "schedules.cancel": DESK,
    "schedules.create": DESK,
    "schedules.fire_due": NOBODY,
    "schedules.firings": CLIENT,
    "schedules.listing": CLIENT,
    "schedules.pause": DESK,
    "schedules.preview": DESK,
    "schedules.resume": DESK,
    "statements.first_line_ns": READS,
    "statements.keep_balances": NOBODY,
    "statements.period": READS,
    "verify.keep_head": NOBODY,
    "tax_report.open_lots": READS,
    "tax_report.report": READS,
    "tax_report.years": READS,
    "verify.run": ADMIN,
    "wallet.approve": ADMIN,
    "wallet.archives": EVERYONE,
    "wallet.cash": READS,
    "wallet.decline": ADMIN,
    "wallet.expire_due": NOBODY,
    "wallet.limits": STAFF,
    "wallet.request": CLIENT,
    "wallet.requests": CLIENT,
    "wallet.reset": CLIENT,
    "wallet.set_limit": ADMIN,
    "wallet.take_back": STAFF,
    "wallet.waiting": ADMIN,
    "verify.run_new": ADMIN,
}

SAMPLES: dict[str, Any] = {
    "wanted": AuditFilter(),
    "form": "?",
    "confirmation": "?",
    "what": "?",
    "days": 0,
    "account_id": 0,
    "adapter": "?",
    "enabled": False,
    "steps": (),
    "plan": Plan(1),
    "price": "1",
    "lives_s": 1,
    "ticket": Ticket("AAPL", Side.BUY, OrderType.LIMIT, "1", "100.00"),
    "key": "k",
    "tickets": (),
    "timing": Timing(cron="* * * * *"),
    "schedule_id": 1,
    "working": Working(Style.TWAP, 0),
    "parent_id": 1,
    "hours": "always",
    "change": Change(quantity="2"),
    "order_id": 1,
    "action_id": 1,
    "year": 2026,
    "ex_date": date(2026, 1, 2),
    "dividend": "x",
    "text": "",
    "schedule": FeeSchedule(1, -1, 0, 0),
    "scope": "floor",
    "mode": "running",
    "reason": "test",
    "amount": "0",
    "symbol": "AAPL",
    "timeframe": "M1",
    "old": "x",
    "new": "y",
    "owner_id": 0,
    "name": "x",
    "username": "?",
    "display_name": "x",
    "role": "x",
    "password": "x",
    "observer_id": 0,
    "user_id": 0,
    "disabled": True,
    "path": "/nonexistent",
    "inbox": "/nonexistent",
    "series": "wiki/AAPL/D1",
    "result": None,
    "made": None,
    "symbols": (),
    "params": {},
    "run": None,
    "tracking_id": "",
    "table": None,
    "instrument_id": 0,
    "tier": "basic",
    "figures": None,
    "ban": "x",
    "asset_class": "?",
    "policy": REG_T,
    "words": "floor",
    "source": "test",
    "kind": "withdrawal",
    "request_id": 1,
    "day": None,
    "percent": "1",
    "sell": "EUR",
    "buy": "USD",
    "rate": "1",
    "quoted_ns": 0,
    "currency": "USD",
    "from_ns": 0,
    "to_ns": 1,
}


class People:
    """A trader with a portfolio that an observer may see, and the same again."""

    def __init__(self, floor: TradingFloor) -> None:
        self.floor = floor.floor
        store = floor.floor.people
        self.own = floor.portfolio
        _, self.other = floor.add_trader("theo", "100.00")
        admin = store.create_user("adam", "Adam", "admin", "no-password", 0)
        observer = store.create_user("olga", "Olga", "observer", "no-password", 0)
        store.grant(self.own, observer.id, 0)
        expires = floor.clock.now().replace(year=2090)
        store.open_session(observer.id, "olgas-token", expires, "test")
        self.actors = {
            "trader": floor.trader,
            "admin": Actor(admin.id, "adam", Role.ADMIN),
            "observer": Actor(observer.id, "olga", Role.OBSERVER, "olgas-token"),
        }


@pytest.fixture
def people(floor: TradingFloor) -> People:
    return People(floor)


def is_refused(people: People, name: str, role: str, portfolio: int) -> bool:
    call: Callable[..., Any] = OPERATIONS[name].call
    arguments = []
    for parameter in list(inspect.signature(call).parameters.values())[2:]:
        if parameter.name == "portfolio_id":
            arguments.append(portfolio)
        elif parameter.default is inspect.Parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            arguments.append(SAMPLES[parameter.name])
    try:
        call(people.floor, people.actors[role], *arguments)
    except Forbidden:
        return True
    except (TradefloorError, AttributeError, TypeError):
        return False  # it got past the rule and found our sample arguments wanting
    return False


def test_every_use_case_has_a_rule_that_somebody_wrote_down() -> None:
    assert sorted(OPERATIONS) == sorted(EXPECTED)


def test_every_function_that_takes_an_actor_is_registered() -> None:
    known = {operation.call for operation in OPERATIONS.values()}
    for module in pkgutil.iter_modules(trading.services.__path__):
        loaded = importlib.import_module(f"trading.services.{module.name}")
        for name, function in inspect.getmembers(loaded, inspect.isfunction):
            takes = list(inspect.signature(function).parameters)[:2] == ["floor", "actor"]
            if takes and not name.startswith("_") and function.__module__ == loaded.__name__:
                assert function in known, f"{loaded.__name__}.{name} has no rule"


@pytest.mark.parametrize("role", ["trader", "admin", "observer"])
def test_a_role_can_call_what_its_rule_says_and_nothing_else(people: People, role: str) -> None:
    wrong = []
    for name, rule in EXPECTED.items():
        reach = rule.get(role)
        names_portfolio = "portfolio_id" in inspect.signature(OPERATIONS[name].call).parameters
        for whose, portfolio in (("own", people.own), ("other", people.other)):
            allowed = reach in ("-", "any") or (reach in ("own", "granted") and whose == "own")
            if is_refused(people, name, role, portfolio) is allowed:
                wrong.append(f"{role} {name} on {whose}: {'refused' if allowed else 'let through'}")
            if not names_portfolio:
                break
    assert wrong == []


def test_nobody_without_a_role_gets_in(people: People) -> None:
    people.actors["stranger"] = Actor(999, "stranger", "stranger")  # type: ignore[arg-type]
    assert all(is_refused(people, name, "stranger", people.own) for name in EXPECTED)


def test_a_portfolio_that_is_not_a_number_is_refused(people: People) -> None:
    for name, rule in EXPECTED.items():
        if rule is READS:
            with pytest.raises(Forbidden):
                OPERATIONS[name].call(people.floor, people.actors["trader"], "1 or 1=1")


def test_a_refusal_leaves_an_audit_row(people: People, floor: TradingFloor) -> None:
    assert is_refused(people, "ledger.deposit", "trader", people.own)
    rows = floor.query("select action, subject, result, code from audit where result = 'refused'")
    assert rows == [("ledger.deposit", str(people.own), "refused", "forbidden")]
