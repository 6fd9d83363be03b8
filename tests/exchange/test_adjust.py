"""A split on the books: orders keep their places, and what had two prices may have one."""

from trading.exchange.engine import Engine
from trading.exchange.messages import SELL, Action, Adjusted, Closed, Input, Submit, Tick


def stop(order_id: int, ticks: int) -> Submit:
    return Submit(order_id, 1, order_id, 1, SELL, True, "gtc", 10, 9_000, trigger="stop", stop_ticks=ticks)


def test_stops_that_meet_at_one_price_stand_by_arrival_and_trigger_together() -> None:
    engine = Engine()
    engine.apply(Input(1, 1, Tick(1, 1, 0, 1, 1, 9_999, 10_000, 50, 50, 0, 0)))
    engine.apply(Input(2, 2, stop(1, 9_501)))
    engine.apply(Input(3, 3, stop(2, 9_502)))  # nearer, and later
    engine.apply(Input(4, 4, stop(3, 9_400)))
    changes = ((1, 4_500, 20, 0, 4_751, 0), (2, 4_500, 20, 0, 4_751, 0))
    told = engine.apply(Input(5, 5, Action(1, 1, 2, 1, 0, (3,), changes)))
    assert told == [Closed(3, "cancelled", "corporate_action"), *(Adjusted(*change) for change in changes)]
    assert Engine.load(engine.save()).save() == engine.save()
    engine.apply(Input(6, 6, Tick(1, 2, 0, 2, 6, 0, 0, 0, 0, 4_751, 1)))
    filled = engine.apply(Input(7, 7, Tick(1, 1, 0, 3, 7, 4_750, 4_752, 50, 50, 0, 0)))
    assert [(event.order_id, event.lots) for event in filled] == [(1, 20), (2, 20)]  # type: ignore[union-attr]
