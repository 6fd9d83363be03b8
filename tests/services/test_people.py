"""Logins, sessions, throttle, and what an admin does to people."""

import threading
import time
from datetime import timedelta

import pytest
from trading_floor import TradingFloor

from trading.domain.errors import Forbidden, Invalid, NotFound, TradefloorError
from trading.domain.orders import Refusal
from trading.services import audit, people
from trading.services.access import SYSTEM, Actor, Role
from trading.services.people import Login
from trading.services.ports.audit import AuditFilter
from trading.services.ports.people import User

PASSWORD = "correct horse battery"


def add(floor: TradingFloor, name: str, role: str = "trader") -> User:
    return people.create_user(floor.floor, SYSTEM, name, name.title(), role, PASSWORD)


def log_in(floor: TradingFloor, name: str, password: str = PASSWORD) -> Login | Refusal:
    return people.login(floor.floor, name, password, "test", "pytest")


def token(floor: TradingFloor, name: str) -> str:
    answer = log_in(floor, name)
    assert isinstance(answer, Login), answer
    return answer.token


def admin(floor: TradingFloor, name: str = "boss") -> Actor:
    user = add(floor, name, "admin")
    return Actor(user.id, name, Role.ADMIN)


def audited(floor: TradingFloor, action: str) -> int:
    return int(floor.query("select count(*) from audit where action = %s", action)[0][0])


def test_a_right_password_opens_a_session_that_names_its_user(floor: TradingFloor) -> None:
    user = add(floor, "ann", "observer")
    actor = people.actor_of(floor.floor, token(floor, " ANN "), "app 10.0.0.1")
    assert (actor.user_id, actor.username, actor.role, actor.origin) == (user.id, "ann", Role.OBSERVER, "app 10.0.0.1")


def test_the_database_keeps_neither_token_nor_password(floor: TradingFloor) -> None:
    add(floor, "ann")
    opened = token(floor, "ann")
    kept = repr(floor.query("select * from app_session")) + repr(floor.query("select * from app_user"))
    assert opened not in kept
    assert opened.encode().hex() not in kept
    assert PASSWORD not in kept
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in kept


def test_unknown_names_wrong_passwords_and_disabled_logins_get_one_answer_that_costs_one_hash(
    floor: TradingFloor,
) -> None:
    add(floor, "ann")
    out = add(floor, "out")
    people.set_disabled(floor.floor, SYSTEM, out.id, True)
    log_in(floor, "warm-up", "x")
    costs, answers = [], []
    for name, password in (("ann", "wrong wrong"), ("nobody", "wrong wrong"), ("out", PASSWORD)):
        began = time.thread_time()
        answers.append(log_in(floor, name, password))
        costs.append(time.thread_time() - began)
    assert answers == [Refusal("wrong_login", answers[0].reason)] * 3
    assert min(costs) > 0.2 * max(costs), costs


def test_after_five_failures_a_name_waits_ever_longer_but_never_more_than_a_minute(floor: TradingFloor) -> None:
    add(floor, "ann")
    waits = []
    for attempt in range(12):
        assert log_in(floor, "ann", "wrong wrong") == people._WRONG, attempt
        answer = log_in(floor, "ann")
        if isinstance(answer, Login):
            pytest.fail("the right password was let in during the wait") if waits else None
            floor.query("update login_attempt set failures = %s where username = 'ann'", attempt + 1)
            continue
        assert answer.code == "wait"
        waits.append(int(answer.numbers["wait_s"]))
        floor.clock.advance(waits[-1] + 0.5)
    assert waits == sorted(waits)
    assert waits[0] == 2
    assert waits[-1] == 60
    assert isinstance(log_in(floor, "ann"), Login)
    assert log_in(floor, "ann", "wrong wrong") == people._WRONG  # success has cleared the count
    assert isinstance(log_in(floor, "ann"), Login)


def test_failures_are_forgotten_after_a_quiet_quarter_of_an_hour(floor: TradingFloor) -> None:
    add(floor, "ann")
    for _ in range(4):
        log_in(floor, "ann", "wrong wrong")
    floor.clock.advance(timedelta(minutes=16).total_seconds())
    for _ in range(4):
        assert log_in(floor, "ann", "wrong wrong") == people._WRONG
    assert isinstance(log_in(floor, "ann"), Login)


