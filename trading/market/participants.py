"""Who trades on the simulated venue, and how: decisions of many instruments at once, as inputs for the engine.

Every instrument has the same crowd. Each participant owns fixed *slots*, one open order in each at most, so that an
order's id names its slot for ever (`Crowd.order_id`):

* `MAKERS` market makers quote around the fair price. Each has one order a side at the *touch* and, together, they
  hold a grid of `GRID` deeper levels a side, dealt out in turn. Their reference follows the fair price with some
  hysteresis and leans against what they hold; one that holds much steps back on the side that would add to it. A grid
  price belongs to one slot, whatever way the market moves, so that a small move changes few levels.
* Noise traders rest limit orders near the touch (`RESTING` slots) and cancel them again, and take with market orders.
  The direction of takers is remembered over several time scales, as that of large orders cut into pieces is (Lillo
  and Farmer 2004), and leans towards the fair price.
* Momentum traders take in the direction in which the price has moved, up to a limit, and give back when it turns.

Sizes are log-normal around the profile's. All here is vectorised over the instruments that act in a step; nothing is
kept between steps but `Crowd`'s arrays, and all randomness comes from the generator that is handed in.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trading.exchange.compiled.layout import BUY, INPUT, SELL, Kind, Op
from trading.market.simulator_prices import Floats, Ints

MAKERS = 3
GRID = 12
"""Levels of the makers' grid a side; more than what is published."""
LADDER = GRID + MAKERS
RESTING = 8
SLOTS = 2 * LADDER + RESTING + 2
NOISE, MOMENTUM = SLOTS - 2, SLOTS - 1
"""Slots of the two kinds of takers."""

HYSTERESIS = 0.35
"""Makers let the fair price run this part of a spread before they follow."""
TOUCH_SIGMA, GRID_SIGMA, REST_SIGMA = 0.6, 0.5, 0.9
TOUCH_SHARE, GRID_SHARE, GRID_SHARE_STEP = 0.5, 0.35, 0.1
"""Mean size of a maker at the touch, and in the grid with what each deeper level adds, as shares of the profile's."""
TAKE_SHARE, TAKE_SIGMA, TAKE_MOST = 0.13, 1.2, 1.5
"""Mean size of a taker and the largest, as shares of the profile's."""
REST_SHARE = 0.25
P_REFILL = 0.5
"""How often makers put back, at an update, what was taken from them."""
P_REST, P_NOISE, P_MOMENTUM = 0.35, 0.24, 0.08
"""How often, among an instrument's updates, somebody rests or cancels, takes for no reason, or follows a trend."""
MEMORY_TRADES = np.array([5.0, 25.0, 150.0])
"""For how many trades a direction lasts, by time scale."""
MEMORY_SHARES = np.array([0.35, 0.30, 0.25])
"""How often a taker follows the direction of each scale; otherwise it tosses a coin."""
PULL = 0.35
"""How much a distance of one spread between touch and fair price changes the odds of a taker's direction."""
INVENTORY_SIZES = 6.0
"""Makers lean fully when, together, they hold so many times the profile's size."""
MOMENTUM_SIZES = 3.0
TREND_ENTER, TREND_LEAVE = 1.2, 0.2
"""In standard deviations of the trend."""
SWEEP_SPREADS = 8
"""A taker's worst price, in spreads behind the touch."""

Bools = NDArray[np.bool_]
Inputs = NDArray[np.void]
_GTC = int(Kind.LIMIT)
_PASSIVE = slice(2 * LADDER, 2 * LADDER + RESTING)
# Maker of each slot, and in the order of `Crowd.position` whose position a fill in it changes.
_OWNER = np.concatenate([np.tile(np.r_[np.arange(GRID) % MAKERS, np.arange(MAKERS)], 2), np.arange(RESTING) * 0 - 1])
OWNER = np.concatenate([_OWNER, [-1, -1]]) + 1
ACCOUNT = np.concatenate([np.where(_OWNER >= 0, _OWNER, MAKERS), [MAKERS, MAKERS + 1]])
LADDER_SIDE = np.repeat([BUY, SELL], LADDER)
LADDER_SIGMA = np.tile(np.r_[np.full(GRID, GRID_SIGMA), np.full(MAKERS, TOUCH_SIGMA)], 2)
P_RENEW = np.tile(np.r_[np.full(GRID, 0.004), np.full(MAKERS, 0.12)], 2)
"""How often a maker changes the size of an order that may stay."""
_SHARES = np.cumsum(MEMORY_SHARES)
_WAY = np.array([-1, 1])[:, None]
_GRID_SLOTS = np.arange(GRID)


