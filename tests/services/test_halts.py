"""The kill switch in all its scopes: what ends, what goes on, and what nobody gets past."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import psycopg
import pytest
from trading_floor import TradingFloor, refusal

from trading.domain.errors import Conflict, Halted, Invalid, NotFound
from trading.domain.orders import Acceptance, OrderType, Side, Ticket
from trading.exchange.codec import decode, encode
from trading.exchange.messages import Halt, Input
from trading.processes.halt_file import HaltFile, reason_of
from trading.services import halt, night
from trading.services.access import SYSTEM, Actor
from trading.services.tickets import decide


def stop(floor: TradingFloor, scope: str, mode: str = "halted") -> None:
    halt.set_mode(floor.floor, SYSTEM, scope, mode, "" if mode == "running" else "a drill")


def scopes(floor: TradingFloor) -> dict[str, str]:
    return {each["scope"]: each["mode"] for each in halt.current(floor.floor, SYSTEM)}


def test_a_halt_of_a_strategy_ends_its_orders_and_leaves_the_trader_to_trade(floor: TradingFloor) -> None:
    floor.quote("99.99", "100.00")
    mine = floor.accepted("buy", "1", "99.00").order_id
    robots = [floor.accepted("buy", "1", "99.00", strategy="mean-reversion").order_id for _ in range(2)]
    group = floor.accepted(
        "buy", "2", "99.00", take_profit="110.00", stop_loss="90.00", strategy="mean-reversion"
    ).group
    other = floor.accepted("buy", "1", "99.00", strategy="trend").order_id
    floor.run_broker()
    late = floor.accepted("buy", "1", "99.00", strategy="mean-reversion").order_id  # has not reached the exchange
    pair = floor.accepted("buy", "1", stop_price="101.00", oco_limit="98.00", strategy="mean-reversion").group
    stop(floor, "strategy:mean-reversion")
    assert refusal(floor.order("buy", "1", "99.00", strategy="mean-reversion")) == "halted"
    floor.accepted("buy", "1", "99.00", strategy="trend")
    floor.run_broker()
    ended = {order_id: floor.state(order_id) for order_id in (*robots, *group, late, *pair)}
    assert {state for state, _, _ in ended.values()} == {"cancelled", "rejected"}
    assert {ended[order_id] for order_id in robots} == {("cancelled", 0, "halted")}
    assert {ended[order_id] for order_id in (late, *pair)} == {("rejected", 0, "halted")}
    assert floor.state(mine)[0] == floor.state(other)[0] == "working"
    floor.check()
    # Once it runs again it may send again; what had ended stays so, and the night gets the same from the log.
    stop(floor, "strategy:mean-reversion", "running")
    floor.accepted("buy", "1", "99.00", strategy="mean-reversion")
    floor.restart_broker()
    floor.run_broker()
    assert night.replay(floor.floor, SYSTEM).ok
    floor.check()


def test_a_halt_of_a_portfolio_ends_its_orders_alone_also_over_a_restart(floor: TradingFloor) -> None:
    other = floor.add_trader("theo", "5000.00")
    floor.quote("99.99", "100.00")
    mine, theirs = floor.accepted("buy", "1", "99.00").order_id, floor.accepted("buy", "1", "99.00", who=other).order_id
    floor.run_broker()
    late = floor.accepted("buy", "1", "99.00").order_id
    waiting = floor.store.waiting_commands(10)
    stop(floor, f"portfolio:{floor.portfolio}")
    # The broker hears of the halt first, then dies before the order comes.
    halts = [command for command in floor.store.waiting_commands(10) if command.kind == "halt"]
    floor.run_broker(commands=halts)
    floor.broker.snapshot(floor.clock.now_ns())
    floor.restart_broker()
    assert [command.order_id for command in waiting] == [late]
    floor.run_broker()
    assert floor.state(mine) == ("cancelled", 0, "halted")
    assert floor.state(late) == ("rejected", 0, "halted")
    assert floor.state(theirs)[0] == "working"
    assert floor.cash()[1] == 0
    floor.check()


@pytest.mark.parametrize("kind", ["floor", "portfolio", "strategy", "user", "instrument"])
def test_the_database_itself_refuses_orders_and_fills_in_a_halted_scope(rich: TradingFloor, kind: str) -> None:
    """By a desk that forgets to ask, and a broker that has not heard."""
    names = {"portfolio": rich.portfolio, "strategy": "robot", "user": rich.trader.user_id, "instrument": rich.aapl.id}
    scope = f"{kind}:{names[kind]}" if kind in names else kind
    keys = count()

    def forgetful(side: Side) -> object:
        ticket = Ticket("AAPL", side, OrderType.LIMIT, "1", "99.00", strategy="robot")
        now_ns = rich.clock.now_ns()
        return rich.floor.desk.submit(
            rich.trader.user_id, rich.portfolio, f"forgetful-{next(keys)}", ticket,
            lambda context: decide(replace(context, halts={}), ticket, None, now_ns), now_ns, "test",
        )  # fmt: skip

    resting = rich.accepted("buy", "1", "99.00", strategy="robot")
    rich.run_broker()
    assert isinstance(forgetful(Side.BUY), Acceptance)
    stop(rich, scope, "reducing")
    assert isinstance(forgetful(Side.SELL), Acceptance)
    with pytest.raises(Halted):
        forgetful(Side.BUY)
    fills = rich.query("select count(*) from fill")
    stop(rich, scope)
    for side in Side:
        with pytest.raises(Halted):
            forgetful(side)
    with pytest.raises(Halted):
        rich.broker.advance(rich.clock.now_ns(), rich.quoted("98.00", "98.50"), [])
    assert rich.query("select count(*) from fill") == fills
    rich.broker.restore(rich.clock.now_ns())
    rich.run_broker()
    assert rich.state(resting.order_id) == ("cancelled", 0, "halted")
    rich.check()


def test_reducing_takes_what_closes_in_any_scope(rich: TradingFloor) -> None:
    for scope in (f"portfolio:{rich.portfolio}", "strategy:robot"):
        stop(rich, scope, "reducing")
        assert refusal(rich.order("buy", "1", strategy="robot")) == "halted"
        rich.accepted("sell", "1", strategy="robot")
        stop(rich, scope, "running")
    rich.accepted("buy", "1", strategy="robot")


def test_a_trader_is_told_of_what_concerns_everybody_or_oneself(floor: TradingFloor) -> None:
    theo, portfolio = floor.add_trader("theo", "0")
    for scope in (f"user:{floor.trader.user_id}", f"portfolio:{floor.portfolio}", "strategy:robot"):
        stop(floor, scope)

    def told(who: Actor) -> list[str]:
        return [each["name"] for each in halt.current(floor.floor, who)]

    assert told(floor.trader) == ["Main of tina", "robot", "tina"]
    assert told(theo) == ["robot"]
    stop(floor, f"portfolio:{portfolio}")
    assert told(theo) == ["Main of theo", "robot"]


def test_a_halt_in_the_log_names_the_orders_it_ends() -> None:
    inputs = [Input(1, 1, Halt("strategy:x", "halted", (4, 7))), Input(2, 2, Halt("floor", "running"))]
    assert list(decode(encode(inputs))) == inputs


def test_a_scope_is_written_as_people_know_it(floor: TradingFloor) -> None:
    def of(words: str) -> str:
        return halt.scope_of(floor.floor, SYSTEM, words)

    assert of(" user:Tina ") == f"user:{floor.trader.user_id}"
    assert of("instrument:aapl") == f"instrument:{floor.aapl.id}"
    assert (of("user:7"), of("strategy:x"), of("floor")) == ("user:7", "strategy:x", "floor")
    for words in ("user:nobody", "instrument:NOPE"):
        with pytest.raises(NotFound):
            of(words)
    for scope in ("strategy:", "strategy:a b", "portfolio:x", "everything", "floor "):
        with pytest.raises(Invalid):
            stop(floor, scope)


def test_the_file_halts_and_while_it_is_there_nobody_resumes(floor: TradingFloor, tmp_path: Path) -> None:
    watch = HaltFile(tmp_path, lambda: floor.database.dsn("tf_app"), floor.clock)
    watch.look()
    assert scopes(floor) == {}
    (tmp_path / "HALT").write_text("  smoke in the server room\nsecond line\n")
    watch.look()
    (told,) = halt.current(floor.floor, SYSTEM)
    assert (told["scope"], told["mode"], told["set_by"], told["by_file"]) == ("floor", "halted", "system", True)
    assert told["reason"] == "smoke in the server room\nsecond line"
    assert floor.query("select origin, subject from audit where action = 'halt.set'") == [("file", "floor")]
    for mode in ("running", "reducing"):
        with pytest.raises(Conflict, match="HALT") as error:
            stop(floor, "floor", mode)
        assert error.value.code == "halt_file"
    # A supervisor that starts anew finds it again; that the file goes opens nothing.
    again = HaltFile(tmp_path, lambda: floor.database.dsn("tf_app"), floor.clock)
    again.look()
    assert floor.query("select count(*) from command where kind = 'halt'") == [(1,)]
    (tmp_path / "HALT").unlink()
    again.look()
    assert scopes(floor) == {"floor": "halted"}
    stop(floor, "floor", "running")
    assert scopes(floor) == {}


def test_a_file_that_cannot_be_read_halts_and_an_empty_one_too(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "HALT") is None
    (tmp_path / "HALT").mkdir()
    assert "can't be read" in (reason_of(tmp_path / "HALT") or "")
    (tmp_path / "HALT").rmdir()
    (tmp_path / "HALT").touch()
    assert "HALT" in (reason_of(tmp_path / "HALT") or "")


def test_the_file_is_told_of_until_the_database_has_heard(floor: TradingFloor, tmp_path: Path) -> None:
    where = ["postgresql://nobody@127.0.0.1:9/none"]
    watch = HaltFile(tmp_path, lambda: where[0], floor.clock)
    (tmp_path / "HALT").write_text("smoke")
    with pytest.raises(psycopg.Error):
        watch.look()
    where[0] = floor.database.dsn("tf_app")
    watch.look()
    assert scopes(floor) == {"floor": "halted"}
