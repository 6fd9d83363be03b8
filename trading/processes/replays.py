"""Replays inside the market process: another source of prices, in place of the simulator for some instruments.

``tradefloor market replay`` turns files into a recording, lays it into the replays' folder and asks for it over the
bus; here it is mapped into memory (and its name removed at once), played into the feed, and steered by further
requests. The instrument is the simulator's again when the records are over or somebody stops the replay.

Nothing of this survives the process: a market that starts anew starts with its simulator.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from trading.adapters.redis_bus import RedisBus
from trading.domain.errors import Invalid, NotFound
from trading.market import replay
from trading.market.replay import Playback, Recording
from trading.market.ticks import TICK
from trading.processes.market_feed import Feed

log = structlog.get_logger()

FOLDER = "replay"
_NAME = re.compile(r"[0-9a-f]{32}\.ticks")
LISTEN_NS = 25_000_000
TELL_NS = 250_000_000
FLUSH_NS = 1_000_000
"""Records that are due within this are published together."""
ANSWERS_KEPT = 32


@dataclass(slots=True)
class _Playing:
    """One instrument's replay."""

    symbol: str
    title: str
    recording: Recording
    playback: Playback
    published: int = 0

    def as_json(self, now_ns: int) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "title": self.title,
            "state": "paused" if self.playback.paused else "playing",
            "speed": self.playback.speed,
            "position_ns": replay.position_ns(self.recording, self.playback, now_ns),
            "first_ns": self.recording.first_ns,
            "last_ns": self.recording.last_ns,
            "played": self.playback.at,
            "records": len(self.recording.ticks),
            "published": self.published,
        }