@dataclass(slots=True)
class Crowd:
    """What participants know and hold, by instrument in the first axis; owned and changed by one simulator.

    ``price`` and ``left`` (instruments, slots) mirror the open orders in the engine, ``left`` 0 where a slot is empty.
    ``bid`` and ``ask`` are the makers' common touch in ticks, ``step_back`` (.., makers, side) how far behind it each
    one quotes, ``position`` (.., makers + noise + momentum) lots held, ``directions`` (.., scales) 1 or -1.
    ``trend`` is the move of the fair price lately in standard deviations. Where ``renew`` is set conditions have
    changed and everybody decides anew.
    """

    price: Ints
    left: Ints
    bid: Ints
    ask: Ints
    step_back: Ints
    position: Ints
    directions: Ints
    trend: Floats
    renew: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))

    @classmethod
    def of(cls, n: int) -> "Crowd":
        """A crowd of ``n`` instruments that has done nothing yet."""

        def ints(*shape: int) -> Ints:
            return np.zeros((n, *shape), dtype=np.int64)

        directions = ints(len(MEMORY_TRADES)) + 1
        directions[::2] *= -1
        return cls(
            price=ints(SLOTS),
            left=ints(SLOTS),
            bid=ints(),
            ask=ints(),
            step_back=ints(MAKERS, 2),
            position=ints(MAKERS + 2),
            directions=directions,
            trend=np.zeros(n),
            renew=np.ones(n, dtype=bool),
        )


@dataclass(frozen=True, slots=True)
class Acting:
    """The instruments that act in a step: their places, fair prices in ticks, mean spreads in ticks, usual sizes."""

    place: NDArray[np.intp]
    fair: Floats
    spread: Floats
    size: Floats
    gap: Ints
    """Ticks between the levels of the makers' grid."""


def order_id(place: Ints, slot: Ints) -> Ints:
    """The id that orders of a slot have."""
    ids: Ints = place * SLOTS + slot + 1
    return ids


def lots(mean: Floats, sigma: Floats | float, normal: Floats) -> Ints:
    """Log-normal whole sizes of at least one lot around ``mean``."""
    whole: Ints = np.maximum(1, np.rint(mean * np.exp(sigma * normal - sigma**2 / 2))).astype(np.int64)
    return whole


def decide(crowd: Crowd, acting: Acting, random: np.random.Generator) -> Inputs:
    """What everybody does in this step: `INPUT` rows, instrument by instrument, without ``seq`` and time.

    Within an instrument takers come first and meet the book that everybody has seen, then makers who step back, those
    who step forward, and who rests an order: so makers who move together do not trade with each other.
    """
    if len(acting.place) == 0:
        return np.zeros(0, INPUT)
    uniform = random.random((4, len(acting.place)))
    _recentre(crowd, acting, uniform[0], random)
    parts = [
        _leave(crowd, acting),
        _make(crowd, acting, random),
        _rest(crowd, acting, uniform[1], random),
        _take(crowd, acting, uniform[2], random),
        _follow(crowd, acting, uniform[3]),
    ]
    rank = np.concatenate([each[0] for each in parts])
    inputs = np.concatenate([each[1] for each in parts])
    ordered: Inputs = inputs[np.argsort(inputs["symbol"].astype(np.int64) * 8 + rank, kind="stable")]
    return ordered


def withdraw(crowd: Crowd, place: NDArray[np.intp]) -> Inputs:
    """Everybody leaves the book of some instruments: a session has ended."""
    row, slot = np.nonzero(crowd.left[place])
    return _inputs(Op.CANCEL, place[row], slot)[1]


def _inputs(
    op: int,
    place: NDArray[np.intp],
    slot: NDArray[np.intp] | int,
    side: Ints | int = BUY,
    price: Ints | int = 0,
    qty: Ints | int = 0,
    kind: int = _GTC,
    rank: Ints | int = 0,
) -> tuple[Ints, Inputs]:
    rows = np.zeros(len(place), INPUT)
    rows["op"], rows["kind"] = int(op), kind
    rows["symbol"] = place
    rows["order_id"] = order_id(place, np.asarray(slot))
    rows["owner"] = OWNER[slot]
    rows["side"], rows["price"], rows["qty"] = side, price, qty
    return np.broadcast_to(np.asarray(rank, dtype=np.int64), len(place)), rows


# Market makers --------------------------------------------------------------------------------------------------------


