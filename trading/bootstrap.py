"""Wires the floor's ports to their adapters, and prepares a floor at its first start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from trading.adapters.brokers.directory import BrokerDirectory
from trading.adapters.clock import SystemClock
from trading.adapters.embedded import connections
from trading.adapters.embedded import secrets as floor_secrets
from trading.adapters.head_file import HeadFile
from trading.adapters.job_runner import jobs_of
from trading.adapters.lake import Lake
from trading.adapters.postgres.action_store import PostgresActions
from trading.adapters.postgres.audit_store import PostgresAudit
from trading.adapters.postgres.backup_store import PostgresBackups
from trading.adapters.postgres.batch_store import PostgresBatches
from trading.adapters.postgres.compliance_store import PostgresCompliance
from trading.adapters.postgres.desk_store import PostgresDesk
from trading.adapters.postgres.halt_store import PostgresHalt
from trading.adapters.postgres.ledger_store import PostgresLedger
from trading.adapters.postgres.log_store import PostgresLog
from trading.adapters.postgres.migrate import migrate, prepare
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
from trading.adapters.redis_bus import RedisBus
from trading.config import Settings
from trading.domain.errors import Unavailable
from trading.market.profiles import shipped_profiles
from trading.services import ledger, people
from trading.services.access import SYSTEM
from trading.services.floor import Floor

DEMO_USERS = (("tina", "Tina Trader", "trader"), ("adam", "Adam Admin", "admin"), ("olga", "Olga Observer", "observer"))
DEMO_DEPOSIT = "250000.00"


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """A demo user made at the first start; the password is shown once and kept only in ``data/demo-logins.txt``."""

    username: str
    role: str
    password: str


@contextmanager
def open_floor(settings: Settings) -> Iterator[Floor]:
    """The floor's ports, closed at the end. Raises `Unavailable` where the floor has never been opened."""
    app_pool = open_pool(connections.dsn(settings, "tf_app"), name="tradefloor-app")
    observer_pool = open_pool(connections.dsn(settings, "tf_observer"), max_size=4, name="tradefloor-observer")
    bus = RedisBus(connections.redis_url(settings))
    try:
        yield _floor(settings, app_pool, observer_pool, bus)
    finally:
        bus.close()
        observer_pool.close()
        app_pool.close()


def _floor(settings: Settings, app_pool: Pool, observer_pool: Pool, bus: RedisBus) -> Floor:
    return Floor(
        clock=SystemClock(),
        bus=bus,
        people=PostgresPeople(app_pool),
        audit=PostgresAudit(app_pool),
        desk=PostgresDesk(app_pool),
        batches=PostgresBatches(app_pool),
        schedules=PostgresSchedules(app_pool),
        parents=PostgresParents(app_pool),
        ledger=PostgresLedger(app_pool),
        wallet=PostgresWallet(app_pool),
        halt=PostgresHalt(app_pool),
        risk=PostgresRisk(app_pool),
        actions=PostgresActions(app_pool),
        verify=PostgresVerify(app_pool),
        heads=HeadFile(settings.head_path),
        log=PostgresLog(app_pool),
        queries=PostgresQueries(app_pool),
        observer=ObserverSessions(observer_pool),
        lake=Lake(settings.lake_dir, app_pool),
        jobs=jobs_of(settings),
        monitoring=PostgresMonitoring(app_pool),
        brokers=BrokerDirectory(lambda: broker_keys(settings)),
        compliance=PostgresCompliance(app_pool),
        backups=PostgresBackups(app_pool),
    )


def broker_keys(settings: Settings) -> Mapping[str, str]:
    """Keys of brokers elsewhere by name, read anew each time: a new one needs no restart."""
    known = floor_secrets.read(settings.secrets_path)
    return {} if known is None else known.brokers


def first_start(settings: Settings) -> list[DemoLogin]:
    """Bring the database to this program's schema and reference data; on an empty one make the demo users too.

    Safe to repeat and to interrupt: a second call goes on where the first stopped. Returns the users made now.
    """
    known = floor_secrets.read(settings.secrets_path)
    if known is None:
        raise Unavailable("the floor has no secrets yet")
    prepare(lambda database: connections.dsn(settings, floor_secrets.SUPERUSER, database), known.postgres)
    migrate(connections.dsn(settings, floor_secrets.SUPERUSER))
    with open_floor(settings) as floor:
        pool = open_pool(connections.dsn(settings, "tf_app"), max_size=1, name="tradefloor-first-start")
        try:
            with connection_of(pool) as connection:
                keep_instruments(connection, shipped_profiles())
        finally:
            pool.close()
        return _demo_users(settings, floor)


def _demo_users(settings: Settings, floor: Floor) -> list[DemoLogin]:
    """Make what is missing of the demo users, portfolio, grant and deposit; a password is on disk before its user."""
    if any(user.username not in {name for name, _, _ in DEMO_USERS} for user in people.users(floor, SYSTEM)):
        return []
    made = []
    for username, display_name, role in DEMO_USERS:
        if floor.people.user_by_name(username) is None:
            login = DemoLogin(username, role, people.new_password())
            _keep_login(settings, login)
            people.create_user(floor, SYSTEM, username, display_name, role, login.password)
            made.append(login)
    users = {user.username: user for user in people.users(floor, SYSTEM)}
    if all(name in users for name, _, _ in DEMO_USERS):
        trader = users["tina"]
        portfolio = next(iter(floor.people.portfolios_of(trader.id)), None)
        if portfolio is None:
            portfolio = people.create_portfolio(floor, SYSTEM, trader.id, "Main")
        ledger.deposit(floor, SYSTEM, portfolio.id, DEMO_DEPOSIT, "demo-opening-deposit", "Opening deposit")
        if not floor.people.is_granted(users["olga"].id, portfolio.id):
            people.grant(floor, SYSTEM, portfolio.id, users["olga"].id)
    return made


def _keep_login(settings: Settings, login: DemoLogin) -> None:
    path = settings.logins_path
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    with path.open("a") as file:
        file.write(f"{login.role:9} {login.username:9} {login.password}\n")
        file.flush()
