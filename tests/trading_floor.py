"""A floor without processes: the real services, database and broker, driven step by step by a test.

The bus is in memory (real code: it remembers the newest quotes), the clock stands until it is moved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from shared_servers import Database

from trading.adapters.brokers.directory import BrokerDirectory
from trading.adapters.clock import FixedClock
from trading.adapters.head_file import HeadFile
from trading.adapters.job_runner import DagsterJobs
from trading.adapters.lake import Lake
from trading.adapters.postgres.action_store import PostgresActions
from trading.adapters.postgres.audit_store import PostgresAudit
from trading.adapters.postgres.backup_store import PostgresBackups
from trading.adapters.postgres.batch_store import PostgresBatches
from trading.adapters.postgres.broker_store import PostgresBroker
from trading.adapters.postgres.compliance_store import PostgresCompliance
from trading.adapters.postgres.desk_store import PostgresDesk
from trading.adapters.postgres.halt_store import PostgresHalt
from trading.adapters.postgres.ledger_store import PostgresLedger
from trading.adapters.postgres.log_store import PostgresLog
from trading.adapters.postgres.monitoring_store import PostgresMonitoring
from trading.adapters.postgres.parent_store import PostgresParents
from trading.adapters.postgres.people_store import PostgresPeople
from trading.adapters.postgres.pool import Pool, connection_of, open_pool
from trading.adapters.postgres.query_store import ObserverSessions, PostgresQueries
from trading.adapters.postgres.reference import keep_instruments
from trading.adapters.postgres.risk_store import PostgresRisk
from trading.adapters.postgres.schedule_store import PostgresSchedules
from trading.adapters.postgres.verify_store import PostgresVerify
from trading.adapters.postgres.wallet_store import PostgresWallet
from trading.domain.fees import FeeSchedule
from trading.domain.instruments import Instrument
from trading.domain.orders import Acceptance, Change, OrderType, Refusal, Side, Ticket, TimeInForce
from trading.market.profiles import shipped_profiles
from trading.market.ticks import QUOTE, TICK, TRADE, Ticks
from trading.services import desk, ledger, verify
from trading.services.access import SYSTEM, Actor, Role
from trading.services.floor import Floor
from trading.services.paper_broker import Committed, PaperBroker
from trading.services.ports.broker import Command

START_NS = 1_790_000_000_000_000_000
"""Some day in 2026, UTC."""
LEASE_TTL_S = 60.0


def refusal(answer: object) -> str:
    """The code of an answer, which must be a refusal."""
    assert isinstance(answer, Refusal), answer
    return answer.code


class MemoryBus:
    """Implements `trading.services.ports.bus.Bus` within one process."""

    def __init__(self) -> None:
        self.newest: dict[int, Ticks] = {}
        self.books: dict[int, Ticks] = {}
        self.wakes = 0
        self.events: list[Mapping[str, Any]] = []

    def wake_broker(self, events: Sequence[Mapping[str, Any]] = ()) -> None:
        self.wakes += 1
        self.events += events

    def last_ticks(self, ids: Sequence[int] | None = None, within_s: float = 0.0) -> dict[int, Ticks]:
        return {key: ticks for key, ticks in self.newest.items() if ids is None or key in ids}

    def last_books(self, ids: Sequence[int]) -> dict[int, Ticks]:
        return {key: self.books[key] for key in ids if key in self.books}

    def get_bars(self) -> tuple[bytes, bytes]:
        return b"", b""


class TradingFloor:
    """Trader ``tina`` with cash in ``portfolio``; AAPL at ``aapl``; a broker that holds the lease."""

    def __init__(self, database: Database, folder: Path, cash: str = "100000.00") -> None:
        self.database = database
        self.clock = FixedClock(START_NS)
        self.broker_keys: dict[str, str] = {}
        self.bus = MemoryBus()
        self.pool: Pool = open_pool(database.dsn("tf_app"), max_size=12, name="test")
        self._observer_pool = open_pool(database.dsn("tf_observer"), max_size=2, name="test-observer")
        with connection_of(self.pool) as connection:
            # Fees that a reader can work out: half a cent a share, at least one dollar.
            keep_instruments(connection, [replace(p, fee=FeeSchedule(1, 500, 0, 100)) for p in shipped_profiles()])
        self.floor = Floor(
            clock=self.clock,
            bus=self.bus,
            people=PostgresPeople(self.pool),
            audit=PostgresAudit(self.pool),
            desk=PostgresDesk(self.pool),
            batches=PostgresBatches(self.pool),
            schedules=PostgresSchedules(self.pool),
            parents=PostgresParents(self.pool),
            ledger=PostgresLedger(self.pool),
            wallet=PostgresWallet(self.pool),
            halt=PostgresHalt(self.pool),
            risk=PostgresRisk(self.pool),
            actions=PostgresActions(self.pool),
            verify=PostgresVerify(self.pool),
            heads=HeadFile(folder.parent / f"{database.name}-head.jsonl"),
            log=PostgresLog(self.pool),
            queries=PostgresQueries(self.pool),
            observer=ObserverSessions(self._observer_pool),
            lake=Lake(folder, self.pool),
            jobs=DagsterJobs("127.0.0.1", 9),  # nobody listens there
            monitoring=PostgresMonitoring(self.pool),
            brokers=BrokerDirectory(lambda: self.broker_keys),
            compliance=PostgresCompliance(self.pool),
            backups=PostgresBackups(self.pool),
        )
        self._keys = count(1)
        self._seqs: dict[int, int] = {}
        self.trader, self.portfolio = self.add_trader("tina", cash)
        self.aapl = self.instrument("AAPL")
        self.store = PostgresBroker(database.dsn("tf_broker"))
        self.broker = self.open_broker()

    def close(self) -> None:
        self.store.close()
        self.pool.close()
        self._observer_pool.close()

    # People and things --------------------------------------------------------------------------------------------

    def add_trader(self, name: str, cash: str, kind: str = "cash") -> tuple[Actor, int]:
        user = self.floor.people.create_user(name, name.title(), "trader", "no-password", 0)
        portfolio = self.floor.people.create_portfolio(user.id, "Main", kind, "USD", 0)
        if Decimal(cash):
            ledger.deposit(self.floor, SYSTEM, portfolio.id, cash, f"opening-{name}")
        return Actor(user.id, name, Role.TRADER), portfolio.id

    def instrument(self, symbol: str) -> Instrument:
        return next(i for i in self.floor.desk.instruments("SIM") if i.symbol == symbol)

    # The market ---------------------------------------------------------------------------------------------------

    def quote(self, bid: str, ask: str, lots: int = 1000, symbol: str = "AAPL") -> Committed:
        """A new quote reaches everybody: the desk through the bus, the broker as an input."""
        return self.run_broker(self.quoted(bid, ask, lots, symbol))

    def quoted(self, bid: str, ask: str, lots: int = 1000, symbol: str = "AAPL") -> Ticks:
        """A new quote that the desk has seen and the broker not yet."""
        instrument = self.instrument(symbol)
        row = self._row(instrument, QUOTE)
        row["bid_ticks"], row["ask_ticks"] = instrument.price_to_ticks(bid), instrument.price_to_ticks(ask)
        row["bid_lots"] = row["ask_lots"] = lots
        self.bus.newest[instrument.id] = row
        return row

    def trade(self, price: str, lots: int, symbol: str = "AAPL") -> Committed:
        """A trade prints on the tape."""
        instrument = self.instrument(symbol)
        row = self._row(instrument, TRADE)
        row["trade_ticks"], row["trade_lots"] = instrument.price_to_ticks(price), lots
        return self.run_broker(row)

    def _row(self, instrument: Instrument, kind: int) -> Ticks:
        self.clock.advance(0.01)
        seq = self._seqs[instrument.id] = self._seqs.get(instrument.id, 0) + 1
        row = np.zeros(1, dtype=TICK)
        row["instrument_id"], row["kind"], row["seq"], row["ts_ns"] = instrument.id, kind, seq, self.clock.now_ns()
        return row

    # Orders -------------------------------------------------------------------------------------------------------

    def order(
        self,
        side: str,
        quantity: str,
        limit: str | None = None,
        *,
        tif: str = "gtc",
        key: str | None = None,
        symbol: str = "AAPL",
        who: tuple[Actor, int] | None = None,
        **more: Any,
    ) -> Acceptance | Refusal:
        """Put a ticket on the desk; the broker has not seen it yet. ``more`` are fields of the ticket.

        The type is the one that the prices make: a stop with a limit is a stop-limit.
        """
        actor, portfolio = who or (self.trader, self.portfolio)
        if more.get("trail") or more.get("trail_percent"):
            kind = OrderType.TRAILING_STOP
        elif more.get("stop_price"):
            kind = OrderType.STOP if limit is None else OrderType.STOP_LIMIT
        else:
            kind = OrderType.MARKET if limit is None else OrderType.LIMIT
        ticket = Ticket(symbol, Side(side), kind, quantity, limit, TimeInForce(tif), **more)
        return desk.submit(self.floor, actor, portfolio, ticket, key or f"key-{next(self._keys)}")

    def modify(
        self, order_id: int, *, key: str | None = None, who: tuple[Actor, int] | None = None, **change: str
    ) -> Acceptance | Refusal:
        """Ask for new terms; the broker has not seen them yet."""
        actor, portfolio = who or (self.trader, self.portfolio)
        return desk.modify(self.floor, actor, portfolio, order_id, Change(**change), key or f"key-{next(self._keys)}")

    def cancel(self, order_id: int, who: tuple[Actor, int] | None = None) -> Refusal | None:
        """Ask for a cancel; the broker has not seen it yet."""
        actor, portfolio = who or (self.trader, self.portfolio)
        return desk.cancel(self.floor, actor, portfolio, order_id)

    def accepted(self, *args: Any, **kwargs: Any) -> Acceptance:
        """`order`, which must be accepted."""
        answer = self.order(*args, **kwargs)
        assert isinstance(answer, Acceptance), answer
        return answer

    # The broker ---------------------------------------------------------------------------------------------------

    def open_broker(self) -> PaperBroker:
        epoch = self.store.take_lease("test", LEASE_TTL_S)
        assert epoch is not None
        broker = PaperBroker(self.store, epoch)
        broker.restore(self.clock.now_ns())
        return broker

    def restart_broker(self) -> None:
        """As after a crash: memory is gone, the lease has run out, a new broker restores from snapshot and log."""
        self.query("update broker_lease set expires_at = '-infinity'")
        self.store.close()
        self.broker = self.open_broker()

    def run_broker(
        self, ticks: Ticks | None = None, gap: str = "", commands: Sequence[Command] | None = None
    ) -> Committed:
        """One turn of the broker: the ticks and whatever commands wait (or those named), committed."""
        self.clock.advance(0.2)
        if commands is None:
            commands = self.store.waiting_commands(500, self.broker.queue.known)
        return self.broker.advance(self.clock.now_ns(), np.empty(0, TICK) if ticks is None else ticks, commands, gap)

    # Looking ------------------------------------------------------------------------------------------------------

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows as the superuser sees them; statements are carried out too."""
        import psycopg

        with psycopg.connect(self.database.dsn(), autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def cash(self, portfolio: int | None = None) -> tuple[Decimal, Decimal]:
        """Posted and held, in dollars."""
        rows = self.query(
            "select posted, held from account a join asset s on s.id = a.asset_id"
            " where portfolio_id = %s and s.code = 'USD'",
            portfolio or self.portfolio,
        )
        return Decimal(rows[0][0]) / 100, Decimal(rows[0][1]) / 100

    def shares(self, symbol: str = "AAPL", portfolio: int | None = None) -> tuple[int, int]:
        """Posted and held lots of an instrument."""
        rows = self.query(
            "select posted, held from account a join asset s on s.id = a.asset_id"
            " where portfolio_id = %s and s.code = %s",
            portfolio or self.portfolio,
            f"SIM:{symbol}",
        )
        return rows[0] if rows else (0, 0)  # type: ignore[return-value]

    def state(self, order_id: int) -> tuple[str, int, str]:
        """State, filled lots and reason of an order."""
        return self.query("select state, filled_lots, reason from orders where id = %s", order_id)[0]  # type: ignore[return-value]

    def held(self) -> tuple[Decimal, int]:
        """Cash and AAPL on hold."""
        return self.cash()[1], self.shares()[1]

    def causes(self, order_id: int) -> list[tuple[str, str]]:
        """What happened to an order, and the state it had then."""
        return self.query("select cause, target from order_event where order_id = %s order by id", order_id)  # type: ignore[return-value]

    def check(self) -> None:
        """Every invariant holds."""
        report = verify.run(self.floor, SYSTEM)
        assert report.ok, report.breaks[:5]