def _recentre(crowd: Crowd, acting: Acting, uniform: Floats, random: np.random.Generator) -> None:
    """Move the common touch where the fair price has run away from it, and now and then anyway."""
    at = acting.place
    held = crowd.position[at, :MAKERS]
    lean = np.clip(held.sum(axis=1) / (INVENTORY_SIZES * acting.size), -1, 1)
    wanted = acting.fair - 0.5 * lean * acting.spread
    off = np.abs((crowd.bid[at] + crowd.ask[at]) / 2 - wanted)
    wide = np.maximum(1, np.rint(acting.spread)).astype(np.int64)
    moves = (off > HYSTERESIS * acting.spread + 0.5) | (uniform < 0.05) | crowd.renew[at]
    bid = np.maximum(1, np.floor(wanted - wide / 2 + 0.5)).astype(np.int64)
    crowd.bid[at] = np.where(moves, bid, crowd.bid[at])
    crowd.ask[at] = np.where(moves, bid + wide, crowd.ask[at])
    # How far each maker stands behind the touch: one leads, the others join it or wait, and whoever is full waits.
    k = len(at)
    again = (random.random((k, MAKERS, 2)) < 0.12) | crowd.renew[at][:, None, None]
    behind = np.floor(random.exponential(0.45, (k, MAKERS, 2)) * np.maximum(acting.spread / 2, 1)[:, None, None])
    behind[np.arange(k), random.integers(0, MAKERS, k)] = 0
    full = held / acting.size[:, None]
    behind += np.stack([full > INVENTORY_SIZES / 2, full < -INVENTORY_SIZES / 2], axis=2) * acting.gap[:, None, None]
    crowd.step_back[at] = np.where(again, behind.astype(np.int64), crowd.step_back[at])


def _make(crowd: Crowd, acting: Acting, random: np.random.Generator) -> tuple[Ints, Inputs]:
    """Bring the makers' orders to where they should be."""
    at, gap = acting.place, acting.gap[:, None]
    k = len(at)
    touch = np.stack([crowd.bid[at], crowd.ask[at]], axis=1)
    last_bid, first_ask = (touch[:, :1] - 1) // gap, -((-touch[:, 1:] - 1) // gap)
    bids, asks = (last_bid - _GRID_SLOTS) % GRID, (_GRID_SLOTS - first_ask) % GRID
    depth = np.stack([bids, asks], axis=1)
    wanted = np.empty((k, 2, LADDER), dtype=np.int64)
    wanted[:, 0, :GRID], wanted[:, 1, :GRID] = (last_bid - bids) * gap, (first_ask + asks) * gap
    wanted[:, :, GRID:] = touch[:, :, None] + _WAY * crowd.step_back[at].transpose(0, 2, 1)
    price = np.maximum(1, wanted).reshape(k, -1)
    share = np.full((k, 2, LADDER), TOUCH_SHARE)
    share[:, :, :GRID] = GRID_SHARE + GRID_SHARE_STEP * depth

    left, was = crowd.left[at][:, : 2 * LADDER], crowd.price[at][:, : 2 * LADDER]
    chance = random.random((k, 2 * LADDER))
    renewed = (chance < P_RENEW) | crowd.renew[at][:, None]
    missing, moved = left == 0, (left > 0) & (was != price)
    missing &= (chance < P_REFILL) | crowd.renew[at][:, None]
    renewed &= left > 0
    row, slot = np.nonzero(missing | moved | renewed)
    price, was, missing = price[row, slot], was[row, slot], missing[row, slot]
    mean = acting.size[row] * share.reshape(k, -1)[row, slot]
    sizes = lots(mean, LADDER_SIGMA[slot], random.standard_normal(len(row)))
    back = np.where(LADDER_SIDE[slot] == BUY, price <= was, price >= was) & ~missing
    crowd.renew[at] = False
    _, rows = _inputs(0, at[row], slot, LADDER_SIDE[slot], price, sizes)
    rows["op"] = np.where(missing, int(Op.ADD), int(Op.MODIFY))
    return np.where(back, 2, 3), rows


# Noise and momentum ---------------------------------------------------------------------------------------------------


def _leave(crowd: Crowd, acting: Acting) -> tuple[Ints, Inputs]:
    """Who rests takes the order away where conditions have changed."""
    at = acting.place[crowd.renew[acting.place]]
    row, slot = np.nonzero(crowd.left[at][:, _PASSIVE])
    return _inputs(Op.CANCEL, at[row], 2 * LADDER + slot, rank=2)


