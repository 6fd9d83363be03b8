"""One cycle of the monitoring loop over one account at a broker.

The steps are those of `trading.domain.monitoring.Step`. Each is measured, can be off, and fails alone; without the
first there is nothing to go by. A cycle looks again after it has asked the broker for something, until a look finds
nothing to ask for: the record is clean when it ends, and what a repair brought about is protected at once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from trading.domain.brokerage import BrokerOrder, Execution, NewOrder, NewTerms
from trading.domain.errors import Conflict, Halted, Invalid, NotFound, TradefloorError, Unavailable
from trading.domain.instruments import Instrument
from trading.domain.monitoring import (
    Book,
    Cancel,
    FairSource,
    Known,
    Move,
    Outcome,
    Place,
    Plan,
    RecordedOrder,
    Seen,
    Step,
    Write,
    changed_orders,
    compare,
    first_seen,
    fold_books,
    to_ask_for,
    updated_orders,
)
from trading.domain.monitoring_repairs import Repair, Situation, drops, repairs, unwanted, write_of
from trading.domain.orders import TERMINAL, OrderState, Refusal
from trading.services.floor import Floor
from trading.services.ports.brokerage import Brokerage
from trading.services.ports.monitoring import BrokerAccount, CycleReport, StepReport

PAGE = 1000
PAGES_MAX = 20
"""Pages of executions read in one look; the next goes on behind them."""
LOOKS_MAX = 5
"""How often an account that moves while it is read is read again."""
PASSES_MAX = 4
REMEMBER_NS = 3 * 86_400_000_000_000
"""Orders and writes that ended longer ago are not looked at; their keys still stop a second write."""
QUOTE_MAX_AGE_NS = 5_000_000_000
CANCEL_LOOKS = 20
CANCEL_PAUSE_S = 0.05
DIFFERENCES_SHOWN = 50
_ASKING = (Step.PROTECT, Step.REPRICE, Step.REENTER, Step.REPLACE)


@dataclass
class _Tally:
    """A step's figures while the cycle runs."""

    state: str = "skipped"
    found: int = 0
    done: int = 0
    took_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)


def run_cycle(
    floor: Floor, account: BrokerAccount, broker: Brokerage, by: str, sleep: Callable[[float], None] = time.sleep
) -> CycleReport:
    """Fetch, compare, record and repair; the report is kept. `Unavailable` while the floor's database is away."""
    cycle = _Cycle(floor, account, broker, sleep)
    began_s, ts_ns = time.monotonic(), floor.clock.now_ns()
    floor.monitoring.started(account.id, ts_ns)
    for _ in range(PASSES_MAX):
        asked_before = cycle.asked
        cycle.look_and_repair()
        if cycle.asked == asked_before:
            break
    return cycle.report(ts_ns, by, time.monotonic() - began_s)


def failed_cycle(floor: Floor, account: BrokerAccount, by: str, error: TradefloorError) -> CycleReport:
    """The report of a cycle whose broker could not even be opened; kept like any other."""
    ts_ns = floor.clock.now_ns()
    floor.monitoring.started(account.id, ts_ns)
    told = StepReport(Step.FETCH, "failed", error=f"{error} ({error.code})")
    skipped = [StepReport(step, "skipped") for step in Step if step is not Step.FETCH]
    report = CycleReport(account.id, ts_ns, 0, by, 0, [told, *skipped])
    floor.monitoring.keep_cycle(report)
    return report


