"""What a use case may touch: the floor's ports, handed in as one value by `trading.bootstrap`."""

from dataclasses import dataclass

from trading.services.ports.actions import ActionStore
from trading.services.ports.audit import AuditStore
from trading.services.ports.backups import BackupLog
from trading.services.ports.batches import BatchStore
from trading.services.ports.broker import LogStore
from trading.services.ports.bus import Bus
from trading.services.ports.clock import Clock
from trading.services.ports.compliance import ComplianceStore
from trading.services.ports.desk import DeskStore, HaltStore, HeadLog, LedgerStore, VerifyStore
from trading.services.ports.jobs import JobRunner
from trading.services.ports.lake import LakeStore
from trading.services.ports.monitoring import Brokers, MonitoringStore
from trading.services.ports.parents import ParentStore
from trading.services.ports.people import PeopleStore
from trading.services.ports.queries import ObserverQueries, QueryStore
from trading.services.ports.risk import RiskStore
from trading.services.ports.schedules import ScheduleStore
from trading.services.ports.wallet import WalletStore


@dataclass(frozen=True, slots=True)
class Floor:
    """Ports of one floor. ``queries`` reads as the app's database role, ``observer`` as the observers' own role."""

    clock: Clock
    bus: Bus
    people: PeopleStore
    audit: AuditStore
    desk: DeskStore
    batches: BatchStore
    schedules: ScheduleStore
    parents: ParentStore
    ledger: LedgerStore
    wallet: WalletStore
    halt: HaltStore
    risk: RiskStore
    actions: ActionStore
    verify: VerifyStore
    heads: HeadLog
    log: LogStore
    queries: QueryStore
    observer: ObserverQueries
    lake: LakeStore
    jobs: JobRunner
    monitoring: MonitoringStore
    brokers: Brokers
    compliance: ComplianceStore
    backups: BackupLog
