"""Accounts at brokers and the loop that watches them: who may see, switch and run it.

An admin opens an account and files it under a trader's portfolio. Its owner states what the loop may do about each
instrument and switches its steps; an admin may switch, too.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from trading.domain.errors import Conflict, Invalid, NotFound, TradefloorError
from trading.domain.instruments import Instrument
from trading.domain.monitoring import Book, FairSource, Plan, RecordedOrder, Step
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor
from trading.services.monitoring_cycle import failed_cycle, run_cycle
from trading.services.ports.monitoring import BrokerAccount, CycleReport

CYCLE_S_MIN, CYCLE_S_MAX = 5, 86_400
REPEATS_MAX = 100
MODEL_PRICE_LIVES_S_MAX = 86_400

_OWNER = {Role.TRADER: Reach.OWN}
_OWNER_AND_ADMIN = {Role.TRADER: Reach.OWN, Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}
_ADMIN_ANY = {Role.ADMIN: Reach.ANY, Role.SYSTEM: Reach.ANY}
_STAFF = {Role.TRADER: Reach.NO_PORTFOLIO, Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}
_SYSTEM = {Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account with its plans, its newest cycles, books and the orders that are worked on."""

    account: BrokerAccount
    instruments: Mapping[int, Instrument]
    plans: Mapping[int, Plan]
    cycles: Sequence[CycleReport]
    books: Sequence[Book]
    orders: Sequence[RecordedOrder]


@operation(_STAFF)
def accounts(floor: Floor, actor: Actor) -> Sequence[BrokerAccount]:
    """A trader's own accounts; all of them for an admin."""
    return floor.monitoring.accounts(actor.user_id if actor.role is Role.TRADER else None)


@operation(_OWNER_AND_ADMIN)
def view(floor: Floor, actor: Actor, portfolio_id: int, account_id: int, cycles: int = 20) -> AccountView:
    """Everything a screen shows of one account; raises `NotFound`."""
    account = _account(floor, portfolio_id, account_id)
    store = floor.monitoring
    return AccountView(
        account,
        {each.id: each for each in floor.desk.instruments("SIM")},
        store.plans(account_id),
        store.cycles(account_id, max(1, min(cycles, 200))),
        store.books(account_id),
        store.working(account_id, 100),
    )


@operation(_ADMIN_ANY)
def open_account(
    floor: Floor, actor: Actor, portfolio_id: int, name: str, adapter: str, base_url: str = "", key_name: str = ""
) -> int:
    """File an account under a portfolio, switched off; returns its id.

    ``paper`` watches the portfolio itself. ``remote`` has an address and the name of a key in the floor's secrets.
    `Invalid`: ``bad_name``, ``bad_adapter``, ``bad_address``, ``not_https``, ``name_taken``, ``paper_taken``.
    """
    title = name.strip()[:80]
    if not title:
        raise Invalid("an account needs a name", "bad_name")
    if adapter not in ("paper", "remote"):
        raise Invalid("an account is paper or remote", "bad_adapter")
    if adapter == "paper" and (base_url or key_name):
        raise Invalid("the floor's own broker has no address and no key", "bad_address")
    if adapter == "remote" and not key_name.strip():
        raise Invalid("say which of the floor's keys the broker takes", "bad_key_name")
    address = floor.brokers.checked_address(base_url) if adapter == "remote" else ""
    return floor.monitoring.open_account(
        portfolio_id, title, adapter, address, key_name.strip()[:80], actor.user_id, actor.origin
    )


@operation(_OWNER_AND_ADMIN)
def switch(
    floor: Floor,
    actor: Actor,
    portfolio_id: int,
    account_id: int,
    enabled: bool,
    steps: Collection[str],
    cycle_s: int = 60,
) -> None:
    """Turn the account and its steps on or off. `Invalid`: ``bad_step``, ``bad_cycle``. The fetch is always on."""
    _account(floor, portfolio_id, account_id)
    known = {step.value for step in Step}
    if not set(steps) <= known:
        raise Invalid(f"there is no step {sorted(set(steps) - known)[0][:40]!r}", "bad_step")
    if not CYCLE_S_MIN <= cycle_s <= CYCLE_S_MAX:
        raise Invalid(f"a cycle takes {CYCLE_S_MIN} to {CYCLE_S_MAX} seconds", "bad_cycle")
    chosen = {Step(step) for step in steps} | {Step.FETCH}
    floor.monitoring.switch(account_id, enabled, chosen, cycle_s, actor.user_id, actor.origin)


