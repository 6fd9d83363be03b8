"""Periodic work on the books and the wallet, as the clerk does it."""

from trading.domain.errors import Inconsistent
from trading.services import interest, statements, verify, wallet
from trading.services.access import SYSTEM
from trading.services.floor import Floor


def check_new(floor: Floor, _now_ns: int) -> str:
    """Check what is new in the books; raises `Inconsistent` where they do not agree, which the clerk shows and logs."""
    report = verify.run_new(floor, SYSTEM, quiet=True)
    if not report.ok:
        first = report.breaks[0]
        raise Inconsistent(f"{len(report.breaks)} breaks, the first: {first['check']} {first['subject']}")
    return f"{report.counts.get('transfer', 0)} new transfers agree"


def keep_head(floor: Floor, _now_ns: int) -> str:
    """Write the head of the ledger's chain outside the database when it is time."""
    block = verify.keep_head(floor, SYSTEM)
    return "" if block is None else f"block {block} written"


def keep_balances(floor: Floor, _now_ns: int) -> str:
    """Keep the balances of the day that is over."""
    kept = statements.keep_balances(floor, SYSTEM)
    return f"{kept} balances kept" if kept else ""


def charge_interest(floor: Floor, _now_ns: int) -> str:
    """Book interest on margin debt of the days that are over."""
    lines = interest.accrue_due(floor, SYSTEM)
    return f"{lines} lines of interest booked" if lines else ""


def expire_requests(floor: Floor, _now_ns: int) -> str:
    """End requests for money that nobody decided in time."""
    ended = wallet.expire_due(floor, SYSTEM)
    return f"{ended} requests expired" if ended else ""