@pytest.mark.parametrize("end", ["logout", "disable", "password", "role", "time"])
def test_a_session_is_over_at_once(floor: TradingFloor, end: str) -> None:
    user = add(floor, "ann")
    opened = token(floor, "ann")
    people.actor_of(floor.floor, opened, "app")
    if end == "logout":
        people.logout(floor.floor, opened)
    elif end == "disable":
        people.set_disabled(floor.floor, SYSTEM, user.id, True)
    elif end == "password":
        people.set_password(floor.floor, SYSTEM, user.id, "another password")
    elif end == "role":
        people.set_role(floor.floor, SYSTEM, user.id, "observer")
    else:
        floor.clock.advance(people.SESSION_LIFETIME.total_seconds() + 1)
    with pytest.raises(Forbidden) as refused:
        people.actor_of(floor.floor, opened, "app")
    assert refused.value.code == "no_session"


def test_a_disabled_login_can_be_enabled_but_its_old_sessions_stay_dead(floor: TradingFloor) -> None:
    user = add(floor, "ann")
    opened = token(floor, "ann")
    people.set_disabled(floor.floor, SYSTEM, user.id, True)
    people.set_disabled(floor.floor, SYSTEM, user.id, False)
    with pytest.raises(Forbidden):
        people.actor_of(floor.floor, opened, "app")
    assert isinstance(log_in(floor, "ann"), Login)


def test_a_login_code_works_once_for_thirty_seconds_and_is_no_token(floor: TradingFloor) -> None:
    add(floor, "ann")
    code = people.begin_login(floor.floor, "ann", PASSWORD, "app")
    assert isinstance(code, str)
    with pytest.raises(Forbidden):
        people.actor_of(floor.floor, code, "app")
    opened = people.finish_login(floor.floor, code, "pytest")
    assert isinstance(opened, Login)
    assert people.actor_of(floor.floor, opened.token, "app").username == "ann"
    assert isinstance(people.finish_login(floor.floor, code, "pytest"), Refusal)
    assert isinstance(people.finish_login(floor.floor, opened.token, "pytest"), Refusal)
    late = people.begin_login(floor.floor, "ann", PASSWORD, "app")
    assert isinstance(late, str)
    floor.clock.advance(31)
    assert isinstance(people.finish_login(floor.floor, late, "pytest"), Refusal)


def test_a_code_is_worth_nothing_once_its_user_is_disabled(floor: TradingFloor) -> None:
    user = add(floor, "ann")
    code = people.begin_login(floor.floor, "ann", PASSWORD, "app")
    people.set_disabled(floor.floor, SYSTEM, user.id, True)
    assert isinstance(code, str)
    assert isinstance(people.finish_login(floor.floor, code, "pytest"), Refusal)


def test_one_code_given_twice_at_once_opens_one_session(floor: TradingFloor) -> None:
    add(floor, "ann")
    code = people.begin_login(floor.floor, "ann", PASSWORD, "app")
    assert isinstance(code, str)
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(people.finish_login(floor.floor, code, "x"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, Login) for answer in answers) == 1


def test_people_change_their_own_password_with_the_old_one(floor: TradingFloor) -> None:
    add(floor, "ann")
    actor = people.actor_of(floor.floor, token(floor, "ann"), "app")
    refused = people.change_own_password(floor.floor, actor, "not the old one", "a brand new one")
    assert isinstance(refused, Refusal)
    assert refused.code == "wrong_login"
    assert people.change_own_password(floor.floor, actor, PASSWORD, "a brand new one") is None
    assert isinstance(log_in(floor, "ann"), Refusal)
    assert isinstance(log_in(floor, "ann", "a brand new one"), Login)


@pytest.mark.parametrize(
    ("name", "role", "password", "code"),
    [
        ("a", "trader", PASSWORD, "bad_username"),
        ("a b", "trader", PASSWORD, "bad_username"),
        ("=cmd()", "trader", PASSWORD, "bad_username"),
        ("x" * 41, "trader", PASSWORD, "bad_username"),
        ("ann", "system", PASSWORD, "bad_role"),
        ("ann", "god", PASSWORD, "bad_role"),
        ("ann", "trader", "short", "weak_password"),
        ("ann", "trader", " " + PASSWORD, "weak_password"),
        ("ann", "trader", "x" * 1001, "weak_password"),
        ("tina", "trader", PASSWORD, "username_taken"),
        ("TINA", "trader", PASSWORD, "username_taken"),
    ],
)
def test_a_login_that_cannot_be_is_refused_and_leaves_nothing(
    floor: TradingFloor, name: str, role: str, password: str, code: str
) -> None:
    before = audited(floor, "create_user")
    with pytest.raises(Invalid) as refused:
        people.create_user(floor.floor, SYSTEM, name, "Somebody", role, password)
    assert refused.value.code == code
    assert [user.username for user in people.users(floor.floor, SYSTEM)] == ["tina"]
    assert audited(floor, "create_user") == before


