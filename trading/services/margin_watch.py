"""Margin accounts as the broker watches them: what a tick has to reach before anybody need look. No I/O.

Cash and positions come from the database, and move with each fill that is settled. For each account there are prices
within which it stays above maintenance whatever happens (`margin.quiet_band`); a tick inside them is let through.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from trading.domain import margin
from trading.domain.ledger import Posting
from trading.domain.margin import Close, Holding, Mark, Worth
from trading.domain.orders import Side
from trading.exchange.messages import TICK
from trading.exchange.rows import QUOTE
from trading.exchange.telling import Quote
from trading.market.ticks import Ticks
from trading.services.ports.broker import MarginAccount

Key = tuple[int, int]
"""Portfolio and currency."""
Verdict = Literal["call", "close_out", "met"]
_NONE = Mark(0, 0)


class MarginWatch:
    """The accounts, their marks, and which of them are due for a look."""

    def __init__(self) -> None:
        self.accounts: dict[Key, MarginAccount] = {}
        self.due: set[Key] = set()
        self._marks: dict[int, Mark] = {}
        self._bands: dict[Key, dict[int, Mark]] = {}
        self._quiet: dict[int, Mark] = {}
        self._settled = True  # whether bands and what is quiet are of all accounts as they are
        self.incomplete = False
        """Whether a fill opened a position of which nothing is known here: the accounts must be read again."""

    def load(self, accounts: Iterable[MarginAccount]) -> None:
        """Take accounts as the database has them, in place of all that were known; all are due for a look."""
        self.accounts = {(account.portfolio_id, account.currency_id): account for account in accounts}
        self.due = set(self.accounts)
        self._bands, self._settled, self.incomplete = {}, False, False

    def replace(self, portfolio_id: int, accounts: Iterable[MarginAccount]) -> None:
        """Take one portfolio's accounts as the database has them."""
        for key in [key for key in self.accounts if key[0] == portfolio_id]:
            del self.accounts[key]
            self._bands.pop(key, None)
            self.due.discard(key)
        for account in accounts:
            key = (portfolio_id, account.currency_id)
            self.accounts[key] = account
            self._changed(key)

    def paid(self, cash: Mapping[int, int]) -> None:
        """Cash as the database has it, by account id: it moves without the broker too."""
        for key, account in self.accounts.items():
            posted = cash.get(account.cash_account, account.cash)
            if posted != account.cash:
                account.cash = posted
                self._changed(key)

    def cash_accounts(self) -> list[int]:
        """Their ids."""
        return [account.cash_account for account in self.accounts.values()]

    def booked(self, posting: Posting, lots: int) -> None:
        """A fill was settled."""
        order = posting.order
        if order.margin is None:
            return
        key = (order.portfolio_id, order.instrument.currency.id)
        account = self.accounts.get(key)
        held = None if account is None else account.holdings.get(order.instrument.id)
        if account is None or held is None:
            self.incomplete = True
            return
        account.cash += posting.posted[account.cash_account]
        after = held.lots + (lots if order.side is Side.BUY else -lots)
        if after:
            account.holdings[order.instrument.id] = replace(held, lots=after)
        else:
            del account.holdings[order.instrument.id]
        self._changed(key)

    def position(self, portfolio_id: int, currency_id: int, instrument_id: int) -> int:
        """Lots, negative when short; 0 where nothing is known."""
        account = self.accounts.get((portfolio_id, currency_id))
        held = None if account is None else account.holdings.get(instrument_id)
        return 0 if held is None else held.lots

    # Ticks ----------------------------------------------------------------------------------------------------------

    def stop(self, ticks: Ticks, ordered: Collection[int]) -> int:
        """How many ticks may be taken at once: up to and with the first that may change what a margin account is worth
        by too much, or that may fill one of its orders (in the instruments ``ordered``)."""
        self._settle_bands()
        if not (self._quiet or ordered):
            return len(ticks)
        ids = ticks["instrument_id"]
        matters = np.isin(ids, list(ordered))
        for instrument_id, band in self._quiet.items():
            bids, asks = ticks["bid_ticks"], ticks["ask_ticks"]
            out = ((bids < band.bid_ticks) & (ticks["bid_lots"] > 0)) | (
                (asks > band.ask_ticks) & (ticks["ask_lots"] > 0) & (band.ask_ticks > 0)
            )
            matters |= (ids == instrument_id) & (ticks["kind"] & QUOTE > 0) & out
        first = np.flatnonzero(matters)
        return int(first[0]) + 1 if len(first) else len(ticks)

    def seen(self, instrument_id: int, quote: Quote | None) -> None:
        """A quote is in force: accounts that it takes out of their band are due. An empty side keeps its last price.

        None where the exchange has forgotten its price, as after a split: nothing is judged by it any more.
        """
        before = self._marks.pop(instrument_id, _NONE)
        if quote is not None:
            bid = quote[2] if quote[4] > 0 else 0
            ask = quote[3] if quote[5] > 0 else 0
            self._marks[instrument_id] = Mark(bid or before.bid_ticks, ask or before.ask_ticks)
        mark = self._marks.get(instrument_id, _NONE)
        if not _within(mark, self._quiet.get(instrument_id)):
            for key, bands in self._bands.items():
                if instrument_id in bands and not _within(mark, bands[instrument_id]):
                    self.due.add(key)

    def instruments(self) -> set[int]:
        """In which there are positions."""
        return {instrument_id for account in self.accounts.values() for instrument_id in account.holdings}

    def looked(self, key: Key) -> None:
        """An account was judged as it is now."""
        self._changed(key)
        self.due.discard(key)

    def _changed(self, key: Key) -> None:
        self.due.add(key)
        self._bands.pop(key, None)
        self._settled = False

    def _settle_bands(self) -> None:
        """Bands of accounts that changed; those of an account with a call in force have no room."""
        if self._settled:
            return
        self._settled = True
        for key, account in self.accounts.items():
            if key in self._bands:
                continue
            holdings = list(account.holdings.values())
            bands = margin.quiet_band(account.cash, holdings, self._marks) if account.state == "met" else {}
            self._bands[key] = {
                held.instrument.id: bands.get(held.instrument.id, _every_move(held)) for held in holdings
            }
        self._quiet = {}
        for bands in self._bands.values():
            for instrument_id, band in bands.items():
                known = self._quiet.get(instrument_id, _NONE)
                asks = [mark.ask_ticks for mark in (known, band) if mark.ask_ticks > 0]
                self._quiet[instrument_id] = Mark(max(known.bid_ticks, band.bid_ticks), min(asks, default=0))

    # Judging --------------------------------------------------------------------------------------------------------

    def worth(self, key: Key) -> Worth | None:
        """An account at the marks; None where one is missing."""
        account = self.accounts.get(key)
        return None if account is None else margin.assess(account.cash, list(account.holdings.values()), self._marks)

    def verdict(self, key: Key) -> tuple[Verdict, Worth] | None:
        """The level that an account has crossed since it was told last, and what it is worth; None where it has not."""
        worth = self.worth(key)
        if worth is None:
            return None
        state = self.accounts[key].state
        if state == "met":
            return ("call", worth) if worth.cushion < 0 else None
        if worth.cushion >= 0:
            return "met", worth
        return ("close_out", worth) if state == "call" and worth.equity < worth.close_out else None

    def next_close(self, key: Key, basis: dict[int, int], tradable: Collection[int]) -> Close | None:
        """What to close next; ``basis`` is what each position cost or brought.

        None while a mark is missing, as after a lost tape: its next quote has the account looked at again.
        """
        if self.worth(key) is None:
            return None
        account = self.accounts[key]
        holdings = [replace(held, basis=basis[held.instrument.id]) for held in account.holdings.values()]
        return margin.next_close(account.cash, holdings, self._marks, tradable)

    def mark(self, instrument_id: int) -> Mark:
        """The newest bid and ask known."""
        return self._marks.get(instrument_id, _NONE)


def _within(mark: Mark, band: Mark | None) -> bool:
    return band is None or not (mark.bid_ticks < band.bid_ticks or mark.ask_ticks > band.ask_ticks > 0)


def _every_move(held: Holding) -> Mark:
    """A band that every quote is out of."""
    return Mark(np.iinfo(TICK["bid_ticks"]).max, 0) if held.lots > 0 else Mark(0, 1)
