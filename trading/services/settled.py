"""What of a portfolio's cash has settled: proceeds trade at once and leave after T+n (`trading.market.value_dates`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from trading.domain.errors import Invalid
from trading.domain.money import minor_to_decimal
from trading.market.value_dates import cutoff_ns, settles_ns
from trading.services.floor import Floor
from trading.services.ports.desk import Cutoff
from trading.services.ports.queries import QueryStore


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Proceeds of a currency that have not settled, and when (ns UTC) the last of them will have."""

    currency: str
    amount: Decimal
    settles_ns: int


def cutoffs(floor: Floor, now_ns: int) -> Sequence[Cutoff]:
    """From when on each market's proceeds have not settled at ``now_ns``; of conversions too."""
    markets = {*floor.queries.markets(), ("fx", "FX")}
    return [Cutoff(kind, calendar, cutoff_ns(kind, calendar, now_ns)) for kind, calendar in sorted(markets)]


def unsettled(floor: Floor, store: QueryStore, portfolio_id: int) -> dict[str, Unsettled]:
    """By currency, as far as ``store`` may see."""
    found: dict[str, Unsettled] = {}
    for row in store.unsettled(portfolio_id, cutoffs(floor, floor.clock.now_ns())):
        at_ns = settles_ns(row["asset_class"], row["calendar"], row["last_ns"])
        amount = minor_to_decimal(row["amount"], row["scale"])
        known = found.get(row["asset"])
        if known is not None:
            amount, at_ns = amount + known.amount, max(at_ns, known.settles_ns)
        found[row["asset"]] = Unsettled(row["asset"], amount, at_ns)
    return found


@contextmanager
def explained(floor: Floor, portfolio_id: int) -> Iterator[None]:
    """A refusal ``not_settled`` also says when the last of it will have settled."""
    try:
        yield
    except Invalid as error:
        found = unsettled(floor, floor.queries, portfolio_id) if error.code == "not_settled" else {}
        if not found:
            raise
        last_ns = max(each.settles_ns for each in found.values())
        day = datetime.fromtimestamp(last_ns // 10**9, UTC).date()
        raise Invalid(f"{error}; the last of it settles on {day}", error.code) from None