@operation(_OWNER)
def set_plan(floor: Floor, actor: Actor, portfolio_id: int, account_id: int, plan: Plan) -> None:
    """State what the loop may do about an instrument, from now on. `Invalid` with code ``bad_plan``."""
    _account(floor, portfolio_id, account_id)
    if all(each.id != plan.instrument_id for each in floor.desk.instruments("SIM")):
        raise NotFound("there is no such instrument", "unknown_instrument")
    _check(plan)
    floor.monitoring.set_plan(account_id, replace(plan, since_ts_ns=floor.clock.now_ns()), actor.user_id, actor.origin)


@operation(_OWNER)
def clear_plan(floor: Floor, actor: Actor, portfolio_id: int, account_id: int, instrument_id: int) -> None:
    """Take a plan back: nothing is done about the instrument any more; its orders stay."""
    _account(floor, portfolio_id, account_id)
    if not floor.monitoring.clear_plan(account_id, instrument_id, actor.user_id, actor.origin):
        raise NotFound("there is no plan for this instrument", "no_plan")


@operation(_OWNER_AND_ADMIN)
def run_now(floor: Floor, actor: Actor, portfolio_id: int, account_id: int) -> CycleReport:
    """A cycle at once. `Invalid` (``account_off``), `Conflict` (``cycle_running``)."""
    account = _account(floor, portfolio_id, account_id)
    if not account.enabled or account.owner_disabled:
        raise Invalid("the account is switched off", "account_off")
    report = _run(floor, account, actor.username)
    if report is None:
        raise Conflict("a cycle of this account is running now", "cycle_running")
    return report


@operation(_SYSTEM)
def run_due(floor: Floor, actor: Actor) -> Sequence[str]:
    """Every account whose time has come, one after the other; returns a line for each that did not go well.

    Meant to be called every few seconds. An account that is being looked at, or cannot be, does not hold up the rest.
    """
    told = []
    for account in floor.monitoring.accounts():
        due_ns = account.started_ts_ns + account.cycle_s * 1_000_000_000
        if not account.enabled or account.owner_disabled or floor.clock.now_ns() < due_ns:
            continue
        try:
            report = _run(floor, account, "")
        except TradefloorError as error:
            told.append(f"{account.name}: {error} ({error.code})")
            continue
        if report is not None and not report.ok:
            wrong = [f"{step.step}: {step.error}" for step in report.steps if step.state == "failed"]
            told.append(f"{account.name}: {'; '.join(wrong) or 'nothing could be read'}")
    return told


@operation({Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO})
def state_fair_price(floor: Floor, actor: Actor, symbol: str, price: str, source: str, lives_s: int) -> None:
    """What a model says an instrument is worth, for ``lives_s`` seconds: resting entries may be moved to it.

    `NotFound`; `Invalid` for an off-tick price, a nameless source or a life of more than a day.
    """
    instrument = next((each for each in floor.desk.instruments("SIM") if each.symbol == symbol), None)
    if instrument is None:
        raise NotFound("there is no such instrument", "unknown_instrument")
    ticks = instrument.price_to_ticks(price)
    if ticks <= 0 or not source.strip() or not 1 <= lives_s <= MODEL_PRICE_LIVES_S_MAX:
        raise Invalid("a fair price is positive, has a source and lives at most a day", "bad_fair_price")
    until_ns = floor.clock.now_ns() + lives_s * 1_000_000_000
    floor.monitoring.state_fair_price(instrument.id, ticks, source.strip()[:80], until_ns, actor.user_id, actor.origin)


def _account(floor: Floor, portfolio_id: int, account_id: int) -> BrokerAccount:
    account = floor.monitoring.account(portfolio_id, account_id)
    if account is None:
        raise NotFound("there is no such account in this portfolio", "unknown_account")
    return account


def _run(floor: Floor, account: BrokerAccount, by: str) -> CycleReport | None:
    """A cycle under the account's lock; None where another one has it. What it does, it does in the owner's name."""
    with floor.monitoring.locked(account.id) as got:
        if not got:
            return None
        with ExitStack() as opened:
            try:
                broker = opened.enter_context(floor.brokers.open(floor, account))
            except TradefloorError as error:
                return failed_cycle(floor, account, by, error)
            return run_cycle(floor, account, broker, by)


def _check(plan: Plan) -> None:
    distances = [ppm for ppm in (plan.stop_loss_ppm, plan.take_profit_ppm) if ppm is not None]
    wrong = (
        any(not 1 <= ppm <= 999_999 for ppm in distances)
        or plan.fair_edge_ticks < 0
        or plan.move_least_ticks < 1
        or not 0 <= plan.move_most_ppm <= 999_999
        or not 0 <= plan.reentries_max <= REPEATS_MAX
        or not 0 <= plan.replacements_max <= REPEATS_MAX
        or not isinstance(plan.fair_source, FairSource)
    )
    if wrong:
        raise Invalid("distances are below 100 %, counts 0 to 100, and an order moves by a tick or more", "bad_plan")