class _Cycle:
    """The state of one cycle: figures of its steps, and how often the broker was asked to act."""

    def __init__(self, floor: Floor, account: BrokerAccount, broker: Brokerage, sleep: Callable[[float], None]) -> None:
        self._floor, self._store, self._account, self._broker = floor, floor.monitoring, account, broker
        self._sleep = sleep
        self._instruments: Mapping[int, Instrument] = {each.id: each for each in floor.desk.instruments("SIM")}
        self._plans = floor.monitoring.plans(account.id)
        self.tallies = {step: _Tally() for step in Step}
        self.asked = 0
        self._first = True

    def report(self, ts_ns: int, by: str, took_s: float) -> CycleReport:
        """What the cycle found and did, kept."""
        steps = [
            StepReport(
                step, each.state, each.found, each.done, round(each.took_s * 1000), "; ".join(each.errors)[:500],
                each.detail,
            )
            for step, each in self.tallies.items()
        ]  # fmt: skip
        report = CycleReport(self._account.id, ts_ns, round(took_s * 1000), by, self.asked, steps)
        self._store.keep_cycle(report)
        return report

    def look_and_repair(self) -> None:
        """One pass over all steps."""
        known = self._store.known(self._account.id, self._floor.clock.now_ns() - REMEMBER_NS)
        now_ns = self._floor.clock.now_ns()
        looks: list[tuple[Seen, dict[int, Book], dict[str, RecordedOrder]]] = []
        with self._step(Step.FETCH) as tally:
            seen = self._fetch(known)
            books = fold_books(known, seen, self._instruments)
            looks.append((seen, books, updated_orders(known, seen, books, now_ns)))
            tally.found = tally.done = len(seen.orders) + len(seen.executions) + len(seen.positions)
            tally.detail = {
                "positions": {self._symbol(each.instrument_id): each.quantity_lots for each in seen.positions},
                "cash": {each.currency: [each.total, each.held, each.scale] for each in seen.balances},
            }
        for seen, books, orders in looks:
            self._compare(known, seen, books)
            self._record(known, seen, books, orders)
            self._repair_all(known, seen, books, orders)
        self._first = False

    def _repair_all(
        self, known: Known, seen: Seen, books: Mapping[int, Book], orders: Mapping[str, RecordedOrder]
    ) -> None:
        """Decide on what the record says now, and ask."""
        writes = self._answered(known.writes, orders)
        wanted: list[Repair] = []
        situation = self._situation(replace(known, writes=writes), seen, books, orders)
        with self._step(Step.PROTECT):
            wanted = repairs(situation)
        for step in Step:
            if step in _ASKING:
                self._repair(step, [repair for repair in wanted if repair.step is step], situation, seen.settled)
            elif step is Step.DROP:
                self._drop(orders, writes)
        for write in unwanted(writes, wanted):
            if write.step in self._account.steps and seen.settled and self.tallies[Step.PROTECT].state != "failed":
                now_ns = self._floor.clock.now_ns()
                settled = replace(write, outcome=Outcome.ABANDONED, settled_ts_ns=now_ns)
                self._store.settle_write(self._account.id, settled, None)

    @contextmanager
    def _step(self, step: Step) -> Iterator[_Tally]:
        """Measure a step; what goes wrong in it is told and goes no further."""
        tally, began_s = self.tallies[step], time.monotonic()
        if tally.state != "failed":
            tally.state = "done"
        try:
            yield tally
        except TradefloorError as error:
            tally.state = "failed"
            tally.errors.append(f"{error} ({error.code})")
        except Exception as error:  # a bug in one step must not keep the others from their work
            tally.state = "failed"
            tally.errors.append(f"{type(error).__name__}: {error}")
        finally:
            tally.took_s += time.monotonic() - began_s

    def _is_off(self, step: Step) -> bool:
        if step in self._account.steps:
            return False
        self.tallies[step].state = "off"
        return True

    def _symbol(self, instrument_id: int) -> str:
        return self._instruments[instrument_id].symbol

    # Fetch --------------------------------------------------------------------------------------------------------

    def _fetch(self, known: Known) -> Seen:
        """Everything at once, and again while executions come in: the parts must speak of one moment."""
        broker = self._broker
        with ThreadPoolExecutor(4, thread_name_prefix="monitor") as pool:
            for look in range(1, LOOKS_MAX + 1):
                runs = pool.submit(self._executions, known.cursor)
                rest = pool.submit(broker.open_orders), pool.submit(broker.positions), pool.submit(broker.account)
                executions, whole = runs.result()
                listed, positions, balances = rest[0].result(), rest[1].result(), rest[2].result()
                end = executions[-1].cursor if executions else known.cursor
                settled = whole and not broker.executions(end, 1)
                if settled or look == LOOKS_MAX or not whole:
                    break
            ids = to_ask_for(known, listed, executions)
            asked_for = [order for order in pool.map(lambda order_id: self._order(known, order_id), ids) if order]
        return Seen((*listed, *asked_for), tuple(executions), tuple(positions), tuple(balances), settled)

    def _executions(self, since: str) -> tuple[list[Execution], bool]:
        """What is behind the cursor, and whether that is all of it."""
        found: list[Execution] = []
        for _ in range(PAGES_MAX):
            page = self._broker.executions(found[-1].cursor if found else since, PAGE)
            found += page
            if len(page) < PAGE:
                return found, True
        return found, False

    def _order(self, known: Known, order_id: str) -> BrokerOrder | None:
        """One order by its id. What was recorded as open and is unknown to the broker now is over."""
        try:
            return self._broker.order(order_id)
        except NotFound:
            recorded = known.orders.get(order_id)
            if recorded is None:
                return None
            return replace(recorded.order, state=OrderState.CANCELLED, reason="unknown at the broker")

    # Record -------------------------------------------------------------------------------------------------------

    def _compare(self, known: Known, seen: Seen, books: Mapping[int, Book]) -> None:
        """What the first look found; later looks see what this cycle itself brought about."""
        if self._first and not self._is_off(Step.COMPARE):
            with self._step(Step.COMPARE) as tally:
                found = compare(known, seen, books)
                tally.found, tally.done = len(found), sum(each.repairable for each in found)
                tally.detail = {"differences": [asdict(each) for each in found[:DIFFERENCES_SHOWN]]}

    def _record(self, known: Known, seen: Seen, books: Mapping[int, Book], orders: Mapping[str, RecordedOrder]) -> None:
        """Books, then orders and fills; each writes only what differs."""
        longer = [book for key, book in books.items() if known.books.get(key) != book]
        self.tallies[Step.PNL].found += len(longer)
        if not self._is_off(Step.PNL):
            with self._step(Step.PNL) as tally:
                if longer:
                    self._store.record_books(self._account.id, longer)
                    tally.done += len(longer)
        changed = changed_orders(known.orders, orders)
        self.tallies[Step.ORDERS].found += len(changed) + len(seen.executions)
        if not self._is_off(Step.ORDERS):
            with self._step(Step.ORDERS) as tally:
                if changed or seen.executions:
                    self._store.record_orders(self._account.id, changed, known.executions + 1, seen.executions)
                    tally.done += len(changed) + len(seen.executions)

    def _answered(self, writes: Sequence[Write], orders: Mapping[str, RecordedOrder]) -> tuple[Write, ...]:
        """Writes whose answer was lost, but whose order is there: they were taken."""
        by_client = {each.order.client_id: each for each in orders.values()}
        after = []
        for write in writes:
            placed = by_client.get(write.key)
            if write.outcome is Outcome.PENDING and placed is not None:
                write = replace(
                    write,
                    outcome=Outcome.TAKEN,
                    order_id=placed.order.order_id,
                    settled_ts_ns=self._floor.clock.now_ns(),
                )
                self._store.settle_write(self._account.id, write, None)
            after.append(write)
        return tuple(after)

    # Repair -------------------------------------------------------------------------------------------------------

    def _situation(
        self, known: Known, seen: Seen, books: Mapping[int, Book], orders: Mapping[str, RecordedOrder]
    ) -> Situation:
        return Situation(
            orders=orders,
            books=books,
            holdings={each.instrument_id: each for each in seen.positions},
            plans=self._plans,
            writes=known.writes,
            instruments=self._instruments,
            fair_ticks=_fair_ticks(self._floor, self._plans),
            modes={str(row["scope"]): str(row["mode"]) for row in self._floor.halt.current()},
            owner_id=self._account.owner_id,
            now_ns=self._floor.clock.now_ns(),
        )

    def _repair(self, step: Step, wanted: Sequence[Repair], situation: Situation, settled: bool) -> None:
        self.tallies[step].found += len(wanted)
        if self._is_off(step):
            return
        if not settled:
            self.tallies[step].errors.append("the account did not stand still; the next cycle looks again")
            return
        with self._step(step) as tally:
            for repair in wanted:
                try:
                    tally.done += self._carry_out(repair, situation)
                except Unavailable:
                    raise
                except TradefloorError as error:  # this one; the next may still be done
                    tally.state = "failed"
                    tally.errors.append(f"{repair.cause}: {error} ({error.code})")

    def _carry_out(self, repair: Repair, situation: Situation) -> int:
        """Ask the broker once for this cause; what was begun is kept first, so that a crash does not ask twice."""
        now_ns, account_id = self._floor.clock.now_ns(), self._account.id
        begun = self._store.begin_write(
            account_id, write_of(repair, situation.writes, f"monitor:{account_id}:"), now_ns
        )
        if begun.outcome is not Outcome.PENDING:
            return 0
        self.asked += 1
        try:
            answer = self._ask(begun)
        except (Conflict, Invalid, NotFound, Halted) as error:
            answer = Refusal(error.code, str(error))
        now_ns = self._floor.clock.now_ns()
        if isinstance(answer, Refusal):
            refused = replace(
                begun, outcome=Outcome.REFUSED, code=answer.code, reason=answer.reason, settled_ts_ns=now_ns
            )
            self._store.settle_write(account_id, refused, None)
            return 0
        placed = None if answer is None else first_seen(answer, begun, situation.books, now_ns)
        order_id = answer.order_id if answer else getattr(begun.deed, "order_id", "")
        taken = replace(begun, outcome=Outcome.TAKEN, order_id=order_id, settled_ts_ns=now_ns)
        self._store.settle_write(account_id, taken, placed)
        return 1

    def _ask(self, write: Write) -> BrokerOrder | Refusal | None:
        match write.deed:
            case Cancel(order_id):
                return self._broker.cancel(order_id)
            case Move(order_id, _, to_ticks):
                return self._broker.modify(order_id, NewTerms(limit_ticks=to_ticks), write.key)
            case Place() as place:
                for order_id in place.instead_of:
                    self._end(order_id)
                return self._broker.submit(self._new_order(write.key, place))

    def _end(self, order_id: str) -> None:
        """Cancel an order and wait until it is over; `Unavailable` where that takes too long, to be gone on with."""
        self._broker.cancel(order_id)
        for _ in range(CANCEL_LOOKS):
            if self._broker.order(order_id).state in TERMINAL:
                return
            self._sleep(CANCEL_PAUSE_S)
        raise Unavailable(f"order {order_id} is still being cancelled", "cancel_pending")

    def _new_order(self, key: str, place: Place) -> NewOrder:
        return NewOrder(
            client_id=key,
            instrument=self._instruments[place.instrument_id],
            side=place.side,
            type=place.type,
            quantity_lots=place.quantity_lots,
            limit_ticks=place.limit_ticks,
            time_in_force=place.time_in_force,
            stop_ticks=place.stop_ticks,
            oco_limit_ticks=place.oco_limit_ticks,
        )

    def _drop(self, orders: Mapping[str, RecordedOrder], writes: Sequence[Write]) -> None:
        order_ids, keys = drops(orders, writes)
        self.tallies[Step.DROP].found += len(order_ids) + len(keys)
        if not self._is_off(Step.DROP):
            with self._step(Step.DROP) as tally:
                if order_ids or keys:
                    self._store.drop(self._account.id, order_ids, keys)
                    tally.done += len(order_ids) + len(keys)


def _fair_ticks(floor: Floor, plans: Mapping[int, Plan]) -> dict[int, int]:
    """The fair price each plan names, where there is a fresh one: the middle of the quote, or what a model stated."""
    by_mid = [key for key, plan in plans.items() if plan.fair_source is FairSource.MID]
    by_model = [key for key, plan in plans.items() if plan.fair_source is FairSource.MODEL]
    now_ns = floor.clock.now_ns()
    found = dict(floor.monitoring.fair_ticks(by_model, now_ns)) if by_model else {}
    if by_mid:
        try:
            quotes = floor.bus.last_ticks(by_mid)
        except Unavailable:
            return found
        for key, row in ((key, ticks[0]) for key, ticks in quotes.items() if len(ticks)):
            fresh = now_ns - int(row["ts_ns"]) <= QUOTE_MAX_AGE_NS
            if fresh and row["bid_lots"] > 0 and row["ask_lots"] > 0:
                found[key] = (int(row["bid_ticks"]) + int(row["ask_ticks"])) // 2
    return found
