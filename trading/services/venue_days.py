"""When the trading day of an instrument ends, by the calendar of its profile."""

from collections.abc import Callable, Mapping

from trading.market.sessions import CONTINUOUS, HoursMode, session_end_ns


class VenueDays:
    """A `trading.services.command_inputs.DayEnd`.

    ``calendars`` reads the calendar of every instrument; it is asked again for an instrument that is new. One without a
    calendar is taken for a market that never closes.
    """

    def __init__(self, calendars: Callable[[], Mapping[int, str]], mode: HoursMode) -> None:
        self._calendars, self._mode = calendars, mode
        self._known: dict[int, str] = {}

    def __call__(self, instrument_id: int, ts_ns: int) -> int:
        """UTC ns."""
        if instrument_id not in self._known:
            self._known = {instrument_id: CONTINUOUS, **self._calendars()}
        return session_end_ns(self._known[instrument_id], self._mode, ts_ns)