def _rest(crowd: Crowd, acting: Acting, uniform: Floats, random: np.random.Generator) -> tuple[Ints, Inputs]:
    """Somebody puts a limit order near the touch, or takes one away."""
    row = np.flatnonzero(uniform < P_REST)
    at, k = acting.place[row], len(row)
    slot = 2 * LADDER + random.integers(0, RESTING, k)
    side = random.integers(0, 2, k)
    spread, gap = (crowd.ask - crowd.bid)[at], acting.gap[row]
    # Behind the touch, or inside a spread that has room.
    behind = np.floor(random.exponential(2.0, k) * gap).astype(np.int64)
    inside = random.random(k) < 0.25 * (1 - 1 / np.maximum(1, spread)) ** 2
    behind = np.where(inside, -1 - random.integers(0, 1 << 30, k) % np.maximum(1, spread // 2), behind)
    price = np.maximum(1, np.where(side == BUY, crowd.bid[at] - behind, crowd.ask[at] + behind))
    size = lots(acting.size[row] * REST_SHARE, REST_SIGMA, random.standard_normal(k))
    taken = crowd.left[at, slot] > 0
    _, rows = _inputs(0, at, slot, side, price, size)
    rows["op"] = np.where(taken, int(Op.CANCEL), int(Op.ADD))
    return np.where(taken, 2, 4), rows


def _take(crowd: Crowd, acting: Acting, uniform: Floats, random: np.random.Generator) -> tuple[Ints, Inputs]:
    """Somebody buys or sells at the market."""
    row = np.flatnonzero(uniform < P_NOISE)
    at, k = acting.place[row], len(row)
    turned = random.random((k, len(MEMORY_TRADES))) < 1 / MEMORY_TRADES
    crowd.directions[at] = np.where(turned, -crowd.directions[at], crowd.directions[at])
    scale = np.searchsorted(_SHARES, random.random(k), side="right")
    coin = np.where(random.random(k) < 0.5, 1, -1)
    known = crowd.directions[at, np.minimum(scale, len(MEMORY_SHARES) - 1)]
    remembered = np.where(scale < len(MEMORY_SHARES), known, coin)
    middle = (crowd.bid[at] + crowd.ask[at]) / 2
    drawn = PULL * np.clip((acting.fair[row] - middle) / np.maximum(1, acting.spread[row]), -2, 2)
    pulled = random.random(k) < np.abs(drawn)
    direction = np.where(pulled, np.sign(drawn).astype(np.int64), remembered)
    size = lots(acting.size[row] * TAKE_SHARE, TAKE_SIGMA, random.standard_normal(k))
    size = np.minimum(size, np.maximum(1, np.rint(TAKE_MOST * acting.size[row])).astype(np.int64))
    return _at_market(crowd, acting, row, NOISE, direction, size, 0)


def _follow(crowd: Crowd, acting: Acting, uniform: Floats) -> tuple[Ints, Inputs]:
    """Momentum traders buy what rises, sell what falls, and give back what has stopped to."""
    at = acting.place
    trend, held = crowd.trend[at], crowd.position[at, MAKERS + 1]
    limit = MOMENTUM_SIZES * acting.size
    way = np.where(np.abs(trend) > TREND_ENTER, np.sign(trend), 0).astype(np.int64)
    way = np.where(way * held >= limit, 0, way)
    leave = (held != 0) & (trend * np.sign(held) < TREND_LEAVE)
    way = np.where(leave, -np.sign(held), way)
    row = np.flatnonzero((uniform < P_MOMENTUM) & (way != 0))
    size = np.maximum(1, np.rint(0.25 * acting.size[row])).astype(np.int64)
    size = np.where(leave[row], np.minimum(size, np.abs(held[row])), size)
    return _at_market(crowd, acting, row, MOMENTUM, way[row], size, 1)


def _at_market(
    crowd: Crowd, acting: Acting, row: NDArray[np.intp], slot: int, direction: Ints, size: Ints, rank: int
) -> tuple[Ints, Inputs]:
    at = acting.place[row]
    reach = SWEEP_SPREADS * np.maximum(1, np.rint(acting.spread[row])).astype(np.int64)
    worst = np.where(direction > 0, crowd.ask[at] + reach, np.maximum(1, crowd.bid[at] - reach))
    side = np.where(direction > 0, BUY, SELL)
    return _inputs(Op.ADD, at, np.full(len(at), slot), side, worst, size, int(Kind.IOC), rank)