def test_the_last_admin_stays(floor: TradingFloor) -> None:
    boss = admin(floor)
    with pytest.raises(Invalid, match="own login"):
        people.set_disabled(floor.floor, boss, boss.user_id, True)
    for deed in (
        lambda: people.set_disabled(floor.floor, SYSTEM, boss.user_id, True),
        lambda: people.set_role(floor.floor, SYSTEM, boss.user_id, "trader"),
    ):
        with pytest.raises(Invalid) as refused:
            deed()
        assert refused.value.code == "last_admin"


def test_two_admins_who_demote_each_other_at_once_leave_one(floor: TradingFloor) -> None:
    first, second = admin(floor, "boss"), admin(floor, "chief")
    start = threading.Barrier(2)

    def demote(by: Actor, whom: Actor) -> None:
        start.wait()
        try:
            people.set_role(floor.floor, by, whom.user_id, "observer")
        except TradefloorError:
            return

    threads = [threading.Thread(target=demote, args=pair) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [user.role for user in people.users(floor.floor, SYSTEM)].count("admin") == 1


def test_a_new_portfolio_has_its_cash_account_and_the_limits_of_its_owners_tier(floor: TradingFloor) -> None:
    owner = add(floor, "ann")
    made = people.create_portfolio(floor.floor, SYSTEM, owner.id, " Growth ")
    assert (made.name, made.owner, made.currency, made.kind) == ("Growth", "Ann", "USD", "cash")
    assert floor.query("select posted, held, floor_zero from account where portfolio_id = %s", made.id) == [
        (0, 0, True)
    ]
    assert floor.query("select tier from app_user where id = %s", owner.id) == [("standard",)]
    watcher = add(floor, "oli", "observer")
    for owner_id, name, currency, code in (
        (watcher.id, "X", "USD", "not_a_trader"),
        (owner.id, "  ", "USD", "bad_name"),
        (owner.id, "X", "XYZ", "unknown_currency"),
    ):
        with pytest.raises(Invalid) as refused:
            people.create_portfolio(floor.floor, SYSTEM, owner_id, name, currency)
        assert refused.value.code == code


def test_sight_of_a_portfolio_is_given_to_observers_and_taken_back(floor: TradingFloor) -> None:
    watcher = add(floor, "oli", "observer")
    seen = Actor(watcher.id, "oli", Role.OBSERVER)
    assert people.portfolios(floor.floor, seen) == []
    people.grant(floor.floor, SYSTEM, floor.portfolio, watcher.id)
    people.grant(floor.floor, SYSTEM, floor.portfolio, watcher.id)
    assert [each.id for each in people.portfolios(floor.floor, seen)] == [floor.portfolio]
    assert [(each["observer"], each["owner"]) for each in people.grants(floor.floor, SYSTEM)] == [("Oli", "Tina")]
    with pytest.raises(Invalid) as refused:
        people.grant(floor.floor, SYSTEM, floor.portfolio, floor.trader.user_id)
    assert refused.value.code == "not_an_observer"
    people.revoke_grant(floor.floor, SYSTEM, floor.portfolio, watcher.id)
    assert people.portfolios(floor.floor, seen) == []
    with pytest.raises(NotFound):
        people.revoke_grant(floor.floor, SYSTEM, floor.portfolio, watcher.id)


def test_every_deed_leaves_its_line_in_the_audit_trail_and_can_be_found(floor: TradingFloor) -> None:
    boss = admin(floor)
    user = people.create_user(floor.floor, boss, "ann", "Ann", "observer", PASSWORD)
    people.set_password(floor.floor, boss, user.id, "another password")
    people.grant(floor.floor, boss, floor.portfolio, user.id)
    people.revoke_grant(floor.floor, boss, floor.portfolio, user.id)
    people.set_role(floor.floor, boss, user.id, "trader")
    people.set_disabled(floor.floor, boss, user.id, True)
    log_in(floor, "ann", "wrong wrong")
    newest = audit.search(floor.floor, boss, AuditFilter(), limit=8).rows
    trail = [(row["username"], row["action"], row["result"]) for row in newest if row["action"] != "access.portfolio"]
    assert trail == [
        ("ann", "login", "refused"),
        ("boss", "disable_user", "ok"),
        ("boss", "set_role", "ok"),
        ("boss", "revoke_grant", "ok"),
        ("boss", "grant", "ok"),
        ("boss", "set_password", "ok"),
        ("boss", "create_user", "ok"),
    ]
    found = audit.search(floor.floor, boss, AuditFilter(text="set_rol")).rows
    assert [row["action"] for row in found] == ["set_role"]
    assert audit.search(floor.floor, boss, AuditFilter(text="%")).rows == []


def test_new_passwords_are_long_and_never_the_same() -> None:
    made = {people.new_password() for _ in range(200)}
    assert len(made) == 200
    assert all(len(password.replace("-", "")) == 20 for password in made)
