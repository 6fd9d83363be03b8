"""The app as people see it: a real floor, a real browser."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from live_floor import LiveFloor
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gateway.sessions import COOKIE
from trading.services import people, verify
from trading.services.access import SYSTEM

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]
expect.set_options(timeout=45_000)  # a machine that is busy with other work draws a page in its own time
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 390, "height": 844}
HOME = {"trader": "Watchlist", "admin": "Kill switch", "observer": "Monthly returns, in percent"}
Enter = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def enter(browser: Browser, live: LiveFloor) -> Iterator[Enter]:
    """A role's page in a browser of its own; every address it asks for is remembered and judged at the end.

    ``by_form`` types name and password; otherwise the browser comes with a session's cookie, which is quicker.
    """
    contexts: list[BrowserContext] = []
    asked: list[str] = []

    def enter_as(role: str, viewport: dict[str, int] | None = None, *, by_form: bool = False) -> Page:
        context = browser.new_context(viewport=viewport or {"width": 1440, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        if not by_form:
            answer = people.login(live.floor, *live.logins[role], "test", "pytest")
            assert isinstance(answer, people.Login)
            context.add_cookies([{"name": COOKIE, "value": answer.token, "url": live.url}])
        page.goto(live.url)
        if by_form:
            log_in(page, *live.logins[role])
        expect(page.get_by_text(HOME[role]).first).to_be_visible()
        return page

    yield enter_as
    for context in contexts:
        context.close()
    elsewhere = {url for url in asked if urlsplit(url).scheme.startswith("http") and not url.startswith(live.url)}
    assert not elsewhere, "the app asked other hosts"


def log_in(page: Page, username: str, password: str) -> None:
    page.get_by_label("User name").fill(username)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name).first.click()


def test_a_wrong_password_is_told_in_words(browser: Browser, live: LiveFloor) -> None:
    page = browser.new_page()
    page.goto(live.url)
    log_in(page, live.logins["trader"][0], "not the password")
    expect(page.get_by_text("This name and password do not go together.")).to_be_visible()
    page.close()


@pytest.mark.parametrize("role", ["admin", "observer", "trader"])
def test_each_role_lands_on_its_own_page(enter: Enter, role: str) -> None:
    page = enter(role, by_form=True)
    expect(page.get_by_text("simulated prices, paper money")).to_be_visible()  # the page and its menu are there
    expect(page.get_by_role("link", name="Account")).to_be_visible()
    links = {link.inner_text().strip().split("\n")[-1] for link in page.get_by_role("link").all()}
    assert ("Trade" in links, "Floor" in links, "People" in links) == (
        role == "trader",
        role == "admin",
        role == "admin",
    )


def test_prices_move_many_times_a_second_in_the_same_rows(enter: Enter) -> None:
    page = enter("trader")
    row = page.locator("tr[data-symbol=AAPL]")
    expect(row.locator(".bid")).not_to_have_text("–")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    moves = page.evaluate(
        """async () => {
          const find = (root) => {
            for (const element of root.querySelectorAll('*')) {
              if (element.matches?.('.watch')) return element;
              const inner = element.shadowRoot && find(element.shadowRoot);
              if (inner) return inner;
            }
          };
          const body = find(document).querySelector('tbody'), rows = [...body.children];
          let moves = 0;
          new MutationObserver((changes) => { moves += changes.length; })
            .observe(body, {subtree: true, childList: true, characterData: true});
          await new Promise(done => setTimeout(done, 2000));
          return [moves, rows.every((row, n) => row === body.children[n] && row.isConnected)];
        }"""
    )
    assert moves[1], "the rows were drawn anew"
    assert moves[0] > 20, moves


def test_a_double_click_buys_once_and_the_order_is_followed_to_the_ledger(enter: Enter, live: LiveFloor) -> None:
    page = enter("trader")
    page.locator("tr[data-symbol=IBM]").click()
    button = page.get_by_role("button", name="Buy 10 IBM")
    expect(button).to_be_enabled()
    button.dblclick()
    expect(page.get_by_text("accepted.")).to_be_visible()
    position = page.locator("tr", has_text="International Business Machines · SIM")
    expect(position).to_be_visible()
    expect(position.locator("td").nth(1)).to_have_text("10")
    page.get_by_text("All orders", exact=True).click()
    order = page.locator("tr.opens", has_text="IBM")
    expect(order).to_have_count(1)
    order.click()
    expect(page.get_by_text("Buy 10 IBM at market")).to_be_visible()
    for words in ("Accepted by the desk", "Took the quote", "SIM:IBM", "Given back"):
        expect(page.get_by_text(words).first).to_be_visible()
    assert verify.run(live.floor, SYSTEM).ok


def test_a_limit_order_waits_and_is_cancelled_with_a_second_click(enter: Enter) -> None:
    page = enter("trader")
    page.get_by_role("combobox", name="Type").click()
    page.get_by_role("option", name="Limit", exact=True).click()
    bid = page.locator("tr[data-symbol=AAPL] .bid").inner_text()
    price = page.get_by_role("textbox", name="Limit price (USD)")
    price.fill(f"{float(bid) * 0.97:.2f}")
    price.press("Enter")
    expect(page.get_by_text("Held until filled")).to_be_visible()
    page.get_by_role("button", name="Buy 10 AAPL").click()
    expect(page.get_by_text("accepted.")).to_be_visible()  # a click while the page is drawn anew is lost
    page.get_by_text("Open orders", exact=True).click()
    row = page.locator("tr.opens", has_text="AAPL")
    expect(row).to_contain_text("Working")
    row.get_by_role("button", name="Cancel").click()
    row.get_by_role("button", name="Really cancel?").click()
    expect(page.get_by_text("Nothing is waiting.")).to_be_visible()


def test_a_stop_waits_for_its_trigger_and_is_moved_on_its_own_page(enter: Enter) -> None:
    page = enter("trader")
    page.locator("tr[data-symbol=MSFT]").click()
    page.get_by_role("combobox", name="Type").click()
    page.get_by_role("option", name="Stop", exact=True).click()
    stop = page.get_by_role("textbox", name="Stop price (USD)")
    ask = float(page.locator("tr[data-symbol=MSFT] .ask").inner_text())
    stop.fill(f"{ask * 1.05:.2f}")
    stop.press("Enter")
    expect(page.get_by_text(f"Cost at {ask * 1.05:.2f}")).to_be_visible()
    page.get_by_role("button", name="Buy 10 MSFT").click()
    expect(page.get_by_text("accepted.")).to_be_visible()
    page.get_by_text("Open orders", exact=True).click()
    row = page.locator("tr.opens", has_text="MSFT")
    expect(row).to_contain_text("Waiting for trigger")
    row.get_by_role("button", name="Change").click()
    stop = page.get_by_role("textbox", name="Stop price")
    stop.fill(f"{ask * 1.10:.2f}")
    page.get_by_role("button", name="Send the change").click()
    expect(page.get_by_text("change sent")).to_be_visible()
    page.reload()
    expect(page.get_by_text("New terms in force")).to_be_visible()
    page.get_by_role("button", name="Cancel this order").click()
    expect(page.get_by_text("cancel sent")).to_be_visible()


def test_too_dear_an_order_is_refused_in_words_before_it_is_sent(enter: Enter) -> None:
    page = enter("trader")
    quantity = page.get_by_role("textbox", name="Quantity")
    quantity.fill("1.5")
    quantity.press("Enter")
    expect(page.get_by_text("is not a multiple of 1")).to_be_visible()
    quantity.fill("700")
    quantity.press("Enter")
    expect(page.get_by_text("Not enough cash: this order holds $")).to_be_visible()
    expect(page.get_by_role("button", name="Buy 700 AAPL")).to_be_disabled()


def test_an_observer_looks_and_cannot_touch(enter: Enter, live: LiveFloor) -> None:
    page = enter("observer")
    expect(page.get_by_text("Main · Tina Trader")).to_be_visible()
    page.get_by_text("Statement", exact=True).click()
    expect(page.get_by_text("Opening deposit").first).to_be_visible()
    for name in ("trade", "people", "floor"):
        page.goto(f"{live.url}/{name}")
        expect(page.get_by_text("Monthly returns, in percent")).to_be_visible()
        for words in ("Watchlist", "Kill switch", "Add a login", "Side"):
            expect(page.get_by_text(words, exact=True)).to_have_count(0)
    page.goto(f"{live.url}/order?id=1&portfolio=999")
    expect(page.get_by_text("Your login does not open this page.")).to_be_visible()


def test_an_admin_pays_in_and_finds_it_in_the_audit_trail(enter: Enter) -> None:
    page = enter("admin")
    expect(page.locator("tr", has_text="Market SIM").or_(page.get_by_text("No process has reported"))).to_be_visible()
    page.get_by_role("button", name="Check the books now").click()
    expect(page.get_by_text("Books agree").first).to_be_visible()
    go(page, "People")
    page.get_by_text("Portfolios and cash", exact=True).click()
    amount = page.get_by_role("textbox", name="Amount (USD)")
    amount.fill("1,234.56")
    amount.press("Enter")
    page.get_by_text("Yes: deposit 1,234.56 USD").click()
    page.get_by_role("button", name="Book it").click()
    expect(page.get_by_text("Deposit of 1,234.56 USD booked for Main.")).to_be_visible()
    page.get_by_text("Audit trail", exact=True).click()
    expect(page.locator("tr", has_text="adam").first).to_be_visible()


def test_the_address_of_a_page_opens_it_also_where_it_is_ones_home(enter: Enter, live: LiveFloor) -> None:
    not_found = "Page not found"
    for role, name in (("trader", "trade"), ("admin", "floor"), ("observer", "portfolio")):
        page = enter(role)
        for typed in (name, f"{name}/?from=mail"):
            page.goto(f"{live.url}/{typed}")
            expect(page.get_by_text(HOME[role]).first).to_be_visible()
            expect(page.get_by_text("simulated prices, paper money")).to_be_visible()
            expect(page.get_by_text(not_found)).to_have_count(0)
            assert urlsplit(page.url).path == "/"
        assert urlsplit(page.url).query == "from=mail"
    page = enter("trader")
    page.goto(f"{live.url}/portfolio")  # the home of others
    expect(page.get_by_text("Monthly returns, in percent")).to_be_visible()
    expect(page.get_by_text(not_found)).to_have_count(0)
    assert urlsplit(page.url).path == "/portfolio"


def test_no_other_site_may_frame_the_app(live: LiveFloor) -> None:
    for path in ("/", "/api/health"):
        with urllib.request.urlopen(live.url + path, timeout=5) as answer:
            assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_logout_kills_the_cookie(enter: Enter, live: LiveFloor, browser: Browser) -> None:
    page = enter("observer", by_form=True)
    [cookie] = [each for each in page.context.cookies() if each["name"] == COOKIE]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert COOKIE not in page.evaluate("document.cookie")
    go(page, "Account")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("User name")).to_be_visible()
    assert not [each for each in page.context.cookies() if each["name"] == COOKIE]
    stolen = browser.new_context()
    stolen.add_cookies([{"name": COOKIE, "value": cookie["value"], "url": live.url}])
    again = stolen.new_page()
    again.goto(live.url)
    expect(again.get_by_label("User name")).to_be_visible()
    stolen.close()


def test_an_open_page_of_a_disabled_login_falls_back_to_the_form(enter: Enter, live: LiveFloor) -> None:
    password = people.new_password()
    user = people.create_user(live.floor, SYSTEM, "temp", "Temp", "trader", password)
    people.create_portfolio(live.floor, SYSTEM, user.id, "Short")
    live.logins["temp"] = ("temp", password)
    HOME["temp"] = HOME["trader"]
    page = enter("temp")
    expect(page.locator("tr[data-symbol=AAPL] .bid")).not_to_have_text("–")
    began_s = time.monotonic()
    people.set_disabled(live.floor, SYSTEM, user.id, True)
    expect(page.get_by_label("User name")).to_be_visible()
    assert time.monotonic() - began_s < 6


def test_a_foreign_page_cannot_open_the_socket(live: LiveFloor) -> None:
    answer = people.login(live.floor, *live.logins["trader"], "test", "pytest")
    assert isinstance(answer, people.Login)
    address = live.url.replace("http", "ws") + "/api/ws/ticks"
    cookie = {"Cookie": f"{COOKIE}={answer.token}"}
    for origin in ("http://evil.test", None):
        with pytest.raises(InvalidStatus) as refused, connect(address, origin=origin, additional_headers=cookie):
            pass
        assert refused.value.response.status_code == 403
    with connect(address, origin=live.url, additional_headers=cookie) as socket:
        assert '"v":1' in str(socket.recv(timeout=5))


@pytest.mark.parametrize(
    ("role", "pages"),
    [
        ("trader", ["portfolio", "research", "account", "order", "wallet", "trade"]),
        ("observer", ["statement", "order", "portfolio"]),
        ("admin", ["people", "floor"]),
    ],
)
def test_a_phone_shows_every_page_without_cutting_it_off(
    enter: Enter, live: LiveFloor, role: str, pages: list[str]
) -> None:
    page = enter(role, PHONE)
    for name in pages:
        page.goto(f"{live.url}/{name}")
        expect(page.get_by_text("simulated prices, paper money")).to_be_visible()
        wide = page.evaluate(
            "[document.documentElement.scrollWidth, document.querySelector('[data-testid=stMain]').scrollWidth]"
        )
        assert max(wide) <= 390, name
    if role == "admin":  # who must stop trading does not scroll for it
        assert page.get_by_text("Kill switch").bounding_box()["y"] < 300  # type: ignore[index]
    if role == "trader":  # both sides of the quote stand beside each other
        bid, ask = (page.locator(f".quote:not(.small) .{side}").bounding_box() for side in ("bid", "ask"))
        assert bid is not None
        assert ask is not None
        assert bid["y"] == ask["y"]