class Replays:
    """Everything belongs to the market's main thread. ``changed`` is told which instruments were given back, if any."""

    def __init__(self, feed: Feed, bus: RedisBus, folder: Path, changed: Callable[[frozenset[int]], None]) -> None:
        self._feed, self._bus, self._folder, self._changed = feed, bus, folder, changed
        self._ids = {unit.symbol: instrument_id for instrument_id, unit in feed.units.items()}
        self._playing: dict[int, _Playing] = {}
        self._over: dict[str, dict[str, Any]] = {}
        self._answers: dict[str, str] = {}
        self._heard: str | None = None
        self._listen_ns = self._tell_ns = 0
        self.wait_s = 0.0
        """How long nothing need be done here, in seconds, as of the last step."""
        for left in folder.glob("*.ticks"):
            left.unlink(missing_ok=True)

    def step(self, now_ns: int) -> None:
        """Publish what is due, hear what is asked, tell how far it is."""
        over = []
        for instrument_id, each in self._playing.items():
            each.playback, records = replay.advance(each.recording, each.playback, now_ns)
            each.published += len(records)
            self._feed.publish(records, replayed=True)
            if replay.is_over(each.recording, each.playback):
                over.append(instrument_id)
        if over:
            self._give_back(over, now_ns)
        if now_ns - self._listen_ns >= LISTEN_NS:
            self._listen_ns = now_ns
            self._listen(now_ns)
        if now_ns - self._tell_ns >= TELL_NS:
            self._tell(now_ns)
        waits = [replay.wait_ns(each.recording, each.playback, now_ns) for each in self._playing.values()]
        due_ns = min((wait_ns for wait_ns in waits if wait_ns is not None), default=LISTEN_NS)
        self.wait_s = min(LISTEN_NS, max(FLUSH_NS, due_ns)) / 1e9

    def close(self) -> None:
        """The process ends: the simulator has every instrument when it comes back."""
        self._feed.taken, self._playing = frozenset(), {}

    def _tell(self, now_ns: int) -> None:
        self._tell_ns = now_ns
        playing = [each.as_json(now_ns) for each in self._playing.values()]
        self._bus.put_replays({"v": 1, "answers": self._answers, "replays": [*playing, *self._over.values()]})

    # Requests ---------------------------------------------------------------------------------------------------------

    def _listen(self, now_ns: int) -> None:
        if self._heard is None:
            # Requests of before this process are nobody's any more.
            self._heard = next((name for name, _ in self._bus.asked_of_market(None)), None)
            return
        for name, text in self._bus.asked_of_market(self._heard):
            self._heard = name
            try:
                request = json.loads(text)
                self._do(request, now_ns)
                self._answers[name] = ""
                log.info("market.replay_asked", request=request)
            except (Invalid, NotFound) as error:
                self._answers[name] = str(error)
            except (ValueError, KeyError, TypeError, OSError) as error:
                self._answers[name] = "the market process did not understand that"
                log.warning("market.replay_not_understood", error=str(error))
            self._answers = dict(list(self._answers.items())[-ANSWERS_KEPT:])
            self._tell(now_ns)

    def _do(self, request: dict[str, Any], now_ns: int) -> None:
        match request["do"]:
            case "replay":
                self._begin(request, now_ns)
            case "stop":
                self._give_back([instrument_id for instrument_id, _ in self._meant(request)], now_ns)
            case "pause" | "play" as word:
                change = replay.pause if word == "pause" else replay.play
                for _, each in self._meant(request):
                    each.playback = change(each.recording, each.playback, now_ns)
            case "speed":
                speed = replay.checked_speed(float(request["speed"]))
                for _, each in self._meant(request):
                    each.playback = replay.at_speed(each.recording, each.playback, speed, now_ns)
            case "seek":
                to_ns, meant = int(request["to_ns"]), self._meant(request)
                sought = [replay.seek(each.recording, each.playback, to_ns, now_ns) for _, each in meant]
                for (_, each), playback in zip(meant, sought, strict=True):
                    each.playback = playback
            case other:
                raise ValueError(f"cannot {str(other)[:40]!r}")

    def _meant(self, request: dict[str, Any]) -> list[tuple[int, _Playing]]:
        """The replay of the symbol that was named, or all; `NotFound` where there is none."""
        symbol = request.get("symbol")
        found = [(key, each) for key, each in self._playing.items() if symbol in (None, each.symbol)]
        if not found:
            raise NotFound("nothing is being replayed" if symbol is None else f"nothing is being replayed as {symbol}")
        return found

    def _begin(self, request: dict[str, Any], now_ns: int) -> None:
        symbol, name = str(request["symbol"]), str(request["file"])
        if not _NAME.fullmatch(name):
            raise ValueError("not the name of a recording")
        path = self._folder / name
        try:
            instrument_id = self._ids.get(symbol)
            if instrument_id is None:
                raise NotFound(f"the venue has no instrument {symbol[:40]}")
            ticks = np.memmap(path, dtype=TICK, mode="r")
            if (ticks["instrument_id"] != instrument_id).any():
                raise ValueError("records of another instrument")
            recording = Recording.of(ticks)
            from_ns = request.get("from_ns")
            playback = replay.begin(
                recording,
                now_ns,
                from_ns=None if from_ns is None else int(from_ns),
                speed=float(request["speed"]),
                paused=bool(request["paused"]),
            )
        finally:
            # It lives on as long as it is mapped.
            path.unlink(missing_ok=True)
        self._over.pop(symbol, None)
        self._playing[instrument_id] = _Playing(symbol, str(request["title"])[:200], recording, playback)
        self._take(frozenset())

    def _give_back(self, instrument_ids: list[int], now_ns: int) -> None:
        for instrument_id in instrument_ids:
            each = self._playing.pop(instrument_id)
            ended = replay.is_over(each.recording, each.playback)
            self._over[each.symbol] = {**each.as_json(now_ns), "state": "over" if ended else "stopped"}
            log.info("market.replay_over", symbol=each.symbol, published=each.published)
        self._take(frozenset(instrument_ids))
        self._tell(now_ns)

    def _take(self, given_back: frozenset[int]) -> None:
        self._feed.taken = frozenset(self._playing)
        self._changed(given_back)
