import psycopg
from shared_servers import Database

from trading.domain.orders import OPEN, TERMINAL, TRANSITIONS, OrderState, may_become


def test_the_database_holds_the_same_table_of_transitions(database: Database) -> None:
    with psycopg.connect(database.dsn()) as connection:
        rows = connection.execute("select source, target from order_transition").fetchall()
    assert set(rows) == {(source, target) for source, targets in TRANSITIONS.items() for target in targets}


def test_what_is_over_stays_over() -> None:
    assert {"filled", "rejected", "cancelled", "expired"} == TERMINAL
    assert not any(may_become(state, target) for state in TERMINAL for target in OrderState)


def test_every_open_state_can_end() -> None:
    def reaches_end(state: OrderState, seen: frozenset[OrderState]) -> bool:
        if state in TERMINAL:
            return True
        return any(reaches_end(target, seen | {state}) for target in TRANSITIONS[state] - seen)

    assert all(reaches_end(state, frozenset()) for state in OPEN)


def test_a_fill_while_a_cancel_is_pending_is_legal() -> None:
    assert may_become(OrderState.CANCEL_PENDING, OrderState.FILLED)
